"""Recordings, and the data sets that Minari makes of them: every array comes back as it was."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import textgym
from textgym.agents.registry import make_agent
from textgym.behaviors import Behavior
from textgym.cli import app
from textgym.errors import ConfigurationError, MissingDependencyError
from textgym.recorder import record, record_uniform
from textgym.recordings import LOG_PROB, MASK, RecordedEpisode, Recording
from textgym.rewards import PerText, WeightedSum

minari = pytest.importorskip("minari")
pytest.importorskip("pyarrow")
data_sets = import_module("textgym.integrations.minari")

TINY = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})
KINDS = [
    TINY,
    textgym.EnvFactory("TextGen-v0", {"gold": True, "reward_timing": "step", "split": "all"}),
    textgym.EnvFactory("TextGen/Copy-v0", {"observation": "dict"}),
    textgym.EnvFactory("TextGen/Brackets-v0", {"observation": "text"}),
    textgym.EnvFactory("TextGen/GuessNumber-v0", {"gold": True}),
]
ARRAYS = ("observations", "actions", "rewards", "terminations", "truncations")


@pytest.fixture(scope="module", autouse=True)
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where Minari keeps the data sets of these tests."""
    folder = tmp_path_factory.mktemp("minari")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder))
        yield folder


def uniform(envs: Any = TINY, episodes: int = 6, **options: Any) -> Recording:
    return record(make_agent("uniform"), envs, episodes=episodes, **options)


def q_table(steps: int = 2000) -> Any:
    agent = make_agent("q_learning", seed=0)
    agent.learn(TINY, steps)
    return agent


def letters(completion: str) -> float:
    return float(len(completion))


def words(completion: str) -> float:
    return float(len(completion.split()))


def assert_same(one: Any, two: Any) -> None:
    for name in ARRAYS:
        mine, theirs = getattr(one, name), getattr(two, name)
        assert mine.dtype == theirs.dtype, name
        assert np.array_equal(mine, theirs), name
    assert list(one.infos) == list(two.infos)
    for name, values in one.infos.items():
        assert values.dtype == two.infos[name].dtype, name
        assert np.array_equal(values, two.infos[name]), name


# ---- round trip ----------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    envs=st.sampled_from(KINDS),
    episodes=st.integers(1, 7),
    seed=st.integers(0, 2**32),
    epsilon=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_what_is_recorded_comes_back_identical(
    envs: textgym.EnvFactory, episodes: int, seed: int, epsilon: float
) -> None:
    recording = uniform(envs, episodes, seed=seed, epsilon=epsilon)
    data_sets.write(recording, "property/any-v0", overwrite=True)
    loaded = minari.load_dataset("property/any-v0")
    assert (loaded.total_episodes, loaded.total_steps) == (episodes, sum(map(len, recording.episodes)))
    for mine, theirs in zip(recording.episodes, loaded.iterate_episodes(), strict=True):
        assert_same(mine, theirs)
    back = data_sets.read(loaded)
    assert (back.origin, back.writers, back.vocab_size) == (recording.origin, ("Uniform",), recording.vocab_size)
    assert back.envs == recording.envs
    for mine, theirs in zip(recording.episodes, back.episodes, strict=True):
        assert_same(mine, theirs)


@pytest.mark.parametrize("envs", KINDS, ids=lambda envs: envs.env_id)
def test_the_recovered_environment_replays_the_data(envs: textgym.EnvFactory) -> None:
    data_sets.write(uniform(envs, 4), "recover/any-v0", overwrite=True)
    loaded = minari.load_dataset("recover/any-v0")
    env = loaded.recover_environment()
    assert env.observation_space == loaded.observation_space
    assert env.action_space == loaded.action_space
    for episode, metadata in zip(loaded, loaded.storage.get_episode_metadata(range(4)), strict=True):
        observation, info = env.reset(seed=0, options=metadata["options"])
        for step, action in enumerate(episode.actions):
            assert np.array_equal(observation, episode.observations[step])
            assert np.array_equal(info["action_mask"], episode.infos[MASK][step])
            observation, reward, terminated, _, info = env.step(action)
            if envs.env_id != "TextGen/GuessNumber-v0":  # whose secret is drawn with the episode's key
                assert (reward, terminated) == (episode.rewards[step], episode.terminations[step])
            else:
                break


def test_minari_s_own_tools_work_on_recordings(root: Path) -> None:
    for name, seed in (("tools/a-v0", 1), ("tools/b-v0", 2)):
        data_sets.write(uniform(episodes=5, seed=seed), name)
    assert {"tools/a-v0", "tools/b-v0"} <= set(minari.list_local_datasets())
    parts = [minari.load_dataset(name) for name in ("tools/a-v0", "tools/b-v0")]
    both = data_sets.read("tools/a-v0") + data_sets.read("tools/b-v0")
    assert len(data_sets.read(data_sets.write(both, "tools/sum-v0"))) == 10
    minari.combine_datasets(parts, "tools/both-v0")
    with pytest.raises(ConfigurationError, match=r"combine_datasets has written; .* join them with \+"):
        data_sets.read("tools/both-v0")
    returns = data_sets.read(parts[0]).returns
    kept = parts[0].filter_episodes(lambda episode: episode.rewards.sum() >= np.median(returns))
    assert np.array_equal(data_sets.read(kept).returns, returns[returns >= np.median(returns)])


def test_a_reward_that_is_a_function_is_recorded_and_cannot_be_recovered() -> None:
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny", "reward": PerText(letters, range=(0.0, 99.0))})
    data_sets.write(uniform(envs), "function/reward-v0")
    loaded = minari.load_dataset("function/reward-v0")
    with pytest.raises(ValueError, match="cannot be recovered"):
        loaded.recover_environment()
    back = data_sets.read(loaded)
    assert back.envs is None
    back.check_fits(TINY)


# ---- what is recorded ----------------------------------------------------------------------------------------------


def test_rows_follow_one_another_and_ends_are_told_once() -> None:
    recording = uniform(textgym.EnvFactory("TextGen-v0", {"gold": True}), 50)
    task = TINY.task() if recording.envs is None else recording.envs.task()
    for episode in recording.episodes:
        wrote = episode.observations[1:] != episode.observations[:-1]
        assert (wrote.sum(axis=1) == 1).all()
        assert np.array_equal(episode.observations[1:][wrote], episode.actions)
        assert episode.infos[MASK][np.arange(len(episode)), episode.actions].all()
        assert episode.terminations.tolist() == [False] * (len(episode) - 1) + [True]
        assert episode.infos["num_tokens"].tolist() == [0] * len(episode) + [len(episode)]
        assert set(episode.infos["stop_reason"][:-1]) == {""}
        batch_text = task.tokenizer.decode(episode.actions.tolist())
        assert episode.infos["completion"][-1] == batch_text
        scores = textgym.score("TextGen-v0", [episode.infos["prompt"][-1]], [episode.actions.tolist()])
        assert scores[0] == episode.rewards.sum()


def test_short_texts_are_not_favoured_and_lanes_go_on() -> None:
    few, many = uniform(episodes=10, lanes=4, seed=3), uniform(episodes=40, lanes=4, seed=3)
    for one, other in zip(few.episodes, many.episodes[:10], strict=True):
        assert np.array_equal(one.actions, other.actions)
    prompts = [int(e.infos["prompt_index"][0]) for e in uniform("TextGen-v0", 32, lanes=16).episodes]
    assert prompts[:16] != prompts[16:]  # the second text of a lane is another episode than its first
    other_seed = uniform(episodes=40, lanes=4, seed=4)
    assert [e.actions.tolist() for e in many.episodes] != [e.actions.tolist() for e in other_seed.episodes]


class Favours:
    """A policy with known probabilities; illegal tokens have some too."""

    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return np.full(len(observations), 2)

    def log_probs(self, observations, action_masks):
        weights = np.arange(1.0, action_masks.shape[1] + 1)
        return np.tile(np.log(weights / weights.sum()), (len(observations), 1))


@pytest.mark.parametrize(("epsilon", "temperature"), [(0.0, 1.0), (0.25, 1.0), (0.0, 2.0), (0.5, 0.5), (1.0, 1.0)])
def test_log_probabilities_are_those_of_the_behaviour(epsilon: float, temperature: float) -> None:
    recording = record(Favours(), TINY, episodes=400, epsilon=epsilon, temperature=temperature)
    legal = recording.episodes[0].infos[MASK][0].astype(bool)
    told = np.arange(1.0, len(legal) + 1) ** (1.0 / temperature)
    expected = (1 - epsilon) * told / told.sum() + epsilon * legal / legal.sum()
    steps = recording.transitions()
    kept = np.concatenate([episode.infos[LOG_PROB][:-1] for episode in recording.episodes])
    assert kept == pytest.approx(np.log(expected[steps.actions]))
    assert all(episode.infos[LOG_PROB][-1] == 0.0 for episode in recording.episodes)
    frequencies = np.bincount(steps.actions, minlength=len(legal)) / len(steps)
    assert np.abs(frequencies - expected).max() < 0.06


def test_agents_that_cannot_tell_leave_no_log_probabilities_behind() -> None:
    assert LOG_PROB not in record(q_table(), TINY, episodes=3).episodes[0].infos
    assert LOG_PROB not in record(Favours(), TINY, episodes=3, deterministic=True).episodes[0].infos
    mixed = uniform() + record(q_table(), TINY, episodes=3)
    assert all(LOG_PROB not in episode.infos for episode in mixed.episodes)
    assert mixed.writers == ("Uniform", "QLearning")


def test_greedy_play_is_what_an_evaluation_measures() -> None:
    agent = q_table(20_000)
    returns = record(agent, TINY, episodes=5, deterministic=True).returns
    assert (returns == textgym.evaluate(agent, TINY, episodes=5).mean_return).all()
    worse = record(agent, TINY, episodes=50, deterministic=True, epsilon=1.0).returns
    assert worse.mean() < returns.mean()


def test_policies_of_sb3_are_recorded_with_their_probabilities() -> None:
    pytest.importorskip("sb3_contrib")
    agent: Any = make_agent("ppo", seed=0, lanes=16, hidden=(8,), batch_size=64)
    agent.learn(TINY, 256)
    for episode in record(agent, TINY, episodes=20).episodes:
        told = agent.log_probs(episode.observations[:-1])[np.arange(len(episode)), episode.actions]
        assert episode.infos[LOG_PROB][:-1] == pytest.approx(told, abs=1e-5)


def test_the_terms_of_a_combined_reward_are_kept_though_illegal_texts_have_none() -> None:
    reward = WeightedSum({"long": PerText(letters, range=(0.0, 99.0)), "dull": PerText(words, range=(0.0, 9.0))})
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny", "reward": reward})
    recording = record(Favours(), envs, episodes=60)
    named = [name for name in recording.episodes[0].infos if name.startswith("reward_parts.")]
    assert len(named) == 2
    reasons = {episode.infos["stop_reason"][-1] for episode in recording.episodes}
    assert {"illegal"} < reasons
    for episode in recording.episodes:
        total = sum(episode.infos[name][-1] for name in named)
        assert total == pytest.approx(0.0 if episode.infos["stop_reason"][-1] == "illegal" else episode.rewards.sum())
    data_sets.write(recording, "parts/all-v0")
    for mine, theirs in zip(recording.episodes, data_sets.read("parts/all-v0").episodes, strict=True):
        assert_same(mine, theirs)


def test_random_play_stays_within_its_budget() -> None:
    recording = record_uniform(TINY, 1000, seed=1)
    assert 800 <= sum(map(len, recording.episodes)) <= 1000
    with pytest.raises(ConfigurationError, match="too few"):
        record_uniform(TINY, 10)


def test_transitions_are_the_steps_in_order() -> None:
    recording = uniform(textgym.EnvFactory("TextGen-v0", {"reward_timing": "step"}), 5)
    steps = recording.transitions()
    assert len(steps) == sum(map(len, recording.episodes))
    assert steps.ended.sum() == 5
    begins = np.flatnonzero(steps.ended)[:-1] + 1
    assert steps.returns_to_go[[0, *begins]] == pytest.approx(recording.returns)
    assert np.array_equal(steps.tokens[1:][~steps.ended[:-1]], steps.next_tokens[:-1][~steps.ended[:-1]])
    changing = uniform("TextGen/Brackets-v0", 5).transitions()
    goes_on = ~changing.ended[:-1]
    assert np.array_equal(changing.masks[1:][goes_on], changing.next_masks[:-1][goes_on])
    assert not np.array_equal(changing.masks, changing.next_masks)
    bare = RecordedEpisode(*(getattr(recording.episodes[0], name) for name in ARRAYS), infos={})
    assert Recording([bare], recording.vocab_size).transitions().masks.all()


# ---- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"episodes": 0}, "episodes=0: expected a whole number of at least 1"),
        ({"lanes": 0}, "lanes=0"),
        ({"epsilon": 1.5}, "epsilon=1.5: expected a number from 0 to 1"),
        ({"temperature": 0.0}, "temperature=0.0: expected a number above 0"),
        ({"temperature": 2.0, "deterministic": True}, "greedy play has none"),
    ],
)
def test_options_that_cannot_work_are_explained(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        uniform(**{"episodes": 3, **options})


def test_agents_that_cannot_be_recorded_are_named() -> None:
    class Writer:
        def write(self, envs, prompt_indices):
            return []

    class Searcher(Favours, Writer):
        """As best_of_n: it could be played token by token, but that is not how it plays."""

    class Wrong(Favours):
        def log_probs(self, observations, action_masks):
            return np.zeros((len(observations), 3))

    for agent in (Writer(), Searcher()):
        with pytest.raises(ConfigurationError, match=f"{type(agent).__name__} writes whole texts"):
            record(agent, TINY, episodes=1)
    with pytest.raises(ConfigurationError, match=r"log_probs\(\) returned shape \(1, 3\)"):
        record(Wrong(), TINY, episodes=1)
    with pytest.raises(ConfigurationError, match="does not tell its log_probs"):
        record(q_table(), TINY, episodes=1, temperature=2.0)
    with pytest.raises(ConfigurationError, match=r"act\(\) returned shape"):
        Behavior(lambda *_, **__: np.zeros((2, 2))).choose(np.zeros((3, 4)), np.ones((3, 5), bool), np.ones(3, bool))
    with pytest.raises(ConfigurationError, match="not a textgym environment"):
        record(make_agent("uniform"), "CartPole-v1", episodes=1)


def test_data_of_another_environment_or_vocabulary_are_named() -> None:
    tiny, copies = uniform(), uniform("TextGen/Copy-v0")
    with pytest.raises(ConfigurationError, match=r"level tiny: 11 ids.*level easy: 24 ids"):
        tiny.check_fits(textgym.EnvFactory("TextGen-v0"))
    with pytest.raises(ConfigurationError, match="cannot be joined"):
        tiny + copies
    with pytest.raises(ConfigurationError, match="11 ids and 7 positions"):
        Recording(tiny.episodes, tiny.vocab_size).check_fits(textgym.EnvFactory("TextGen-v0"))
    with pytest.raises(ConfigurationError, match="this recording was recorded in"):
        tiny.check_fits(textgym.EnvFactory("TextGen-v0", {"level": "tiny", "max_new_tokens": 5}))


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"reward": PerText(letters, range=(0.0, 99.0))}, r"differ in reward and illegal_reward \(.* and PerText"),
        ({"reward_timing": "step"}, "differ in reward_timing"),
        ({"illegal_reward": -9.0}, r"differ in illegal_reward \(.* and -9.0\)"),
        ({"prompts": ["great movie"]}, r"differ in prompts \(\['praise the movie'\] and \['great movie'\]\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*outside the vocabulary:UserWarning")
def test_data_that_are_paid_otherwise_or_have_other_prompts_are_not_joined(kwargs: dict[str, Any], said: str) -> None:
    width = {"max_prompt_tokens": 3}
    here = textgym.EnvFactory("TextGen-v0", {"level": "tiny", **width})
    with pytest.raises(ConfigurationError, match=said):
        uniform(here) + uniform(textgym.EnvFactory("TextGen-v0", {"level": "tiny", **width, **kwargs}))
    spelt = {"reward": "reviews", "reward_timing": "end", "split": "all", "gold": True}  # the same, said aloud
    assert len(uniform(here) + uniform(textgym.EnvFactory("TextGen-v0", {"level": "tiny", **width, **spelt}))) == 12


def test_data_of_another_reward_are_not_learned_from_for_this_one() -> None:
    here = uniform()
    here.check_fits(textgym.EnvFactory("TextGen-v0", {"level": "tiny", "reward": "reviews", "reward_timing": "step"}))
    other = textgym.EnvFactory("TextGen-v0", {"level": "tiny", "reward": PerText(letters, range=(0.0, 99.0))})
    with pytest.raises(ConfigurationError, match=r"was paid by PreferenceReward.*and not by PerText\(letters\)"):
        here.check_fits(other)
    uniform(other).check_fits(other)


def test_data_whose_prompts_are_gone_can_be_joined_still(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.jsonl" for name in "ab"]
    for file in files:
        file.write_text('{"prompt": "praise the movie"}\n', encoding="utf-8")
    one, two = (uniform(textgym.EnvFactory("TextGen-v0", {"level": "tiny", "prompts": str(file)})) for file in files)
    assert len(one + two) == 12
    files[1].unlink()
    assert len(one + two) == 12


def test_a_name_that_is_taken_is_refused_and_a_failure_leaves_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    first = uniform()
    data_sets.write(first, "taken/name-v0")
    with pytest.raises(ConfigurationError, match=r"'taken/name-v0'.*already.*--overwrite"):
        data_sets.write(uniform(seed=9), "taken/name-v0")
    with monkeypatch.context() as broken:

        def fail(*_: Any) -> None:
            raise OSError("no space left")

        broken.setattr(data_sets._Writer, "update_episodes", fail)
        for name in ("taken/name-v0", "taken/new-v0"):
            with pytest.raises(ConfigurationError, match="cannot be written: no space left"):
                data_sets.write(uniform(seed=9), name, overwrite=True)
    assert np.array_equal(data_sets.read("taken/name-v0").returns, first.returns)
    folder = data_sets.Place.find("taken/name-v0").folder
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == ["name-v0"]
    data_sets.write(uniform(seed=9), "taken/name-v0", overwrite=True)
    assert not np.array_equal(data_sets.read("taken/name-v0").returns, first.returns)


def test_folders_that_are_no_data_sets_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine-v0").mkdir()
    (tmp_path / "mine-v0" / "thesis.txt").write_text("do not overwrite", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="holds no data set"):
        data_sets.read(tmp_path / "mine-v0")
    with pytest.raises(ConfigurationError, match="is there and holds no data set"):
        data_sets.write(uniform(), tmp_path / "mine-v0", overwrite=True)
    for name in ("no version", "none", "../x", "a/b-v0", "group/-v", "x/../../etc-v0"):
        with pytest.raises(ConfigurationError, match="cannot be the name of a data set"):
            data_sets.write(uniform(episodes=1), name)
    data_sets.write(uniform(), "spelling/right-v0")
    with pytest.raises(ConfigurationError, match="Did you mean 'spelling/right-v0'"):
        data_sets.read("spelling/rihgt-v0")


def test_damaged_and_foreign_data_sets_are_explained(tmp_path: Path) -> None:
    data_sets.write(uniform(), tmp_path / "torn-v0")
    assert len(data_sets.read(tmp_path / "torn-v0")) == 6
    (tmp_path / "torn-v0" / "data" / "3" / "part-0.arrow").write_bytes(b"torn")
    with pytest.raises(ConfigurationError, match="cannot be read.*record it again"):
        data_sets.read(tmp_path / "torn-v0")
    (tmp_path / "torn-v0" / "data" / "metadata.json").write_bytes(b"{")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        data_sets.read(tmp_path / "torn-v0")
    import gymnasium as gym

    box, two = gym.spaces.Box(0.0, 1.0, (3,)), gym.spaces.Discrete(2)
    (tmp_path / "box-v0" / "data").mkdir(parents=True)
    storage = data_sets.MinariStorage.new(
        tmp_path / "box-v0" / "data", observation_space=box, action_space=two, data_format="arrow"
    )
    storage.update_metadata({"dataset_id": "box-v0", "minari_version": minari.__version__})
    with pytest.raises(ConfigurationError, match="expected token ids, as `textgym record` writes them"):
        data_sets.read(tmp_path / "box-v0")


def test_data_in_hdf5_want_h5py_and_hand_texts_over_as_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_sets.write(uniform(), tmp_path / "other-v0")
    card = tmp_path / "other-v0" / "data" / "metadata.json"
    card.write_text(json.dumps({**json.loads(card.read_text(encoding="utf-8")), "data_format": "hdf5"}))
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, "minari.dataset._storages.hdf5_storage", raising=False)
    with pytest.raises(ConfigurationError, match=r"other-v0'.* cannot be read: h5py is not installed.*pip install"):
        data_sets.read(tmp_path / "other-v0")
    for texts in (np.array(["", "好"]), np.array(["", "好".encode()], dtype=object), np.array([b"", "好".encode()])):
        assert data_sets._as_text(texts).tolist() == ["", "好"]
    assert data_sets._as_text(np.array([1.5])).dtype == np.float64


def test_an_empty_data_set_is_refused() -> None:
    loaded = data_sets.write(uniform(), "empty/none-v0")
    with pytest.raises(ConfigurationError, match="'empty/none-v0' has no episodes"):
        data_sets.read(loaded.filter_episodes(lambda _: False))


@pytest.mark.parametrize(("found", "said"), [(None, "pip install 'textgym"), ("0.4.3", "minari>=0.5.4,<0.6")])
def test_a_missing_or_other_minari_is_explained(found: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if found is None:
            raise PackageNotFoundError(package)
        return found

    monkeypatch.setattr("textgym.integrations._versions.version", version)
    monkeypatch.delitem(sys.modules, "textgym.integrations.minari")
    expected = MissingDependencyError if found is None else ConfigurationError
    with pytest.raises(expected, match=said.replace("[", r"\[")):
        import_module("textgym.integrations.minari")


# ---- the command ---------------------------------------------------------------------------------------------------


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["record", *words], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_the_command_records_several_agents_in_their_own_environment(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["train", "q_learning", "--set", "level=tiny", "--steps", "2000", "--save", str(tmp_path / "half")]
    )
    assert result.exit_code == 0
    words = ["TextGen-v0", "--agent", "uniform", "--agent", str(tmp_path / "half")]  # in the latter's environment
    said = run(*words, "--episodes", "9", "--out", "cli/mixed-v0", "--epsilon", "0.1")
    assert "recorded 9 texts" in said
    assert "minari.load_dataset('cli/mixed-v0')" in said
    assert "log-probabilities: none" in said
    assert data_sets.read("cli/mixed-v0").writers == ("uniform", "half")
    run("TextGen-v0", "--agent", str(tmp_path / "half"), "--episodes", "3")  # the level is the agent's own
    name = "textgym/TextGen-half-v0"
    assert len(data_sets.read(name)) == 3
    data_sets.read(name).check_fits(TINY)
    with pytest.raises(ConfigurationError, match="already"):
        run(*words, "--episodes", "9", "--out", "cli/mixed-v0")
    run(*words, "--episodes", "4", "--out", "cli/mixed-v0", "--overwrite", "--set", "level=tiny")
    assert len(data_sets.read("cli/mixed-v0")) == 4
    file = tmp_path / "other" / "env.json"
    shutil.copytree(tmp_path / "half", tmp_path / "other")
    file.write_text(json.dumps({"env_id": "TextGen-v0", "kwargs": {"level": "tiny", "illegal_reward": -7.0}}))
    with pytest.raises(ConfigurationError, match=r"differ in illegal_reward .* and -7.0"):
        run(*words, "--agent", str(tmp_path / "other"), "--episodes", "9", "--out", "cli/none-v0")
    run(
        *words,
        "--agent",
        str(tmp_path / "other"),
        "--episodes",
        "9",
        "--set",
        "illegal_reward=-4",
        "--out",
        "cli/one-v0",
    )
    assert len(data_sets.read("cli/one-v0")) == 9


def test_the_command_writes_into_a_folder_and_explains_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run("TextGen/Copy-v0", "--episodes", "3", "--out", str(tmp_path / "data" / "copies-v0"))
    assert "log-probabilities: kept" in said
    assert len(data_sets.read(tmp_path / "data" / "copies-v0")) == 3
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "near" / "copies-v0") in run(
        "TextGen/Copy-v0", "--episodes", "3", "--out", "./near/copies-v0"
    )
    assert len(data_sets.read("./near/copies-v0")) == 3
    with monkeypatch.context() as near:
        near.setenv("MINARI_DATASETS_PATH", "near")
        assert len(minari.load_dataset("copies-v0")) == 3
        run("TextGen/Copy-v0", "--episodes", "2", "--out", "others-v0")
        assert len(data_sets.read("others-v0")) == 2
    assert "greater than or equal to 1" in run("TextGen-v0", "--episodes", "0")
    with pytest.raises(ConfigurationError, match=r"--agent unifrom.*Did you mean 'uniform'"):
        run("TextGen-v0", "--agent", "unifrom", "--out", "cli/none-v0")
