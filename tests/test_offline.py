"""Agents that learn from a recording: what they compute, what they honour, and what they learn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textgym
from textgym.agents.base import load_agent
from textgym.agents.registry import make_agent
from textgym.errors import ConfigurationError, TrainingError
from textgym.recorder import record, record_uniform
from textgym.recordings import MASK, PROMPT_INDEX, Recording, Transitions

torch = pytest.importorskip("torch")

from textgym.agents.offline.agent import Batch, PrefixNetwork  # noqa: E402 - they need torch
from textgym.agents.offline.bc import BC, best_episodes  # noqa: E402
from textgym.agents.offline.cql import CQL  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
TINY = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})
SMALL: dict[str, Any] = {"hidden": (32,), "steps": 400, "batch_size": 128, "learning_rate": 5e-3}


@pytest.fixture(scope="module")
def random_play() -> Recording:
    return record_uniform(TINY, 4000, seed=1)


def table(envs: textgym.EnvFactory, steps: int, seed: int = 0) -> Any:
    agent = make_agent("q_learning", seed=seed)
    agent.learn(envs, steps)
    return agent


def steps_of(**changes: Any) -> Transitions:
    """Two steps over three ids and two positions, the second of which ends the text."""
    steps = Transitions(
        tokens=np.array([[3, 3], [0, 3]], dtype=np.int32),
        actions=np.array([0, 1]),
        rewards=np.array([0.25, 2.0]),
        next_tokens=np.array([[0, 3], [0, 1]], dtype=np.int32),
        ended=np.array([False, True]),
        masks=np.array([[True, True, False], [True, True, False]]),
        next_masks=np.array([[True, True, False], [True, True, False]]),
        returns_to_go=np.array([2.25, 2.0]),
        vocab_size=3,
    )
    return replace(steps, **changes)


def network_of(rows: dict[tuple[int, int], list[float]]) -> Any:
    """What returns the given numbers for the given texts."""

    class Table(torch.nn.Module):
        def forward(self, tokens: Any) -> Any:
            return torch.tensor([rows[tuple(row)] for row in tokens.tolist()])

    return Table()


VALUES = {(3, 3): [0.0, 1.0, 9.0], (0, 3): [2.0, 1.0, 7.0], (0, 1): [5.0, 5.0, 5.0]}


def cql_loss(steps: Transitions, **config: Any) -> float:
    return CQL(**config).loss(network_of(VALUES), Batch.of(steps, np.arange(2)), 0).item()


def huber(error: float) -> float:
    return 0.5 * error**2 if abs(error) < 1 else abs(error) - 0.5


# ---- what is computed ----------------------------------------------------------------------------------------------


def test_the_loss_of_cql_is_the_formula_with_masks_in_targets_and_penalty() -> None:
    # The best legal value after the first step is 2 (7 is illegal), and nothing follows the second.
    bellman = (huber(0.0 - (0.25 + 2.0)) + huber(1.0 - 2.0)) / 2
    assert cql_loss(steps_of(), alpha=0.0) == pytest.approx(bellman)
    assert cql_loss(steps_of(), alpha=0.0, discount=0.5) == pytest.approx((huber(-1.25) + huber(1.0 - 2.0)) / 2)
    penalty = (np.log(1 + np.e) - 0.0 + np.log(np.e**2 + np.e) - 1.0) / 2
    assert cql_loss(steps_of(), alpha=0.5) == pytest.approx(bellman + 0.5 * penalty, rel=1e-5)


def test_an_illegal_token_in_the_data_cannot_make_the_penalty_negative() -> None:
    illegal = steps_of(actions=np.array([2, 2]))
    only_bellman = cql_loss(illegal, alpha=0.0)
    assert cql_loss(illegal, alpha=1.0) > only_bellman


def test_targets_come_from_a_copy_that_is_renewed_now_and_then() -> None:
    agent = CQL(alpha=0.0, target_update=2)
    batch = Batch.of(steps_of(), np.arange(2))
    first = agent.loss(network_of(VALUES), batch, 0).item()
    higher = {text: [value + 10.0 for value in values] for text, values in VALUES.items()}
    with_old_copy = agent.loss(network_of(higher), batch, 1).item()
    with_new_copy = agent.loss(network_of(higher), batch, 2).item()
    assert first == pytest.approx((huber(2.25) + huber(1.0)) / 2)
    assert with_old_copy == pytest.approx((huber(10.0 - 2.25) + huber(11.0 - 2.0)) / 2)
    assert with_new_copy == pytest.approx((huber(10.0 - 12.25) + huber(11.0 - 2.0)) / 2)


def test_the_loss_of_cloning_is_the_cross_entropy_among_legal_tokens() -> None:
    found = BC().loss(network_of(VALUES), Batch.of(steps_of(), np.arange(2)), 0).item()
    assert found == pytest.approx((np.log(1 + np.e) - 0.0 + np.log(np.e**2 + np.e) - 1.0) / 2, rel=1e-5)


def test_the_network_is_one_over_one_hot_tokens() -> None:
    network = PrefixNetwork(2, 3, (5, 4))
    tokens = torch.tensor([[0, 3], [2, 1]])
    one_hot = torch.nn.functional.one_hot(tokens, 4).reshape(2, 8).float()
    assert torch.allclose(network(tokens), network.rest(one_hot @ network.first.weight), atol=1e-6)
    assert network(tokens).shape == (2, 3)


def test_the_best_texts_are_chosen_for_each_prompt() -> None:
    recording = record(make_agent("uniform"), "TextGen-v0", episodes=80)
    prompts = np.array([episode.infos[PROMPT_INDEX][0] for episode in recording.episodes])
    kept = best_episodes(recording, 0.25)
    for prompt in set(prompts.tolist()):
        rows = np.flatnonzero(prompts == prompt)
        chosen = [row for row in kept if row in rows]
        assert len(chosen) == max(1, round(len(rows) / 4))
        left = np.setdiff1d(rows, chosen)
        assert recording.returns[chosen].min() >= recording.returns[left].max()
    assert best_episodes(recording, 1.0) == list(range(80))


# ---- what is learned -----------------------------------------------------------------------------------------------


def test_cloning_a_table_writes_what_the_table_writes() -> None:
    expert = table(TINY, 20_000)
    agent = BC(seed=0, **SMALL)
    agent.learn_offline(record(expert, TINY, episodes=60, epsilon=0.2))
    assert agent.losses[-1] < agent.losses[0]
    greedy: dict[str, Any] = {"n": 1, "deterministic": True}
    assert textgym.generate(agent, TINY, **greedy) == textgym.generate(expert, TINY, **greedy)


def test_a_clone_of_random_play_is_nearly_uniform_and_exactly_legal(random_play: Recording) -> None:
    agent = BC(seed=0, **SMALL)
    agent.learn_offline(random_play)
    first = random_play.episodes[0]
    mask = first.infos[MASK][:1].astype(bool)
    probabilities = np.exp(agent.log_probs(first.observations[:1], mask))[0]
    assert probabilities.sum() == pytest.approx(1.0)
    assert (probabilities[~mask[0]] == 0.0).all()
    assert np.abs(probabilities[mask[0]] - 1 / mask.sum()).max() < 0.1


def test_q_learning_from_random_play_finds_the_optimum_and_its_value() -> None:
    random_play = record_uniform(TINY, 12_000, seed=1)
    agent = CQL(seed=0, alpha=0.0, hidden=(128,), steps=1000, learning_rate=3e-3, target_update=50)
    agent.learn_offline(random_play)
    measured = textgym.evaluate(agent, TINY, episodes=4)
    best = textgym.exact.solve(TINY).optimal_return
    assert measured.mean_return == pytest.approx(best)
    first = random_play.episodes[0]
    legal = first.infos[MASK][0].astype(bool)
    assert agent.q_values(first.observations[:1])[0].numpy()[legal].max() == pytest.approx(best, abs=0.3)


def test_a_heavy_penalty_stays_with_what_the_data_have() -> None:
    narrow = record(lambda observations, masks, **_: masks.argmax(axis=1), TINY, episodes=40, epsilon=0.05)
    agent = CQL(seed=0, alpha=100.0, **SMALL)
    agent.learn_offline(narrow)
    first = narrow.episodes[0]
    mask = first.infos[MASK][:1].astype(bool)
    assert agent.act(first.observations[:1], mask)[0] == mask[0].argmax()


@pytest.mark.parametrize("name", ["bc", "cql"])
def test_no_illegal_token_is_ever_written(name: str, random_play: Recording) -> None:
    agent: Any = make_agent(name, seed=0, **{**SMALL, "steps": 5})
    agent.learn_offline(random_play)
    for deterministic in (True, False):
        texts = record(agent, TINY, episodes=60, deterministic=deterministic)
        reasons = {str(episode.infos["stop_reason"][-1]) for episode in texts.episodes}
        assert "illegal" not in reasons


@pytest.mark.parametrize("name", ["bc", "cql"])
def test_they_repeat_bit_for_bit_and_go_on_from_earlier_training(name: str, random_play: Recording) -> None:
    twins: list[Any] = [make_agent(name, seed=3, **{**SMALL, "steps": 30}) for _ in range(2)]
    state = torch.random.get_rng_state()
    for agent in twins:
        agent.learn_offline(random_play)
    assert twins[0].losses == twins[1].losses
    assert torch.equal(torch.random.get_rng_state(), state)  # the global generator is left as it was
    ended = twins[0].losses[-1]
    twins[0].learn_offline(random_play)
    assert twins[0].losses[0] < twins[1].losses[0]
    assert abs(twins[0].losses[0] - ended) < abs(twins[1].losses[0] - ended)


def test_a_recording_without_masks_is_learned_from(random_play: Recording) -> None:
    bare = [replace(e, infos={k: v for k, v in e.infos.items() if k != MASK}) for e in random_play.episodes]
    agent = CQL(seed=0, **{**SMALL, "steps": 20})
    agent.learn_offline(replace(random_play, episodes=bare))
    assert len(agent.losses) == 20


def test_a_conversation_is_learned_from() -> None:
    envs = textgym.EnvFactory("TextGen/GuessNumber-v0")
    agent = CQL(seed=0, **{**SMALL, "steps": 50})
    agent.learn_offline(record(make_agent("uniform"), envs, episodes=40))
    assert len(textgym.evaluate(agent, envs, episodes=3).returns) == 3


# ---- data sets and bad input ---------------------------------------------------------------------------------------


@pytest.fixture
def data_set(tmp_path: Path, random_play: Recording) -> Path:
    pytest.importorskip("minari")
    pytest.importorskip("pyarrow")
    from textgym.integrations import minari

    minari.write(replace(random_play, episodes=random_play.episodes[:40]), tmp_path / "play-v0")
    return tmp_path / "play-v0"


def test_a_data_set_is_learned_from_without_a_single_step(data_set: Path) -> None:
    from textgym.benchmarks.meter import Meter
    from textgym.benchmarks.metering import MeteredFactory

    agent: Any = make_agent("cql", dataset=str(data_set), **{**SMALL, "steps": 20})
    meter = Meter(100)
    agent.learn(MeteredFactory.around(TINY, meter), 100)
    assert (meter.steps, len(agent.losses)) == (0, 20)
    same: Any = make_agent("cql", **{**SMALL, "steps": 20})
    same.learn_offline(data_set)
    assert same.losses == agent.losses


def test_data_of_another_environment_are_refused_by_name(data_set: Path, random_play: Recording) -> None:
    agent: Any = make_agent("bc", dataset=str(data_set), **{**SMALL, "steps": 2})
    with pytest.raises(ConfigurationError, match=r"play-v0.*was recorded in TextGen-v0 \(task Reviews, level tiny"):
        agent.learn(textgym.EnvFactory("TextGen-v0"), 100)
    agent.learn_offline(random_play)
    with pytest.raises(ConfigurationError, match="learned with 7 positions and 11 ids, the data have 8 and 24"):
        agent.learn_offline(record(make_agent("uniform"), "TextGen-v0", episodes=2))
    with pytest.raises(ConfigurationError, match="learned with 7 positions and 11 ids, the environment has 8 and 24"):
        textgym.evaluate(agent, "TextGen-v0", episodes=2)


@pytest.mark.parametrize("name", ["bc", "cql"])
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"steps": 0}, "steps=0"),
        ({"batch_size": 1.5}, "batch_size=1.5"),
        ({"hidden": ()}, r"hidden=\(\)"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
    ],
)
def test_options_that_cannot_work_are_explained(name: str, option: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make_agent(name, **option)


def test_options_of_one_agent_are_checked_too() -> None:
    for agent, option in (
        (BC, {"best": 0.0}),
        (CQL, {"alpha": -1.0}),
        (CQL, {"target_update": 0}),
        (CQL, {"target_update": 1.5}),
    ):
        with pytest.raises(ConfigurationError, match=next(iter(option))):
            agent(**option)


def test_an_agent_that_knows_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"not learned anything yet; call learn_offline\(\)"):
        textgym.evaluate(BC(), TINY, episodes=1)
    with pytest.raises(ConfigurationError, match="nothing that could be saved"):
        CQL().save(tmp_path)


def test_a_loss_that_is_no_number_ends_the_training(random_play: Recording) -> None:
    broken = replace(random_play.episodes[0], rewards=np.full(len(random_play.episodes[0]), np.nan))
    with pytest.raises(TrainingError, match="step 0: the loss is nan"):
        CQL(**SMALL).learn_offline(replace(random_play, episodes=[broken]))


def test_illegal_tokens_are_not_imitated(random_play: Recording) -> None:
    first = random_play.episodes[0]
    never = replace(first, infos={**first.infos, MASK: np.zeros_like(first.infos[MASK])})
    with pytest.raises(ConfigurationError, match="no legal token that could be imitated"):
        BC(**SMALL).learn_offline(replace(random_play, episodes=[never]))
    mixed = replace(random_play, episodes=[never, *random_play.episodes[1:3]])
    assert len(BC().select(mixed)) == sum(map(len, random_play.episodes[1:3]))


def test_a_damaged_folder_is_explained(tmp_path: Path, random_play: Recording) -> None:
    agent = BC(**{**SMALL, "steps": 2})
    agent.learn_offline(random_play)
    agent.save(tmp_path)
    assert json.loads((tmp_path / "agent.json").read_text(encoding="utf-8"))["class"] == "textgym.agents.offline.bc:BC"
    (tmp_path / "network.safetensors").write_bytes(b"torn")
    with pytest.raises(ConfigurationError, match="cannot be read.*train it again"):
        load_agent(tmp_path)


# ---- the bar -------------------------------------------------------------------------------------------------------

SEEDS = 5
T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}  # Student's t for a two-sided interval of 95 %


def gain(agent: Any, seed: int) -> float:
    """What an agent earns more than the behaviour that its data come from, on data of mixed quality."""
    envs = textgym.EnvFactory("TextGen-v0")
    half = table(envs, 40_000, seed)
    data = record(make_agent("uniform"), envs, episodes=2500, seed=seed) + record(half, envs, episodes=2500, seed=seed)
    agent.learn_offline(data)
    return float(textgym.evaluate(agent, envs, episodes=200, seed=seed).mean_return - data.returns.mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bc", "cql"])
def test_offline_agents_beat_the_behaviour_that_their_data_come_from(name: str) -> None:
    torch.set_num_threads(1)
    gains = np.array([gain(make_agent(name, seed=seed), seed) for seed in range(SEEDS)])
    half_width = T_975[SEEDS - 1] * gains.std(ddof=1) / np.sqrt(SEEDS)
    assert gains.mean() - half_width > 0.0, gains


def test_the_example_runs_and_beats_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    pytest.importorskip("minari")
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    code = (ROOT / "docs" / "examples" / "offline.py").read_text(encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "offline.py", "exec", dont_inherit=True), namespace)
    namespace["main"](episodes=200, steps=300)
    lines = capsys.readouterr().out.splitlines()
    earned = {line.split(":")[0]: float(line.split()[-1]) for line in lines if "mean return" in line}
    assert earned["cql"] > earned["the data"]
    assert earned["bc"] > earned["the data"]
    assert (tmp_path / "data" / "mixed-v0" / "data" / "metadata.json").is_file()
