"""The exact solver against brute force, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from brute import Scrambled, problems, step_through
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toys import PLAIN, D, Faulty, Noisy, constant, toy

import textgym
from textgym import tasks
from textgym.constraints import NoRepeat
from textgym.env import TextGenerationEnv
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError, PromptError, RewardError, SolveError, TooLargeError
from textgym.exact import TreeSolution, solve
from textgym.keys import uniform
from textgym.task import Task

discounts = st.sampled_from([1.0, 0.9, 0.0])


@settings(max_examples=50, deadline=None)
@given(problems(), discounts, st.sampled_from(["end", "step"]), st.sampled_from([None, 5.0]))
def test_equals_brute_force_on_random_tasks(
    task: Task, discount: float, timing: str, illegal_reward: float | None
) -> None:
    solution = solve(task, discount=discount, reward_timing=timing, illegal_reward=illegal_reward)
    env = TextGenerationEnv(task, reward_timing=timing)
    for prompt, text in enumerate(task.prompts.texts):
        truth = step_through(env, prompt, discount=discount)
        assert len(truth) == solution.tree.node_count
        for prefix, (value, values) in truth.items():
            q, legal = solution.q(prefix, text), solution.legal(prefix, text)
            assert set(np.flatnonzero(legal)) == set(values)
            assert solution.value(prefix, text) == pytest.approx(value, abs=1e-12)
            assert q[legal] == pytest.approx([values[action] for action in np.flatnonzero(legal)], abs=1e-12)
        assert solution.optimal_returns[text] == pytest.approx(truth[()][0], abs=1e-12)
        assert earn(env, prompt, solution.optimal_ids(text), discount) == pytest.approx(truth[()][0], abs=1e-12)


def earn(env: TextGenerationEnv, prompt: int, ids: list[int], discount: float = 1.0) -> float:
    """What stepping through these ids pays; they must end the text exactly at the last."""
    env.reset(options={"prompt_index": prompt})
    total = 0.0
    for place, index in enumerate(ids):
        _, reward, terminated, _, _ = env.step(index)
        total += discount**place * reward
        assert terminated == (place + 1 == len(ids))
    return total


@pytest.mark.parametrize("timing", ["end", "step"])
def test_bellmans_equation_holds_when_the_environment_is_stepped(timing: str) -> None:
    solution = solve("TextGen-v0", reward_timing=timing)
    env, rng = TextGenerationEnv(reward_timing=timing), np.random.default_rng(0)
    residuals = []
    for _ in range(200):
        prompt = int(rng.choice(env.task.prompts.rows("train")))
        env.reset(options={"prompt_index": prompt})
        prefix: list[int] = []
        terminated = False
        while not terminated:
            q, legal = solution.q(prefix, prompt), env.action_masks()
            residuals.append(abs(solution.value(prefix, prompt) - q[legal].max()))
            action = int(rng.choice(np.flatnonzero(legal)))
            _, reward, terminated, _, _ = env.step(action)
            prefix.append(action)
            residuals.append(abs(q[action] - reward - (0.0 if terminated else solution.value(prefix, prompt))))
    assert max(residuals) < 1e-10


def test_illegal_ids_are_worth_what_they_pay() -> None:
    for timing in ("end", "step"):
        solution = solve(PLAIN, prompt="praise", reward_timing=timing)
        env = TextGenerationEnv(PLAIN, reward_timing=timing)
        env.reset(options={"prompt_index": 2})
        env.step(0)
        assert solution.q([0], "praise")[7] == pytest.approx(env.step(7)[1], abs=1e-12)


@pytest.mark.parametrize("kind", ["reward", "gold"])
@pytest.mark.parametrize("level", ["tiny", "easy"])
def test_reviews_facts_are_what_solve_finds(level: str, kind: str) -> None:
    for split in ("train", "test") if level == "easy" else ("all",):
        solution = solve("TextGen-v0", level=level, split=split, kind=kind)
        expected = tasks.get("Reviews", level).returns(split, kind)
        for name in ("random", "blind", "best"):
            assert getattr(solution.returns, name) == pytest.approx(getattr(expected, name), abs=1e-9)


def test_the_optimum_scores_one() -> None:
    solution = solve("TextGen-v0")
    assert textgym.normalized_score("TextGen-v0", solution.optimal_return) == pytest.approx(1.0, abs=1e-9)
    assert solution.optimal_texts["pan the plot"] == ("was awful and really awful",)
    assert solution.optimal_return == pytest.approx(np.mean(list(solution.optimal_returns.values())))


def test_factories_environments_and_tasks_are_the_same_problem() -> None:
    returns = [
        solve(env).optimal_return
        for env in (
            textgym.EnvFactory("TextGen-v0", {"level": "tiny"}),
            TextGenerationEnv(level="tiny"),
            tasks.get("Reviews", "tiny"),
        )
    ]
    assert returns == [solve("TextGen-v0", level="tiny").optimal_return] * 3


def test_one_prompt_can_be_solved_alone() -> None:
    alone = solve("TextGen-v0", prompt="praise the jokes")
    together = solve("TextGen-v0")
    assert alone.optimal_return == together.optimal_returns["praise the jokes"]
    assert alone.value("were") == together.value("were", "praise the jokes")
    assert solve("TextGen-v0", prompt=0).optimal_return == together.optimal_returns["praise the movie"]


def test_ties_are_all_listed() -> None:
    solution = solve(toy(reward=Longest(), prompts=["praise"], budget=2))
    assert solution.optimal_return == 2.0
    assert len(solution.optimal_texts["praise"]) == 5 * 6  # a letter, then a letter or the end
    assert solution.optimal_ids() == [0, 0]


@dataclass(frozen=True)
class Longest:
    """The number of tokens."""

    range = (0.0, 99.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        return batch.lengths.astype(float)


# ---- what cannot be seen cannot be used ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Secret:
    """1 where the text ends with the letter that only the metadata names."""

    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        secrets = np.array(batch.metadata("secret"))
        return (batch.completion_ids[:, 0] == secrets).astype(float)


def test_prompts_that_look_alike_are_merged() -> None:
    prompts = [Prompt("praise", metadata={"secret": letter}) for letter in (0, 0, 1)]
    solution = solve(toy(reward=Secret(), prompts=prompts, budget=1))
    assert solution.optimal_return == pytest.approx(2 / 3)
    assert solution.q()[:3] == pytest.approx([2 / 3, 1 / 3, 0.0])
    clairvoyant = [solve(toy(reward=Secret(), prompts=[prompt], budget=1)).optimal_return for prompt in prompts]
    assert clairvoyant == [1.0, 1.0, 1.0]


def test_a_prompt_named_by_its_text_stands_for_all_that_look_like_it() -> None:
    prompts = [Prompt("pan", metadata={"secret": 1})]
    prompts += [Prompt("praise", metadata={"secret": letter}) for letter in (0, 0, 1)]
    task = toy(reward=Secret(), prompts=prompts, budget=1)
    named, whole = solve(task, prompt="praise"), solve(task)
    assert named.optimal_return == pytest.approx(2 / 3)
    assert named.value((), "praise") == whole.value((), "praise") == whole.value((), np.int64(2))
    assert [solve(task, prompt=row).optimal_return for row in (1, 2, np.int64(3))] == [1.0, 1.0, 1.0]
    assert solve("TextGen-v0", prompt="pan the movie").optimal_returns.keys() == {"pan the movie"}  # of another split


def test_prompts_with_different_ids_are_not_merged() -> None:
    prompts = [Prompt(text, metadata={"secret": letter}) for letter, text in enumerate(["praise", "pan"])]
    solution = solve(toy(reward=Secret(), prompts=prompts, budget=1))
    assert solution.optimal_return == 1.0
    assert solution.returns.blind == 0.5
    assert solution.returns.random == pytest.approx(1 / 6)


@dataclass(frozen=True)
class Lottery:
    """Pays 0 or 2 by chance, plus one a letter."""

    range = (0.0, 99.0)
    stochastic = True

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        return batch.lengths + 2.0 * (uniform(batch.keys, "lottery") < 0.25)

    def outcomes(self, batch: EpisodeBatch) -> list[tuple[float, NDArray[np.float64]]]:
        return [(0.75, batch.lengths * 1.0), (0.25, batch.lengths + 2.0)]


def test_stochastic_rewards_are_solved_in_expectation() -> None:
    assert solve(toy(reward=Lottery(), prompts=["pan"], budget=3)).optimal_return == pytest.approx(3.5)
    with pytest.raises(SolveError, match="outcomes"):
        solve(toy(reward=Noisy(), prompts=["pan"]))


@dataclass(frozen=True)
class OddLottery(Lottery):
    """Its chances add up to 1, but are none."""

    def outcomes(self, batch: EpisodeBatch) -> list[tuple[float, NDArray[np.float64]]]:
        return [(1.5, batch.lengths * 1.0), (-0.5, batch.lengths + 2.0)]


def test_chances_are_from_0_to_1() -> None:
    with pytest.raises(RewardError, match=r"probabilities \[1.5, -0.5\]"):
        solve(toy(reward=OddLottery(), prompts=["pan"], budget=2))


def test_gold_of_illegal_texts_is_the_lowest_whatever_they_are_paid() -> None:
    solution = solve(PLAIN, kind="gold", illegal_reward=-100.0, prompt=0)
    envs = textgym.EnvFactory("TextGen-v0", {"task": PLAIN, "illegal_reward": -100.0})
    illegal = PLAIN.tokenizer.vocab_size - 1
    played = textgym.evaluate(lambda observations, *_, **__: np.full(len(observations), illegal), envs, episodes=1)
    assert not solution.legal()[illegal]
    assert solution.q()[illegal] == played.golds[0] == -5.0
    assert solve(PLAIN, illegal_reward=-100.0, prompt=0).q()[illegal] == played.returns[0] == -100.0


def test_failed_rewards_are_paid_as_the_environment_pays_them() -> None:
    task = toy(reward=Faulty("nan"), prompts=["pan"], budget=2)
    with pytest.raises(RewardError, match="it returned nan"):
        solve(task)
    with pytest.warns(UserWarning, match="paid -7 and counted"):
        marked = solve(task, on_reward_error="mark")
    assert (marked.optimal_return, marked.q([D])[0], marked.q([0])[D], marked.q([0])[0]) == (2.0, -7.0, -7.0, 2.0)


# ---- bad input ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moody:
    """No function of the text: of the batch around it, of the key, or of how often it was asked."""

    how: str
    calls: list[int] = field(default_factory=list)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        self.calls.append(1)
        if self.how == "batch":
            return np.arange(len(batch)) * 1.0
        if self.how == "key":
            return uniform(batch.keys, "mood")
        return np.full(len(batch), float(len(self.calls)))


@pytest.mark.parametrize("how", ["batch", "key", "calls"])
def test_rewards_that_are_no_functions_are_found_out(how: str) -> None:
    with pytest.raises(SolveError, match="when it was asked again"):
        solve(toy(reward=Moody(how), prompts=["pan"]))


def test_too_large_problems_are_refused_with_an_estimate() -> None:
    with pytest.raises(TooLargeError, match=r"6\.\d+e\+36 texts.*years.*max_new_tokens") as caught:
        solve("TextGen-v0", level="hard", kind="gold", prompt=0)
    assert "GB" in str(caught.value)
    for limit in ({"max_gigabytes": 0.001}, {"max_seconds": 0.01}):
        with pytest.raises(TooLargeError, match=r"about 3.25e\+06 texts"):
            solve("TextGen-v0", engine="tree", **limit)
        assert solve("TextGen-v0", **limit).engine == "automaton"


def test_a_slow_reward_is_refused_after_few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    now, scored = [0.0], [0]

    def judge(batch: EpisodeBatch) -> NDArray[np.float64]:
        """Takes a second a text."""
        now[0] += len(batch)
        scored[0] += len(batch)
        return np.zeros(len(batch))

    monkeypatch.setattr("textgym.exact.expansion.time.perf_counter", lambda: now[0])
    with pytest.raises(TooLargeError, match=r"minutes|hours"):
        solve("TextGen-v0", level="tiny", reward=judge)
    assert scored[0] < 60


def test_problems_that_rules_make_large_are_refused_on_the_way() -> None:
    many = toy(prompts=["w1"], tokenizer=textgym.tokenizers.WordTokenizer([f"w{n}" for n in range(60)]), budget=12)
    ruled = replace(many, make_constraints=constant((NoRepeat(),)))
    with pytest.raises(TooLargeError, match="at least"):
        solve(ruled, max_gigabytes=0.01)


def test_more_texts_than_a_float_can_hold_are_refused() -> None:
    with pytest.raises(TooLargeError, match=r"e\+2\d\d texts"):
        solve(toy(budget=900))


@dataclass(frozen=True)
class Slow(Scrambled):
    """Counts its calls: what is first asked of it takes as long as a model takes to load."""

    clock: list[float] = field(default_factory=lambda: [0.0, 10.0])

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        self.clock[0] += self.clock[1] + 0.001 * len(batch)
        self.clock[1] = 0.0
        return super().__call__(batch)


def stop_at_the_first(completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Ends a text with the letter a."""
    return (completions == 0).any(axis=1)


@pytest.mark.parametrize("stop", [None, stop_at_the_first])
def test_the_estimate_is_that_of_whole_texts_and_without_loading(stop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only the reward moves: a millisecond a text, after ten seconds for the first."""
    reward = Slow(1)
    monkeypatch.setattr("textgym.exact.expansion.time.perf_counter", lambda: reward.clock[0])
    task = toy(reward=reward, prompts=["pan"], stop=stop, budget=3)
    texts = solve(task).tree.text_count
    reward.clock[:] = [0.0, 10.0]
    assert solve(task, max_seconds=0.002 * texts).tree.text_count == texts
    with pytest.raises(TooLargeError, match="by trying all texts"):
        solve(task, max_seconds=0.0005 * texts)


def test_errors_say_what_may_be_asked() -> None:
    solution = solve("TextGen-v0", level="easy")
    with pytest.raises(PromptError, match="4 prompts were solved; say which"):
        solution.value("was")
    with pytest.raises(PromptError, match="was not solved"):
        solution.value("was", "pan the movie")
    with pytest.raises(PromptError):
        solution.value("was", "pan the moon")
    with pytest.raises(SolveError, match="'wos' has text outside the vocabulary"):
        solution.value("wos", 0)
    for prompt in (1.0, True, [0]):
        with pytest.raises(PromptError, match="expected a row of the prompts, or a prompt's text"):
            solution.value("was", prompt)
    for prefix in (None, 3, [0.5]):
        with pytest.raises(SolveError, match="expected a text, or a list of ids"):
            solution.value(prefix, 0)
    with pytest.raises(SolveError, match=r"id \d+ may not be written after"):
        solution.value("was praise", 0)
    with pytest.raises(SolveError, match="has ended"):
        solution.value([0, 1, 2, 3, 4], 0)
    with pytest.raises(SolveError, match="has ended"):
        solution.value([solution.task.tokenizer.eos_ids[0]], 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"discount": 1.5}, "discount"),
        ({"discount": "1"}, "discount"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("inf")}, "a finite number above 0"),
        ({"max_seconds": "1"}, "max_seconds='1'"),
        ({"max_gigabytes": 0}, "max_gigabytes=0"),
        ({"temperature": 1.0, "discount": 0.9}, "discount at 1"),
        ({"kind": "fun"}, "'reward' or 'gold'"),
        ({"engine": "steam"}, "engine"),
        ({"prompt": 99}, "expected a row"),
        ({"prompt": 0.5}, "expected a row"),
        ({"prompt": True}, "expected a row"),
        ({"reference": object()}, "log_probs"),
        ({"levle": "tiny"}, "Did you mean 'level'"),
    ],
)
def test_wrong_options_are_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigurationError, SolveError, textgym.errors.UnknownNameError), match=message):
        solve("TextGen-v0", **{"level": "tiny", **options})


def test_other_peoples_environments_are_refused() -> None:
    with pytest.raises(SolveError, match="not a textgym environment"):
        solve("CartPole-v1")
    with pytest.raises(SolveError, match="no true score"):
        solve(toy(prompts=["pan"]), kind="gold")
    with pytest.raises(ConfigurationError, match="takes no further arguments"):
        solve(TextGenerationEnv(), level="tiny")


def test_the_dense_arrays_are_the_look_ups() -> None:
    solution = solve(replace(PLAIN, make_reward=constant(Scrambled(1))))
    assert isinstance(solution, TreeSolution)
    for depth, level in enumerate(solution.tree.levels):
        for row, tokens in enumerate(level.tokens.tolist()):
            assert solution.tree.find(tokens) == (depth, row)
    prefix, group = solution.tree.levels[2].tokens[7].tolist(), solution.index.find("praise")
    assert solution.q(prefix, "praise")[solution.tree.columns].tolist() == solution.q_values[2][group, 7].tolist()
    assert solution.value(prefix, "praise") == solution.values[2][group, 7]
