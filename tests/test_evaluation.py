"""Evaluation counts what it says it counts, and score() gives the numbers that stepping gives."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playing import any_action, play_episode
from toys import (
    BUDGET,
    COMBINED,
    EOS,
    FACTS,
    PLAIN,
    PROMPTS,
    TOYS,
    A,
    B,
    D,
    Faulty,
    Gold,
    Noisy,
    Recorder,
    Weighted,
    toy,
)

import textgym
from textgym.env import TextGenerationEnv
from textgym.episodes import Prompt
from textgym.errors import (
    ActionError,
    ConfigurationError,
    PromptError,
    RewardError,
    TaskError,
    UnknownNameError,
)
from textgym.evaluation import evaluate, normalized_score
from textgym.factory import EnvFactory, as_factory
from textgym.language_models import NGramLanguageModel
from textgym.playing import play
from textgym.task import Task
from textgym.writing import generate, score

pytestmark = pytest.mark.filterwarnings("ignore:the reward .* failed on prompt")  # the first marked failure warns

ID = "TextGen-v0"


def factory(task: Task = PLAIN, **kwargs: Any) -> EnvFactory:
    return EnvFactory(ID, {"task": task, **kwargs})


def random_act(observations: Any, action_masks: Any, *, deterministic: bool, episode_starts: Any) -> Any:
    """Some legal id that hangs on the observation alone, so that it is the same in any batch."""
    numbers = observations.astype(np.int64).sum(axis=1) * 7919 % 101
    return np.array([np.flatnonzero(mask)[n % mask.sum()] for mask, n in zip(action_masks, numbers, strict=True)])


class LaneLength:
    """Writes ``lane % 5`` letters and the end id: a policy whose length hangs on the lane."""

    def __init__(self) -> None:
        self.calls: list[tuple[bool, list[bool]]] = []

    def act(self, observations: Any, action_masks: Any, *, deterministic: bool, episode_starts: Any) -> Any:
        self.calls.append((deterministic, episode_starts.tolist()))
        written = (observations[:, -BUDGET:] != 12).sum(axis=1)
        return np.where(written >= np.arange(len(observations)) % 5, EOS, A)


# ---- factories ----------------------------------------------------------------------------------------------------


def test_a_factory_makes_both_kinds_and_knows_its_task() -> None:
    envs = factory(observation="dict").vector(3, autoreset_mode="SameStep")
    assert envs.num_envs == 3
    assert envs.metadata["autoreset_mode"] is gym.vector.AutoresetMode.SAME_STEP
    assert "tokens" in envs.single_observation_space.spaces
    assert factory(observation="dict").single(observation="one_hot").observation_space.shape == (8 * 13,)
    assert factory(max_new_tokens=2).task().budget == 2
    assert pickle.loads(pickle.dumps(EnvFactory(ID, {"level": "tiny"}))) == EnvFactory(ID, {"level": "tiny"})


def test_ids_and_factories_are_taken_alike() -> None:
    assert as_factory(ID, level="tiny") == EnvFactory(ID, {"level": "tiny"})
    own = factory()
    assert as_factory(own) is own
    assert as_factory(own, split="test").kwargs["split"] == "test"
    assert "split" not in own.kwargs
    with pytest.raises(ConfigurationError, match="expected an env id"):
        as_factory(gym.make(ID))  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="Did you mean"):
        evaluate(random_act, ID, episodes=1, rewrad=1)


# ---- evaluate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("episodes", [1, 7, 256, 300, 600])
def test_episode_i_is_the_first_episode_of_lane_i(episodes: int) -> None:
    batch, returns = play(LaneLength(), factory(), episodes=episodes, seed=5)
    lanes = np.arange(episodes) % 256
    assert batch.lengths.tolist() == (lanes % 5 + 1).tolist()
    env = TextGenerationEnv(PLAIN)
    for episode in {0, episodes // 2, episodes - 1}:
        env.reset(seed=5 + episode)
        assert batch.prompt_indices[episode] == env.prompt_index
        reward = 0.0
        for token in batch.ids(episode):
            reward += env.step(token)[1]
        assert returns[episode] == reward
        assert env.last_episodes is not None
        assert env.last_episodes.keys[0] == batch.keys[episode]


def test_an_agent_is_told_how_to_play_and_where_texts_begin() -> None:
    agent = LaneLength()
    play(agent, factory(), episodes=3, deterministic=False)
    assert [starts for _, starts in agent.calls] == [[True] * 3, [True, False, False], [False, True, False]]
    assert {deterministic for deterministic, _ in agent.calls} == {False}


def test_an_evaluation_says_what_was_measured() -> None:
    result = evaluate(LaneLength(), factory(), episodes=40, seed=3, split="all")
    assert len(result.returns) == len(result.texts) == len(result.lengths) == 40
    assert result.lengths.tolist() == [lane % 5 + 1 for lane in range(40)]
    assert result.stop_reasons == {"eos": 40}
    assert result.golds is not None
    assert result.successes is not None
    assert result.mean_return == pytest.approx(np.mean(result.returns))
    assert result.standard_error == pytest.approx(np.std(result.returns, ddof=1) / np.sqrt(40))
    assert result.gold_standard_error == pytest.approx(np.std(result.golds, ddof=1) / np.sqrt(40))
    assert result.deterministic
    signs = {prompt.text: prompt.metadata["sign"] for prompt in PROMPTS}
    for text, reward, gold, success in zip(result.texts, result.returns, result.golds, result.successes, strict=True):
        assert (text["reward"], text["gold"]) == (reward, gold)
        assert gold == text["completion"].count("a") * signs[text["prompt"]]
        assert success == (gold > 0)
    assert evaluate(LaneLength(), factory(), episodes=1).standard_error == 0.0


def test_all_prompts_are_measured_equally_often() -> None:
    for split, count in (("train", 3), ("test", 2), ("all", 5)):
        texts = evaluate(random_act, factory(split=split), episodes=30).texts
        counts = [sum(text["prompt"] == prompt.text for text in texts) for prompt in PROMPTS]
        assert counts == [30 // count if split in ("all", prompt.split) else 0 for prompt in PROMPTS]


def test_illegal_texts_have_the_lowest_gold() -> None:
    result = evaluate(lambda observations, *_, **__: np.full(len(observations), 7), factory(), episodes=4)
    assert result.stop_reasons == {"illegal": 4}
    assert result.returns.tolist() == [-7.0] * 4
    assert result.mean_gold == Gold.range[0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_normalisation_uses_the_facts_of_the_split(split: str) -> None:
    result = evaluate(LaneLength(), factory(), episodes=10, split=split)
    facts = FACTS[split]["reward"]
    assert result.normalized == pytest.approx((result.mean_return - facts.random) / (facts.best - facts.random))
    assert result.regret == pytest.approx(facts.best - result.mean_return)
    assert result.why_not_normalized is None
    if split == "train":
        assert result.normalized_gold == pytest.approx(result.mean_gold / 2.0)
    else:
        assert result.normalized_gold is None
    assert normalized_score(factory(), facts.best, split=split) == 1.0
    assert normalized_score(factory(), facts.random, split=split) == 0.0


@pytest.mark.parametrize(
    ("kwargs", "gold", "normalized_gold"),
    [
        ({"reward": Weighted()}, True, True),
        ({"max_new_tokens": 4}, True, False),
        ({"prompts": ["pan"]}, False, False),
        ({"tokenizer": "word"}, False, False),
    ],
)
def test_without_facts_there_is_no_normalisation_but_a_reason(
    kwargs: dict[str, Any], gold: bool, normalized_gold: bool
) -> None:
    result = evaluate(random_act, factory(), episodes=6, **kwargs)
    assert result.normalized is None
    assert result.regret is None
    assert f"{next(iter(kwargs))} was overridden" in str(result.why_not_normalized)
    assert (result.golds is not None) == (result.mean_gold is not None) == gold
    assert (result.normalized_gold is not None) == normalized_gold
    with pytest.raises(TaskError, match="overridden"):
        normalized_score(factory(), 1.0, **kwargs)


def test_an_evaluation_is_the_same_however_the_reward_is_paid() -> None:
    one, other = (evaluate(random_act, factory(), episodes=20, reward_timing=timing) for timing in ("end", "step"))
    assert one.returns.tolist() == other.returns.tolist()
    assert one.texts == other.texts


@pytest.mark.parametrize(
    "bad", [[EOS], np.zeros((3, 1), int), np.zeros(3), [None] * 3, [True] * 3, EOS, None], ids=repr
)
def test_bad_actions_of_an_agent_are_its_own_fault(bad: Any) -> None:
    with pytest.raises(
        ConfigurationError, match="act.. returned shape.*for 3 observations; expected one token id each"
    ):
        play(lambda *_, **__: bad, factory(), episodes=3)


def test_ids_outside_the_vocabulary_are_errors_too() -> None:
    with pytest.raises(ActionError, match="0 to 11"):
        evaluate(lambda observations, *_, **__: np.full(len(observations), 12), factory(), episodes=3)


@pytest.mark.parametrize("episodes", [0, -3])
def test_there_must_be_episodes(episodes: int) -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        evaluate(random_act, factory(), episodes=episodes)


# ---- metrics ------------------------------------------------------------------------------------------------------


def test_a_function_with_other_parameters_is_told_what_it_is_called_with() -> None:
    with pytest.raises(ConfigurationError, match=r"<lambda> cannot be called as an agent .*expected def act\("):
        evaluate(lambda observation: 0, factory(), episodes=2)


def test_metrics_are_single_numbers_of_what_was_measured() -> None:
    result = evaluate(random_act, factory(), episodes=40, split="all")
    metrics = result.metrics
    assert result.golds is not None
    assert result.successes is not None
    assert set(metrics) == {
        "mean_return", "cumulative_return", "mean_gold", "reward_error", "reward_correlation", "success",
        "mean_length", "distinct_1", "distinct_2", "duplicate_share",
    }  # fmt: skip
    assert all(type(value) is float for value in metrics.values())
    assert metrics["cumulative_return"] == pytest.approx(result.returns.sum())
    assert metrics["success"] == np.mean(result.successes)
    assert metrics["reward_error"] == pytest.approx(np.mean((result.returns - result.golds) ** 2))
    assert metrics["reward_correlation"] == pytest.approx(np.corrcoef(result.returns, result.golds)[0, 1])
    assert metrics["mean_length"] == result.lengths.mean()
    texts = [text["completion"] for text in result.texts]
    assert metrics["duplicate_share"] == result.duplicate_share == 1 - len(set(texts)) / 40
    words = [word for text in texts for word in text.split()]
    assert metrics["distinct_1"] == result.distinct_1 == len(set(words)) / len(words)
    pairs = {pair for text in texts for pair in pairwise(text.split())}
    assert metrics["distinct_2"] == result.distinct_2 == len(pairs) / len(words)


def test_references_and_language_models_add_metrics() -> None:
    own = toy(prompts=[Prompt("praise", references=("a b",))])
    model = NGramLanguageModel.fit([[A, B, EOS]], vocab_size=own.tokenizer.vocab_size)
    result = evaluate(LaneLength(), factory(own), episodes=5, language_model=model)
    assert {"bleu", "chrf", "rouge_l", "cross_entropy", "perplexity"} <= set(result.metrics)
    assert result.metrics["perplexity"] == pytest.approx(np.exp(result.metrics["cross_entropy"]))
    assert not {"mean_gold", "success", "reward_error"} & set(result.metrics)
    by_task = evaluate(first_legal, ID, episodes=20, level="tiny").metrics
    assert by_task["perplexity"] > 1.0


def first_legal(observations: Any, action_masks: Any, **_: Any) -> Any:
    """Always the first legal id."""
    return action_masks.argmax(axis=1)


def test_nothing_is_computed_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("metrics were computed")

    monkeypatch.setattr("textgym.evaluation.text_metrics", refuse)
    result = evaluate(random_act, factory(), episodes=4)
    with pytest.raises(AssertionError, match="metrics were computed"):
        _ = result.metrics
    monkeypatch.undo()
    assert result.metrics is result.metrics


def test_an_evaluation_pickles_whatever_the_reward() -> None:
    result = evaluate(random_act, factory(), episodes=8, reward=lambda batch: batch.lengths * 1.0, gold=False)
    other = pickle.loads(pickle.dumps(result))
    assert other.metrics == result.metrics
    assert other.texts == result.texts
    assert other.returns.tolist() == result.returns.tolist()


# ---- score --------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["plain", "combined", "noisy", "ruled", "stopping", "two ends", "bytes"]),
    seed=st.integers(0, 1000),
    count=st.integers(1, 6),
)
def test_scores_are_what_stepping_earns(name: str, seed: int, count: int) -> None:
    task, rng = TOYS[name], np.random.default_rng(seed)
    prompts, completions, earned = [], [], []
    for lane in range(count):
        env = TextGenerationEnv(task)
        index = int(rng.integers(len(task.prompts)))
        env.reset(seed=lane, options={"prompt_index": index})
        completions.append([])
        terminated = False
        while not terminated:
            completions[-1].append(any_action(env, rng, illegal=0.2))
            _, reward, terminated, _, _ = env.step(completions[-1][-1])
        prompts.append(task.prompts.texts[index])
        earned.append(reward)
    assert score(factory(task), prompts, completions).tolist() == earned


@pytest.mark.parametrize("level", ["easy", "hard"])
def test_texts_of_the_suite_score_what_they_earned(level: str) -> None:
    env, rng = gym.make(ID, level=level).unwrapped, np.random.default_rng(0)
    infos, earned = [], []
    for _ in range(20):
        _, reward, _, _, info = play_episode(env, rng)[-1]
        infos.append(info)
        earned.append(reward)
    prompts, texts = ([info[name] for info in infos] for name in ("prompt", "completion"))
    assert score(ID, prompts, texts, level=level).tolist() == earned


def test_a_text_stands_for_its_tokens_and_the_end_where_there_is_room() -> None:
    prompts = ["praise the movie"] * 2
    texts = ["a b", "a b a b a"]
    ids = [[A, B, EOS], [A, B, A, B, A]]
    assert score(factory(), prompts, texts).tolist() == score(factory(), prompts, ids).tolist()


def test_held_out_prompts_can_be_scored_from_a_training_environment() -> None:
    expected = score(factory(split="test"), ["pan the movie"], ["a"])
    assert score(factory(split="train"), ["pan the movie"], ["a"]).tolist() == expected.tolist()
    assert score(factory(), [], []).shape == (0,)


def test_the_reward_is_asked_once_and_about_these_texts_only() -> None:
    recorder = Recorder()
    score(factory(toy(reward=recorder)), ["praise"] * 3, [[EOS], [7], [A, A, B, A, A]])
    assert recorder.calls == [(["eos", "length"], ["", "a a b a a"])]
    assert score(factory(toy(reward=Noisy())), ["praise"] * 9, [[EOS]] * 9).tolist() == pytest.approx(
        score(factory(toy(reward=Noisy())), ["pan the movie"] * 9, [[A] * 5] * 9).tolist()
    )


@pytest.mark.parametrize(
    ("prompts", "completions", "error", "message"),
    [
        (["praise"], [], ConfigurationError, "1 prompts and 0 completions"),
        (["prais"], ["a"], PromptError, "Did you mean 'praise'"),
        (["praise", "praise"], ["a", [A, B]], PromptError, "completion 1 .* does not end"),
        (["praise"], [[]], PromptError, "does not end"),
        (["praise"], ["a b a b a b"], PromptError, "6 tokens; the budget is 5"),
        (["praise"], ["a zebra"], PromptError, "outside the vocabulary"),
        (["praise"], [[A, EOS, A]], PromptError, "goes on after its end"),
        (["praise"], [[A] * 6], PromptError, "goes on after its end"),
        ("praise", ["a"], ConfigurationError, "a single string"),
        (["praise"], [[A, 99]], ActionError, "99"),
        (["praise"], [[1.0, EOS]], ActionError, "whole numbers"),
        (["praise"], [["a", "b"]], ActionError, "whole numbers"),
    ],
)
def test_what_cannot_be_scored(prompts: Any, completions: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        score(factory(), prompts, completions)


def test_scoring_passes_on_what_the_reward_complains_of() -> None:
    with pytest.raises(RewardError, match="completion 'd'"):
        score(factory(toy(reward=Faulty("nan"))), ["praise"] * 2, ["a", "d"])
    marked = score(factory(toy(reward=Faulty("nan"))), ["praise"] * 2, ["a", [D, EOS]], on_reward_error="mark")
    assert marked.tolist() == [2.0, -7.0]
    assert score(factory(), ["praise"], ["a"], reward=COMBINED).shape == (1,)


# ---- generate -----------------------------------------------------------------------------------------------------


def test_generated_texts_stand_in_the_order_of_the_prompts() -> None:
    def write_prompt_word(observations: Any, *_: Any, **__: Any) -> Any:
        first = observations[:, -BUDGET] == 12
        return np.where(first, np.where(observations[:, 0] == 12, A, observations[:, 0] - 4), EOS)

    texts = generate(write_prompt_word, factory(), prompts=["pan the movie", "praise", "praise the movie"], n=2)
    assert texts == ["c", "c", "a", "a", "b", "b"]
    assert generate(write_prompt_word, factory(), n=3, split="train", seed=1) == generate(
        write_prompt_word, factory(), n=3, split="train", seed=1
    )
    with pytest.raises(PromptError, match="Did you mean"):
        generate(write_prompt_word, factory(), prompts=["praises"])


def test_the_package_offers_these_by_name() -> None:
    assert (textgym.score, textgym.generate, textgym.evaluate) == (score, generate, evaluate)
    assert textgym.EnvFactory is EnvFactory
    assert set(textgym.__all__) <= set(dir(textgym))
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        _ = textgym.scores
