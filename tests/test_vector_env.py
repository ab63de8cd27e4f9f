"""What is special to the vector environment; test_equivalence.py compares all the rest with the single one."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from playing import WAYS, Event, any_actions, assert_same, check_copies, every_timing
from toys import EOS, PLAIN, PROMPTS, TOYS, A, B, D, Faulty, Recorder, toy

from textgym.env import TextGenerationEnv
from textgym.errors import ActionError, ConfigurationError, EpisodeOverError, PromptError, RewardError, TextGymError
from textgym.vector_env import RESTS, TextGenerationVectorEnv

MODES = list(AutoresetMode)
every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)


def make_envs(name: str = "plain", lanes: int = 3, mode: Any = AutoresetMode.NEXT_STEP, **kwargs: Any) -> Any:
    return TextGenerationVectorEnv(TOYS[name], num_envs=lanes, autoreset_mode=mode, **kwargs)


@pytest.mark.parametrize("name", ["plain", "ruled", "talking"])
@every_timing
def test_resting_lanes_stay_as_they_are_and_the_others_go_their_way(name: str, timing: str) -> None:
    """Lanes that rest now and then write what they would have written without a pause."""
    kwargs = {"name": name, "lanes": 6, "mode": "Disabled", "reward_timing": timing}
    steady, paused = make_envs(**kwargs), make_envs(**kwargs)
    rng = np.random.default_rng(5)
    observed, _ = steady.reset(seed=3)
    paused.reset(seed=3)
    plans: list[list[int]] = [[] for _ in range(6)]
    seen: list[list[Any]] = [[] for _ in range(6)]
    while not steady.over.all():
        masks = steady.action_masks()
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
        going = ~steady.over
        actions[~going] = RESTS
        observed, rewards, ends, _, _ = steady.step(actions)
        for lane in np.flatnonzero(going).tolist():
            plans[lane].append(int(actions[lane]))
            seen[lane].append((observed[lane].tolist(), float(rewards[lane]), bool(ends[lane])))
    again: list[list[Any]] = [[] for _ in range(6)]
    batches = []
    while any(plans):
        writes = (rng.random(6) < 0.5) & np.array([bool(plan) for plan in plans])
        actions = np.array(
            [plan.pop(0) if write else RESTS for plan, write in zip(plans, writes.tolist(), strict=True)]
        )
        before = paused.over
        observed, rewards, ends, _, _ = paused.step(actions)
        assert (rewards[~writes] == 0.0).all()
        assert ends[~writes].tolist() == before[~writes].tolist()
        batches += [] if paused.last_episodes is None else paused.last_episodes.completions
        for lane in np.flatnonzero(writes).tolist():
            again[lane].append((observed[lane].tolist(), float(rewards[lane]), bool(ends[lane])))
    assert again == seen
    assert len(batches) == 6


def test_infos_speak_of_a_text_in_the_step_that_ends_it_alone() -> None:
    """A lane whose text is over and that rests stays terminated, but nothing is said of it again."""
    envs = make_envs("combined", mode="Disabled", gold=True, text_infos=True)
    envs.reset(seed=0)
    envs.step([EOS, A, A])
    _, _, terminations, _, infos = envs.step([RESTS, EOS, A])
    assert terminations.tolist() == [True, True, False]
    assert envs.last_rows.tolist() == [1]
    told = {key: lanes.tolist() for key, lanes in infos.items() if key.startswith("_") and key != "_action_mask"}
    assert told.keys() >= {"_num_tokens", "_stop_reason", "_reward_parts", "_gold", "_completion"}
    assert set(map(tuple, told.values())) == {(False, True, False)}
    assert infos["num_tokens"].tolist() == [0, 1 + 1, 0]
    assert envs.step([RESTS, RESTS, A])[4].keys() == {"action_mask", "_action_mask"}


def test_a_lane_that_is_over_must_rest_though_another_one_rests_instead() -> None:
    envs = make_envs(mode="Disabled")
    envs.reset(seed=0)
    envs.step([EOS, A, A])
    with pytest.raises(EpisodeOverError, match=r"the texts of rows \[0\] have ended"):
        envs.step([A, RESTS, A])
    assert envs.step([RESTS, EOS, A])[2].tolist() == [True, True, False]


# ---- autoreset ----------------------------------------------------------------------------------------------------


def test_next_step_resets_one_step_later_and_ignores_that_action() -> None:
    envs = make_envs()
    envs.reset(seed=0)
    first = envs.prompt_indices
    observations, rewards, terminations, truncations, infos = envs.step([EOS, A, 7])
    assert terminations.tolist() == [True, False, True]
    assert not truncations.any()
    assert rewards[1] == 0.0
    assert rewards[2] == -7.0
    assert observations[:, -5].tolist() == [EOS, A, 7]
    assert infos["stop_reason"].tolist() == ["eos", None, "illegal"]
    assert infos["_stop_reason"].tolist() == [True, False, True]
    assert envs.prompt_indices.tolist() == first.tolist()
    observations, rewards, terminations, _, infos = envs.step([99, B, -3])
    assert not terminations.any()
    assert rewards.tolist() == [0.0, 0.0, 0.0]
    assert observations[:, -5:].tolist() == [[12] * 5, [A, B, 12, 12, 12], [12] * 5]
    assert infos.keys() == {"action_mask", "_action_mask"}


def test_same_step_resets_at_once_and_keeps_the_last_observation() -> None:
    envs = make_envs(mode="SameStep")
    envs.reset(seed=0)
    old = envs.prompt_indices
    observations, rewards, terminations, _, infos = envs.step([EOS, A, 7])
    assert terminations.tolist() == [True, False, True]
    assert rewards[2] == -7.0
    assert observations[:, -5:].tolist() == [[12] * 5, [A, 12, 12, 12, 12], [12] * 5]
    assert [infos["final_obs"][row][-5] for row in (0, 2)] == [EOS, 7]
    assert infos["final_obs"][1] is None
    assert infos["_final_obs"].tolist() == infos["_final_info"].tolist() == [True, False, True]
    assert infos["final_info"]["stop_reason"].tolist() == ["eos", None, "illegal"]
    assert "stop_reason" not in infos
    assert envs.last_episodes.prompt_indices.tolist() == old[[0, 2]].tolist()


def test_disabled_leaves_the_reset_to_the_caller() -> None:
    envs = make_envs(mode="Disabled")
    envs.reset(seed=0)
    envs.step([EOS, A, A])
    with pytest.raises(EpisodeOverError, match=r"rows \[0\]"):
        envs.step([A, A, A])
    observations, infos = envs.reset(options={"reset_mask": np.array([True, False, False])})
    assert observations[:, -5].tolist() == [12, A, A]
    assert infos["_action_mask"].tolist() == [True, False, False]
    assert infos["action_mask"].any(axis=1).tolist() == [True, False, False]
    assert envs.step([A, A, A])[0][:, -4].tolist() == [12, A, A]


@every_mode
def test_what_was_returned_stays_as_it_was(mode: AutoresetMode) -> None:
    for observation in ("tokens", "dict", "one_hot"):
        envs, rng = make_envs("ruled", 4, mode, observation=observation, text_infos=True), np.random.default_rng(0)
        kept, copies = [], []
        out: Any = envs.reset(seed=0)
        for _ in range(50):
            kept.append((out, envs.action_masks(), envs.prompt_indices, envs.last_episodes, envs.last_rows))
            shown = (out, kept[-1][1], kept[-1][2], None if kept[-1][3] is None else kept[-1][3].tokens, kept[-1][4])
            copies.append(copy.deepcopy(shown))
            if mode is AutoresetMode.DISABLED and len(out) == 5 and out[2].any():
                out = envs.reset(options={"reset_mask": out[2]})
            else:
                out = envs.step(any_actions(envs, rng))
        for (out, masks, prompts, episodes, rows), expected in zip(kept, copies, strict=True):
            assert_same((out, masks, prompts, None if episodes is None else episodes.tokens, rows), expected)


def arrays_in(value: Any) -> list[Any]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else []
    return [value] if isinstance(value, np.ndarray) else [array for part in parts for array in arrays_in(part)]


@every_mode
def test_no_array_is_another_one_in_disguise(mode: AutoresetMode) -> None:
    envs = make_envs("combined", 3, mode, observation="dict", text_infos=True, gold=True)
    for out in (envs.reset(seed=0), envs.step([EOS, 7, A])):
        arrays = [
            *arrays_in(out),
            envs.action_masks(),
            envs._core.tokens,
            envs._core.over,
            envs._core.legality.masks(envs._core),
        ]
        assert not [(n, m) for n, one in enumerate(arrays) for m in range(n) if np.shares_memory(one, arrays[m])]


@every_mode
def test_no_text_is_decoded_unless_somebody_asks(mode: AutoresetMode, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_decode(self: Any, ids: Any) -> str:
        raise AssertionError("decoded")

    monkeypatch.setattr("textgym.tokenizers.WordTokenizer.decode", no_decode)
    envs, rng = make_envs("plain", 4, AutoresetMode.NEXT_STEP, gold=True), np.random.default_rng(0)
    envs.reset(seed=0)
    assert sum(int(envs.step(any_actions(envs, rng))[2].sum()) for _ in range(30)) > 10
    envs.step(np.full(4, EOS))
    envs.step(np.full(4, EOS))
    with pytest.raises(AssertionError, match="decoded"):
        assert envs.last_episodes.completions


def test_the_last_episodes_are_those_of_the_latest_step() -> None:
    envs = make_envs(gold=True)
    envs.reset(seed=0)
    assert envs.last_episodes is None
    _, rewards, _, _, infos = envs.step([EOS, A, EOS])
    assert envs.last_rows.tolist() == [0, 2]
    assert envs.last_returns.tolist() == rewards[[0, 2]].tolist()
    assert envs.last_episodes.gold().tolist() == infos["gold"][[0, 2]].tolist()
    assert envs.last_episodes.stop_reasons == ["eos", "eos"]
    envs.step([A, A, A])
    assert envs.last_episodes is None
    assert not envs.last_rows.size
    envs.step([EOS, EOS, EOS])
    envs.reset()
    assert envs.last_episodes is None
    state = envs.get_state()
    envs.step([EOS, EOS, EOS])
    envs.set_state(state)
    assert (envs.last_episodes, envs.last_rows.size, envs.last_returns.size) == (None, 0, 0)


def test_the_reward_is_called_once_a_step_and_not_for_illegal_texts() -> None:
    recorder = Recorder()
    envs = TextGenerationVectorEnv(toy(reward=recorder), num_envs=4)
    envs.reset(seed=0)
    envs.step([EOS, A, 7, EOS])
    envs.step([A, 7, A, A])
    assert [reasons for reasons, _ in recorder.calls] == [["eos", "eos"]]


# ---- what may not be asked ----------------------------------------------------------------------------------------

WRONG = [[12, A, A], [-1, A, A], [0.0, 1.0, 0.0], ["a", "b", "c"], [None] * 3, [A], [[A, A, A]], A, None]


@every_mode
def test_wrong_actions_are_errors_that_change_nothing(mode: AutoresetMode) -> None:
    envs, twin = make_envs("ruled", mode=mode), make_envs("ruled", mode=mode)
    for one in (envs, twin):
        one.reset(seed=4)
        one.step([A, B, 7])
        if mode is AutoresetMode.DISABLED:
            one.reset(options={"reset_mask": np.array([False, False, True])})
    for actions in WRONG:
        with pytest.raises(ActionError, match="expected"):
            envs.step(actions)
    for _ in range(3):
        row = twin.action_masks().argmax(axis=1)
        assert_same(envs.step(row), twin.step(row))


def test_there_is_no_step_before_the_first_reset() -> None:
    envs = make_envs()
    assert envs.action_masks().any(axis=1).all()
    with pytest.raises(EpisodeOverError, match="reset"):
        envs.step([A, A, A])


BAD_RESETS = [
    ({"seed": [1, 2]}, ConfigurationError, "2 seeds for 3 lanes"),
    ({"options": {"prompt_index": len(PROMPTS)}}, PromptError, "expected"),
    ({"options": {"prompt_index": [0, 1]}}, PromptError, "expected"),
    ({"options": {"prompt_index": [0, 1, 2.5]}}, PromptError, "expected"),
    ({"options": {"reset_mask": np.zeros(3, bool)}}, ConfigurationError, "some True"),
    ({"options": {"reset_mask": np.ones(2, bool)}}, ConfigurationError, "shape"),
    ({"options": {"reset_mask": [True] * 3}}, ConfigurationError, "bool array"),
    ({"options": {"reset_mask": np.ones(3, int)}}, ConfigurationError, "bool array"),
]


@pytest.mark.parametrize(("kwargs", "error", "message"), BAD_RESETS)
def test_a_refused_reset_changes_nothing(kwargs: dict[str, Any], error: type[TextGymError], message: str) -> None:
    envs, twin = make_envs(), make_envs()
    for one in (envs, twin):
        one.reset(seed=2)
        one.step([A, B, A])
    with pytest.raises(error, match=message):
        envs.reset(**{"seed": 9, **kwargs})
    assert_same(envs.step([A, A, EOS]), twin.step([A, A, EOS]))
    assert_same(envs.reset(), twin.reset())


def test_options_are_read_and_never_changed() -> None:
    options = {"prompt_index": np.array([0, 1, 2]), "reset_mask": np.array([True, True, False])}
    before = copy.deepcopy(options)
    make_envs(mode="Disabled").reset(options=options)
    assert_same(options, before)


@every_timing
@pytest.mark.parametrize("how", ["raise", "nan", "inf", "short", "text"])
def test_a_failing_reward_names_the_text(how: str, timing: str) -> None:
    envs = TextGenerationVectorEnv(toy(reward=Faulty(how)), num_envs=3, reward_timing=timing)
    envs.reset(seed=0, options={"prompt_index": np.array([0, 1, 2])})
    envs.step([A, A, A])
    if timing == "end":
        envs.step([B, D, B])
    with pytest.raises(RewardError, match="prompt 'pan  the plot ', completion 'a d'"):
        envs.step([EOS, EOS if timing == "end" else D, B])
    with pytest.raises(EpisodeOverError):
        envs.step([A, A, A])
    envs.reset(seed=0)
    assert envs.step([EOS, A, A])[1][0] == 1.0


def test_a_reward_that_knows_only_single_texts_is_found_out() -> None:
    envs = TextGenerationVectorEnv(toy(reward=Faulty("batches")), num_envs=3)
    envs.reset(seed=0)
    with pytest.raises(RewardError, match="batch of 2 texts, though on none of them alone"):
        envs.step([EOS, A, EOS])


# ---- seeds and state ----------------------------------------------------------------------------------------------


def test_a_lane_does_not_know_how_many_others_there_are() -> None:
    few, many = make_envs("noisy", 2), make_envs("noisy", 9)
    rng = np.random.default_rng(0)
    few.reset(seed=30)
    many.reset(seed=30)
    for _ in range(30):
        actions = rng.integers(5, size=9)
        one, other = few.step(actions[:2]), many.step(actions)
        assert_same(one[0], other[0][:2])
        assert one[1].tolist() == other[1][:2].tolist()


def test_unseeded_lanes_differ_from_each_other() -> None:
    envs = make_envs(lanes=50)
    envs.reset()
    assert len(set(envs.get_state()["core"]["keys"].tolist())) == 50


@every_mode
@every_timing
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["combined", "ruled and stopping"])
def test_a_copy_taken_at_any_step_goes_on_identically(name: str, way: str, timing: str, mode: AutoresetMode) -> None:
    check_copies_of(name, mode, way, reward_timing=timing)


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_of_a_conversation_goes_on_identically(way: str) -> None:
    check_copies_of("talking", AutoresetMode.NEXT_STEP, way, reward_timing="turn")


def check_copies_of(name: str, mode: AutoresetMode, way: str, **kwargs: Any) -> None:
    rng = np.random.default_rng(2)

    def make() -> Any:
        return make_envs(name, 4, mode, **kwargs)

    def choose(envs: Any, last: Any) -> Event:
        if last is None:
            return "reset", {"seed": 1}
        if mode is AutoresetMode.DISABLED and len(last) == 5 and last[2].any():
            return "reset", {"options": {"reset_mask": last[2]}}
        return "step", any_actions(envs, rng)

    check_copies(make, choose, way=way, events=50)


def test_the_default_environment_pickles() -> None:
    def make() -> Any:
        return gym.make_vec("TextGen-v0", num_envs=3).unwrapped

    rng = np.random.default_rng(0)

    def choose(envs: Any, last: Any) -> Event:
        return ("step", any_actions(envs, rng)) if last else ("reset", {"seed": 0})

    check_copies(make, choose, way="pickle", events=15)


# ---- pictures and small things ------------------------------------------------------------------------------------


def test_each_lane_is_a_line_of_text() -> None:
    envs = make_envs(render_mode="ansi")
    envs.reset(seed=0, options={"prompt_index": np.array([0, 1, 2])})
    envs.step([A, B, 7])
    lines = envs.render()
    assert [text in line for text, line in zip(("movie", "plot", "praise"), lines, strict=True)] == [True] * 3
    assert make_envs().render() is None


def test_both_environments_say_how_a_text_ends() -> None:
    assert make_envs().eos_id == TextGenerationEnv(PLAIN).eos_id == EOS
    assert make_envs("two ends").eos_id == 7


@pytest.mark.parametrize("name", ["SAME_STEP", "SameStep"])
def test_autoreset_modes_go_by_name_or_value(name: str) -> None:
    envs: Any = gym.make_vec("TextGen-v0", num_envs=2, autoreset_mode=name)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
