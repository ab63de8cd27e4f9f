"""Scores are held against the truth, and what nobody can earn is called impossible."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from toys import EOS, PLAIN, PROMPTS, A, Weighted, constant, toy

from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError, SolveError
from textgym.evaluation import evaluate
from textgym.exact import solve
from textgym.factory import EnvFactory
from textgym.returns import Returns
from textgym.rewards import PerText
from textgym.task import Task
from textgym.tokenizers import WordTokenizer

TINY = EnvFactory("TextGen-v0", {"level": "tiny"})


def factory(**kwargs: Any) -> EnvFactory:
    return EnvFactory("TextGen-v0", {"task": PLAIN, **kwargs})


def lane_length(observations: Any, action_masks: Any, **_: Any) -> Any:
    """Writes ``lane % 5`` letters and the end id."""
    written = (observations[:, PLAIN.prompts.width :] != PLAIN.tokenizer.vocab_size).sum(axis=1)
    return np.where(written >= np.arange(len(observations)) % 5, EOS, A)


def first_legal(observations: Any, action_masks: Any, **_: Any) -> Any:
    """Always the first legal id."""
    return action_masks.argmax(axis=1)


@dataclass(frozen=True)
class Solved:
    """What evaluate() asks of a solution."""

    returns: Returns
    optimal_returns: dict[str, float] = field(default_factory=lambda: {prompt.text: 0.0 for prompt in PROMPTS[:3]})
    kind: str = "reward"
    discount: float = 1.0

    @property
    def optimal_return(self) -> float:
        return self.returns.best


@dataclass(frozen=True)
class OnlyBest:
    """What a solution by dynamic programming knows."""

    optimal_return: float = 6.0

    @property
    def returns(self) -> Returns:
        raise SolveError("only the best is known")


def test_a_solution_gives_the_scale_that_an_override_dropped() -> None:
    truth = Solved(Returns(random=0.5, blind=1.0, best=4.5))
    result = evaluate(lane_length, factory(reward=Weighted()), episodes=9, truth=truth)
    assert result.normalized == pytest.approx((result.mean_return - 0.5) / 4.0)
    assert result.regret == pytest.approx(4.5 - result.mean_return)
    assert result.why_not_normalized is None
    assert result.normalized_gold == evaluate(lane_length, factory(), episodes=9).normalized_gold
    about_gold = evaluate(lane_length, factory(), episodes=9, truth=Solved(Returns(0.0, 0.0, 8.0), kind="gold"))
    assert about_gold.normalized_gold == pytest.approx(about_gold.mean_gold / 8.0)
    assert about_gold.normalized == evaluate(lane_length, factory(), episodes=9).normalized


def test_a_real_solution_agrees_with_what_the_task_states() -> None:
    stated, solved = (evaluate(first_legal, TINY, episodes=5, truth=truth) for truth in (None, solve(TINY)))
    assert solved.normalized == pytest.approx(stated.normalized, abs=1e-9)
    assert solved.regret == pytest.approx(stated.regret, abs=1e-9)
    assert (stated.impossible, solved.impossible) == (None, None)


def test_where_only_the_best_is_solved_there_is_a_regret() -> None:
    truth = OnlyBest()
    result = evaluate(lane_length, factory(reward=Weighted()), episodes=9, truth=truth)
    assert (result.normalized, result.why_not_normalized) == (None, "only the best is known")
    assert result.regret == pytest.approx(6.0 - result.mean_return)
    stated = evaluate(lane_length, factory(), episodes=9, truth=truth)
    assert stated.normalized == pytest.approx((stated.mean_return - 1.0) / 5.0)


def test_an_evaluation_says_which_ends_of_its_scale_are_not_exact() -> None:
    unsure = Returns(random=0.0, blind=0.1, best=9.0, inexact=("random", "blind", "best"))
    task = replace(PLAIN, make_facts=constant({"train": {"reward": unsure, "gold": Returns(0.0, 0.1, 9.0)}}))
    envs = EnvFactory("TextGen-v0", {"task": task})
    stated = evaluate(lane_length, envs, episodes=3)
    assert (stated.inexact, stated.inexact_gold) == (("random", "best"), ())
    assert evaluate(lane_length, envs, episodes=3, truth=OnlyBest(9.0)).inexact == ("random",)
    assert evaluate(lane_length, envs, episodes=3, truth=solve(PLAIN)).inexact == ()


def test_a_solved_best_is_exact_beside_estimates() -> None:
    facts = {"train": {"reward": Returns(random=0.0, blind=0.1, best=0.2, inexact=("random", "blind", "best"))}}
    unsure = EnvFactory("TextGen-v0", {"task": replace(PLAIN, make_facts=constant(facts))})
    for truth, flagged in ((None, False), (OnlyBest(), False), (OnlyBest(0.3), True)):
        assert (evaluate(lane_length, unsure, episodes=6, truth=truth).impossible is not None) == flagged


def test_where_all_texts_earn_the_same_there_is_no_scale_but_a_regret() -> None:
    result = evaluate(lane_length, factory(), episodes=6, truth=Solved(Returns(2.0, 2.0, 2.0)))
    assert (result.normalized, result.impossible) == (None, None)
    assert "every text earns 2" in str(result.why_not_normalized)
    assert result.regret == pytest.approx(2.0 - result.mean_return)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (Solved(Returns(0.0, 0.0, 1.0), optimal_returns={"praise": 1.0}), "about 1 prompts and the evaluation about 3"),
        (Solved(Returns(0.0, 0.0, 1.0), discount=0.9), "discount=1.0"),
    ],
)
def test_a_truth_must_be_about_the_same(truth: Solved, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        evaluate(lane_length, factory(), episodes=3, truth=truth)


def test_the_reason_names_the_way_out() -> None:
    result = evaluate(lane_length, factory(), episodes=3, reward=Weighted())
    assert "evaluate(..., truth=textgym.exact.solve(env)) finds them" in str(result.why_not_normalized)


def test_more_than_the_best_is_impossible() -> None:
    def judge(best: float, episodes: int = 6, act: Any = None, inexact: tuple[str, ...] = ()) -> Any:
        truth = Solved(Returns(random=0.0, blind=0.0, best=best, inexact=inexact))
        return evaluate(act or lane_length, factory(), episodes=episodes, truth=truth)

    fair = judge(4.0)
    assert (fair.impossible, fair.impossible_gold) == (None, None)
    sentence = judge(0.05).impossible
    assert sentence is not None
    assert sentence.startswith(f"a normalised reward of {judge(0.05).normalized:.3f} ± ")
    assert judge(0.05, inexact=("best",)).impossible is None
    assert judge(0.05, episodes=2).impossible is None  # not all prompts were played
    close = judge(fair.mean_return - 2.0 * fair.standard_error)
    assert close.normalized > 1.0
    assert close.impossible is None


def test_prompts_that_are_played_more_often_make_nothing_impossible() -> None:
    prompts = [Prompt(" ".join(["praise"] * (1 + number)), metadata={"pays": number < 50}) for number in range(100)]
    task = toy(reward=PaysByPrompt(), prompts=prompts, budget=2)
    envs = EnvFactory("TextGen-v0", {"task": task})
    uneven = evaluate(first_legal, envs, episodes=150, truth=solve(task))
    assert uneven.mean_return == pytest.approx(2 / 3)  # the best is 1/2, and none of them could earn more
    assert uneven.impossible is None
    cheated = evaluate(first_legal, envs, episodes=150, truth=Solved(Returns(0.0, 0.0, 0.1), names(task)))
    assert "a normalised reward of 5.000" in str(cheated.impossible)


def names(task: Task) -> dict[str, float]:
    return dict.fromkeys(task.prompts.texts, 0.0)


@dataclass(frozen=True)
class PaysByPrompt:
    """What the prompt pays, for the letter a and nothing else."""

    def __call__(self, batch: EpisodeBatch) -> Any:
        return np.array(batch.metadata("pays")) * (batch.completion_ids == A).all(axis=1)


def test_illegal_texts_that_are_paid_too_much_are_named() -> None:
    def act(observations: Any, action_masks: Any, **_: Any) -> Any:
        return np.full(len(observations), EOS + 1)

    result = evaluate(act, factory(illegal_reward=9.0), episodes=6, truth=solve(PLAIN))
    assert "is impossible with legal texts; illegal ones are paid 9 where the best" in str(result.impossible)
    assert evaluate(act, factory(), episodes=6, truth=solve(PLAIN)).impossible is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_new_tokens": 4}, "differ in their token budget"),
        ({"reward": Weighted()}, "differ in their reward"),
        ({"reward": PerText(lambda completion: 0.5 * len(completion))}, "differ in their reward"),
        ({"tokenizer": WordTokenizer([*"abcdexyz"])}, "differ in their vocabulary"),
    ],
)
def test_the_truth_of_another_task_is_refused(changes: dict[str, Any], message: str) -> None:
    own = {"prompts": ["a", "b"], "reward": PerText(lambda completion: 1.0 * len(completion))}
    with pytest.raises(ConfigurationError, match=message):
        evaluate(first_legal, factory(**own), episodes=2, truth=solve(factory(**{**own, **changes})))
    assert evaluate(first_legal, factory(**own), episodes=2, truth=solve(factory(**own))).regret is not None


def test_what_is_no_truth_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"truth=5: expected what textgym.exact.solve"):
        evaluate(first_legal, factory(), episodes=3, truth=5)


def test_gold_can_be_impossible_too() -> None:
    truth = Solved(Returns(random=-9.0, blind=-8.0, best=-7.0), kind="gold")
    result = evaluate(lane_length, factory(), episodes=6, truth=truth)
    assert "normalised gold of" in str(result.impossible_gold)
    assert result.impossible is None


@pytest.mark.parametrize(("value", "flagged"), [(1.0, False), (1.0 + 1e-7, False), (1.0 + 1e-5, True)])
def test_without_chance_any_excess_is_impossible(value: float, flagged: bool) -> None:
    truth = Solved(Returns(random=0.0, blind=0.0, best=1.0))
    result = evaluate(lane_length, factory(reward=Constant(value)), episodes=6, truth=truth)
    assert (result.impossible is not None) == flagged
    lucky = evaluate(lane_length, factory(reward=Luck(value)), episodes=6, truth=truth)
    assert lucky.impossible is None


@dataclass(frozen=True)
class Constant:
    """Pays the same for every text."""

    value: float

    def __call__(self, batch: EpisodeBatch) -> Any:
        return np.full(len(batch), self.value)


@dataclass(frozen=True)
class Luck(Constant):
    """The same, by chance."""

    stochastic = True
