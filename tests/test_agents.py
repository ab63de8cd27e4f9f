"""Every registered agent behind the same protocol: it learns, acts, keeps its word about seeds, saves and loads."""

from __future__ import annotations

import contextlib
import inspect
import json
import pickle
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chatting import save_writer, writing_endpoint

import textgym
from textgym.agents.base import TextGenerationAgent, load_agent, make_config, read_card, sample_uniform, tokens_of
from textgym.agents.q_learning import QLearning, QLearningConfig
from textgym.agents.registry import AGENTS, SUMMARIES, agent_class, make_agent
from textgym.benchmarks.meter import Meter
from textgym.benchmarks.metering import MeteredFactory
from textgym.errors import BudgetSpent, ConfigurationError, UnknownNameError

TINY = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})
MODEL = {"layers": 1, "width": 16, "heads": 2}
LEARNING = {**MODEL, "texts": 32, "lanes": 32, "sft_steps": 5}
SMALL: dict[str, dict[str, Any]] = {
    "dqn": {"learning_starts": 100, "hidden": (16,), "buffer_size": 1000},
    "ppo": {"lanes": 16, "hidden": (16,), "batch_size": 64},
    "a2c": {"lanes": 16, "hidden": (16,)},
    "maskable_ppo": {"lanes": 16, "hidden": (16,), "batch_size": 64},
    "frozen_lm": MODEL,
    "sft": {**MODEL, "steps": 5},
    "reinforce": LEARNING,
    "rloo": LEARNING,
    "lm_ppo": LEARNING,
    "grpo": LEARNING,
    "dpo": {**LEARNING, "rollouts": 1000, "steps": 5},
    "best_of_n": {**MODEL, "steps": 5, "n": 2},
    "beam": {**MODEL, "steps": 5, "beams": 2},
    "bc": {"steps": 20, "hidden": (16,)},
    "cql": {"steps": 20, "hidden": (16,)},
}


@pytest.fixture(scope="module", autouse=True)
def chat_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whom to ask, for the agents that are chat models."""
    folder = tmp_path_factory.mktemp("chat")
    with writing_endpoint() as stub, pytest.MonkeyPatch.context() as patch:
        endpoint = {"base_url": stub.url, "model": "stub", "cache": str(folder / "answers.sqlite")}
        patch.setitem(SMALL, "chat", {**endpoint, "write_on": True})
        if find_spec("transformers") is not None:
            model = str(save_writer(folder / "writer", TINY.task().tokenizer.tokens[:6]))
            patch.setitem(SMALL, "pipeline", {"model": model, "marker": "", "max_answer_tokens": 3, "write_on": True})
        yield


def make_small(name: str, seed: int = 0) -> Any:
    skip_without_packages(name)
    return make_agent(name, seed=seed, **SMALL.get(name, {}))


def skip_without_packages(name: str) -> None:
    for package, needed in (
        ("textgym.agents.sb3", "sb3_contrib"),
        ("textgym.agents.lm", "transformers"),
        ("textgym.agents.chat_pipeline", "transformers"),
        ("textgym.agents.chat:", "httpx"),
        ("textgym.agents.offline", "torch"),
    ):
        if AGENTS[name].startswith(package):
            pytest.importorskip(needed)


def see(lanes: int = 32) -> tuple[Any, Any]:
    envs: Any = TINY.vector(lanes)
    observations, _ = envs.reset(seed=5)
    observations, *_ = envs.step(sample_uniform(envs.unwrapped.action_masks(), np.random.default_rng(0)))
    return observations, envs.unwrapped.action_masks()


@pytest.mark.parametrize("name", AGENTS)
class TestContract:
    def test_follows_the_protocol(self, name: str) -> None:
        agent = make_small(name)
        assert isinstance(agent, TextGenerationAgent)
        assert list(inspect.signature(agent.learn).parameters)[:2] == ["envs", "total_steps"]
        assert name in SUMMARIES

    def test_spends_its_budget_and_no_more(self, name: str) -> None:
        agent = make_small(name)
        meter = Meter(1000)
        agent.learn(MeteredFactory.around(TINY, meter), 1000)
        assert 800 <= meter.steps <= 1000

    def test_lets_a_spent_budget_pass_or_keeps_what_it_learned(self, name: str) -> None:
        agent = make_small(name)
        meter = Meter(500)
        with contextlib.suppress(BudgetSpent):
            agent.learn(MeteredFactory.around(TINY, meter), 2000)
        assert meter.steps <= 500
        observations, masks = see()
        assert agent.act(observations, masks).shape == (32,)

    def test_acts_inside_the_action_space(self, name: str) -> None:
        agent = make_small(name)
        agent.learn(TINY, 1000)
        observations, masks = see()
        for deterministic in (True, False):
            actions = agent.act(observations, masks, deterministic=deterministic)
            assert actions.shape == (32,)
            assert actions.dtype == np.int64
            assert ((actions >= 0) & (actions < masks.shape[1])).all()
            if name not in ("dqn", "ppo", "a2c"):  # those know no masks
                assert masks[np.arange(32), actions].all()

    def test_reads_dict_observations_too(self, name: str) -> None:
        agent = make_small(name)
        agent.learn(TINY, 1000)
        observations, masks = see()
        flat, nested = agent.act(observations, masks), agent.act({"tokens": observations}, masks)
        if name != "uniform":
            known = np.array_equal(flat, nested)
            assert known or name == "q_learning"  # a table draws where it knows nothing
        assert nested.shape == (32,)

    def test_saves_and_loads_without_pickles(self, name: str, tmp_path: Path) -> None:
        agent = make_small(name)
        agent.learn(TINY, 2000)
        agent.save(tmp_path / "run")
        twin: Any = load_agent(tmp_path / "run")
        assert type(twin) is type(agent)
        assert twin.config == agent.config
        assert twin.seed == agent.seed
        assert not [file for file in (tmp_path / "run").iterdir() if file.suffix in (".pkl", ".pt", ".zip", ".bin")]
        if name not in ("uniform",):
            assert greedy_texts(twin) == greedy_texts(agent)

    def test_same_seed_same_agent(self, name: str) -> None:
        one, two = make_small(name, 1), make_small(name, 1)
        for agent in (one, two):
            agent.learn(TINY, 1000)
        assert sampled_texts(one) == sampled_texts(two)

    def test_an_unknown_option_is_explained(self, name: str) -> None:
        skip_without_packages(name)
        with pytest.raises(UnknownNameError, match="option"):
            make_agent(name, no_such_option=1)


def greedy_texts(agent: Any) -> list[str]:
    return [text["completion"] for text in textgym.evaluate(agent, TINY, episodes=4).texts]


def sampled_texts(agent: Any) -> list[str]:
    torch = __import__("sys").modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
    return textgym.generate(agent, TINY, n=8)


@pytest.mark.parametrize("seed", range(3))
def test_q_learning_finds_the_optimum_of_tiny(seed: int) -> None:
    agent = QLearning(seed=seed)
    agent.learn(TINY, 50_000)
    assert textgym.evaluate(agent, TINY, episodes=4).normalized == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["dqn", "ppo", "maskable_ppo"])
def test_deep_agents_learn_tiny(name: str) -> None:
    pytest.importorskip("sb3_contrib")
    steps, config = {"dqn": (15_000, {}), "ppo": (50_000, {"lanes": 64}), "maskable_ppo": (50_000, {"lanes": 64})}[name]
    agent = make_agent(name, seed=0, **config)
    before = textgym.evaluate(make_agent("uniform"), TINY, episodes=200).mean_return
    agent.learn(TINY, steps)
    after = textgym.evaluate(agent, TINY, episodes=4)
    assert after.mean_return > before + 1.0
    assert after.normalized is not None
    assert after.normalized > 0.8


def test_the_textbook_update_by_hand() -> None:
    """One lane, one text of one token: Q moves from 0 to alpha * r and nowhere else."""
    agent = QLearning(seed=0, lanes=1, learning_rate=0.25, epsilon_start=0.0, epsilon_end=0.0)
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny", "max_new_tokens": 1})
    agent.learn(envs, 1)
    first = int(np.flatnonzero(envs.vector(1).unwrapped.action_masks()[0])[0])  # type: ignore[attr-defined]
    token = envs.task().tokenizer.tokens[first]
    expected = 0.25 * textgym.score(envs, ["praise the movie"], [[first]])[0]
    assert agent.q[0, first] == pytest.approx(expected), token
    assert np.count_nonzero(agent.q) == 1


def test_q_learning_is_lost_on_prompts_it_never_saw() -> None:
    agent = QLearning(seed=0)
    agent.learn(textgym.EnvFactory("TextGen-v0"), 60_000)
    seen = textgym.evaluate(agent, "TextGen-v0", episodes=40).normalized
    unseen = textgym.evaluate(agent, "TextGen-v0", episodes=40, split="test").normalized
    assert seen is not None
    assert unseen is not None
    assert seen > 0.6
    assert unseen < 0.3


@pytest.mark.parametrize(
    "wrong", [{"learning_rate": 1.5}, {"epsilon_end": -0.1}, {"lanes": 0}, {"discount": 2.0}, {"exploration": 7}]
)
def test_q_learning_config_is_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        QLearning(**wrong)


def test_load_refuses_foreign_classes(tmp_path: Path) -> None:
    (tmp_path / "agent.json").write_text(json.dumps({"class": "os:system", "config": {}}), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="--trust"):
        load_agent(tmp_path)


@pytest.mark.parametrize(("content", "message"), [(None, "no agent"), ("{broken", "not valid JSON")])
def test_load_explains_what_is_wrong(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "agent.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        read_card(tmp_path)


def test_unknown_agent_has_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'q_learning'"):
        agent_class("q_lerning")
    with pytest.raises(UnknownNameError, match="looking for it"):
        agent_class("no_such_module:Agent")


def test_foreign_agents_by_module_and_name() -> None:
    assert agent_class("textgym.agents.q_learning:QLearning") is QLearning


def test_tokens_of_refuses_what_is_no_tokens() -> None:
    with pytest.raises(ConfigurationError, match="token ids"):
        tokens_of(np.zeros((2, 3)))


def test_make_config_names_the_option() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'lanes'"):
        make_config(QLearningConfig, {"lane": 3})
    assert make_config(QLearningConfig, {"lanes": 3}).lanes == 3


def test_sample_uniform_is_uniform_over_the_legal() -> None:
    masks = np.tile([True, False, True, True], (30_000, 1))
    counts = np.bincount(sample_uniform(masks, np.random.default_rng(0)), minlength=4)
    assert counts[1] == 0
    assert np.abs(counts[[0, 2, 3]] / 10_000 - 1).max() < 0.05


def test_log_probs_are_distributions() -> None:
    observations, masks = see()
    log_probs = make_agent("uniform").log_probs(observations, masks)  # type: ignore[attr-defined]
    assert np.exp(log_probs).sum(axis=1) == pytest.approx(np.ones(32))
    assert (np.isneginf(log_probs) == ~masks).all()


@pytest.mark.parametrize("name", ["ppo", "a2c", "maskable_ppo"])
def test_log_probs_of_policies(name: str) -> None:
    agent = make_small(name)
    agent.learn(TINY, 1000)
    observations, masks = see()
    log_probs = agent.log_probs(observations, masks)
    assert np.exp(log_probs).sum(axis=1) == pytest.approx(np.ones(32), abs=1e-5)
    assert np.array_equal(log_probs.argmax(axis=1), agent.act(observations, masks))
    if name == "maskable_ppo":
        assert np.exp(log_probs[~masks]).max() < 1e-6


@pytest.mark.parametrize("name", AGENTS)
def test_the_same_sampling_seed_writes_the_same_texts(name: str) -> None:
    agent = make_small(name)
    agent.learn(TINY, 1000)
    first = textgym.generate(agent, TINY, n=30, seed=5)
    assert textgym.generate(agent, TINY, n=30, seed=5) == first
    assert (textgym.generate(agent, TINY, n=30, seed=6) == first) == (name == "beam")  # which draws nothing


def test_a_sampling_dqn_explores_among_legal_tokens() -> None:
    pytest.importorskip("sb3_contrib")
    agent = make_agent("dqn", seed=0, **{**SMALL["dqn"], "exploration_final_eps": 1.0})
    agent.learn(TINY, 500)
    observations, masks = see(300)
    drawn = agent.act(observations, masks, deterministic=False)
    assert masks[np.arange(300), drawn].all()
    assert len(set(drawn.tolist())) == masks[0].sum()


def test_visits_count_every_token_written() -> None:
    agent = QLearning(seed=0)
    agent.learn(TINY, 3200)
    assert agent.visits.sum() == 3200


@pytest.mark.parametrize("name", ["q_learning", "ppo"])
def test_another_vocabulary_is_an_error_that_says_so(name: str) -> None:
    agent = make_small(name)
    with pytest.raises(ConfigurationError, match="not learned anything"):
        textgym.evaluate(agent, TINY, episodes=2)
    agent.learn(TINY, 1000)
    with pytest.raises(ConfigurationError, match="learned with"):
        textgym.evaluate(agent, "TextGen-v0", episodes=2)


@pytest.mark.parametrize("name", AGENTS)
def test_too_few_steps_for_one_update_are_an_error(name: str) -> None:
    with pytest.raises(ConfigurationError, match="too few"):
        make_small(name).learn(TINY, 3)


def test_a_damaged_run_folder_is_explained(tmp_path: Path) -> None:
    agent = QLearning(seed=0)
    agent.learn(TINY, 320)
    agent.save(tmp_path)
    for torn in (b"torn", b"", pickle.dumps([1])):
        (tmp_path / "table.npz").write_bytes(torn)
        with pytest.raises(ConfigurationError, match="cannot be read.*train it again") as caught:
            load_agent(tmp_path)
        assert "allow_pickle" not in str(caught.value)


def test_scoring_in_a_metered_environment_costs_what_writing_would() -> None:
    meter = Meter(10)
    envs = MeteredFactory.around(TINY, meter)
    textgym.score(envs, ["praise the movie"], ["was great"])
    assert (meter.steps, meter.reward_calls) == (3, 1)
    with pytest.raises(BudgetSpent):
        textgym.score(envs, ["praise the movie"] * 5, ["was great"] * 5)
