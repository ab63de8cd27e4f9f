"""Exact values of conversations with chance in them: replies that are drawn anew, and choices that last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from talking import play_best, solved
from toys import PLAIN, A, B, C, D, E, Noisy, constant

from textgym.constraints import Lexicon
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import SolveError
from textgym.exact import solve
from textgym.keys import uniform
from textgym.task import Task
from textgym.tasks import get

LIES = 0.2
SECRETS = (A, B, C)


@dataclass(frozen=True)
class Liar:
    """Says whether the agent's letter is the secret, "d" for yes and "e" for no; lies now and then, or for good."""

    lasting: bool = False
    max_reply_tokens: int = 1
    stochastic: bool = True

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
        lies = uniform(batch.keys, "lie", 0 if self.lasting else batch.lengths) < LIES
        return self._say(batch, lies)

    def _say(self, batch: EpisodeBatch, lies: NDArray[np.bool_] | bool) -> NDArray[np.int32]:
        said = batch.completion_ids[np.arange(len(batch)), batch.lengths - 1]
        right = said == np.array(batch.metadata("secret"))
        return np.where(right != lies, D, E).astype(np.int32)[:, None]


@dataclass(frozen=True)
class Fickle(Liar):
    """Draws anew at every reply."""

    def outcomes(self, batch: EpisodeBatch) -> list[tuple[Any, NDArray[np.int32]]]:
        return [(1 - LIES, self._say(batch, False)), (np.full(len(batch), LIES), self._say(batch, True))]


@dataclass(frozen=True)
class Counting(Fickle):
    """The same, and says that only how often which letter was confirmed or denied matters."""

    def summary(self, batch: EpisodeBatch) -> NDArray[np.int64]:
        pairs = batch.completion_ids[:, : batch.completion_ids.shape[1] // 2 * 2].reshape(len(batch), -1, 2)
        return np.stack([(pairs == [a, r]).all(axis=2).sum(axis=1) for a in SECRETS for r in (D, E)], axis=1)


@dataclass(frozen=True)
class Forgetful(Fickle):
    """Says that nothing matters, though the replies tell of the secret."""

    def summary(self, batch: EpisodeBatch) -> NDArray[np.int64]:
        return np.zeros((len(batch), 1), dtype=np.int64)


@dataclass(frozen=True)
class Stubborn(Liar):
    """Lies always or never; the second key is one of those that lie."""

    lasting: bool = True

    def cases(self) -> list[tuple[float, int]]:
        keys = np.arange(50, dtype=np.uint64)
        lies = (uniform(keys, "lie") < LIES).tolist()
        return [(1 - LIES, lies.index(False)), (LIES, lies.index(True))]


@dataclass(frozen=True)
class LastLetter:
    """1 where the agent's last letter is the secret."""

    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        last = np.where(batch.is_agent, np.arange(batch.completion_ids.shape[1]), 0).max(axis=1)
        said = batch.completion_ids[np.arange(len(batch)), last]
        return (said == np.array(batch.metadata("secret"))).astype(np.float64)


def guessing(partner: Any, turns: int, secrets: Sequence[int] = SECRETS, **changes: Any) -> Task:
    usual: dict[str, Any] = {
        "make_prompts": constant(tuple(Prompt("praise", metadata={"secret": secret}) for secret in secrets)),
        "make_partner": constant(partner),
        "make_reward": constant(LastLetter()),
        "make_gold": None,
        "make_success": None,
        "make_facts": None,
        "make_constraints": constant((Lexicon(("a", "b", "c")),)),
        "max_turns": constant(turns),
        "max_new_tokens": constant(1),
    }
    return replace(PLAIN, **{**usual, **changes})


def play_every_policy(turns: int, secrets: Sequence[int], *, lasting: bool) -> float:
    """The best of all ways to choose a letter after each row of replies; the letters before follow from those."""
    heard = [row for size in range(turns) for row in product((D, E), repeat=size)]
    lies = [(row, LIES ** sum(row) * (1 - LIES) ** (len(row) - sum(row))) for row in product((0, 1), repeat=turns - 1)]
    if lasting:
        lies = [((0,) * (turns - 1), 1 - LIES), ((1,) * (turns - 1), LIES)]
    best = 0.0
    for letters in product(SECRETS, repeat=len(heard)):
        policy = dict(zip(heard, letters, strict=True))
        earned = 0.0
        for secret, (row, chance) in product(secrets, lies):
            replies: tuple[int, ...] = ()
            for lie in row:
                replies += (D if (policy[replies] == secret) != bool(lie) else E,)
            earned += chance * (policy[replies] == secret) / len(secrets)
        best = max(best, earned)
    return best


# ---- against every policy, and against luck -----------------------------------------------------------------------


@pytest.mark.parametrize("secrets", [SECRETS, (A, A, B)])
@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize(("partner", "lasting"), [(Fickle(), False), (Counting(), False), (Stubborn(), True)])
def test_values_equal_those_of_the_best_of_all_policies(
    partner: Any, lasting: bool, turns: int, secrets: Sequence[int]
) -> None:
    solution = solved(guessing(partner, turns, secrets))
    assert solution.optimal_return == pytest.approx(play_every_policy(turns, secrets, lasting=lasting), abs=1e-12)
    assert solution.random_return == pytest.approx(1 / 4)  # of three letters and the end id, one is right


def test_what_is_concluded_from_replies_that_may_be_lies() -> None:
    solution = solved(guessing(Fickle(), 2))
    yes = (1 - LIES) / (1 - LIES + 2 * LIES)  # Bayes: the secret says yes, or one of the two others lied
    assert solution.value([A, D]) == pytest.approx(yes)
    assert solution.q([A, D])[[A, B, C]] == pytest.approx([yes, (1 - yes) / 2, (1 - yes) / 2])
    assert solution.best_id([A, E]) == B
    stubborn = solved(guessing(Stubborn(), 3))
    with pytest.raises(SolveError, match="none that agent and partner can have"):
        stubborn.value([A, D, A, E])  # who never lies does not contradict themselves, nor does who always lies


@pytest.mark.parametrize("partner", [Fickle(), Counting(), Stubborn()])
def test_the_best_player_earns_as_much(partner: Any) -> None:
    task = guessing(partner, 4)
    solution = solved(task)
    paid = play_best(task, solution, 2000)
    assert paid.mean() == pytest.approx(solution.optimal_return, abs=4 * paid.std() / np.sqrt(2000))


@pytest.mark.parametrize("timing", ["end", "turn", "step"])
def test_however_they_are_paid(timing: str) -> None:
    expected = play_every_policy(3, SECRETS, lasting=False)
    assert solved(guessing(Fickle(), 3), reward_timing=timing).optimal_return == pytest.approx(expected)
    chain = solved(get("Chain"), prompt=0, reward_timing=timing)
    assert chain.optimal_return == pytest.approx(solved(get("Chain"), prompt=0).optimal_return, abs=1e-12)


def test_a_summary_must_know_what_was_paid_already() -> None:
    with pytest.raises(SolveError, match="go on differently"):
        solve(guessing(Counting(), 3), reward_timing="turn")  # the letter before counted, and no summary tells it


def test_summaries_save_work_and_change_no_value() -> None:
    plain, merged = solved(guessing(Fickle(), 5)), solved(guessing(Counting(), 5))
    assert merged.optimal_return == pytest.approx(plain.optimal_return, abs=1e-12)
    assert merged.random_return == pytest.approx(plain.random_return, abs=1e-12)
    sizes = [sum(len(layer.node) for layer in solution.layers) for solution in (merged, plain)]
    assert sizes[0] < sizes[1] / 5
    for prefix in ([A, D], [B, E, A, D], [A, D, B, E]):  # the last two are one conversation to the summary
        assert merged.q(prefix) == pytest.approx(plain.q(prefix), abs=1e-12)


def test_prompts_that_differ_are_weighed_by_how_many_they_are() -> None:
    prompts = (Prompt("pan", metadata={"secret": E}), *(Prompt("praise", metadata={"secret": s}) for s in SECRETS))
    solution = solved(guessing(Fickle(), 2, make_prompts=constant(prompts)))  # nobody can write the first one's secret
    assert solution.optimal_returns["pan"] == 0.0
    assert solution.optimal_return == pytest.approx(0.75 * play_every_policy(2, SECRETS, lasting=False))
    assert solution.random_return == pytest.approx(0.75 / 4)


def test_turns_of_several_words_are_summarised_too() -> None:
    @dataclass(frozen=True)
    class Mute:
        max_reply_tokens: int = 1

        def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
            return np.full((len(batch), 1), E, dtype=np.int32)

    @dataclass(frozen=True)
    class Indifferent(Mute):
        def summary(self, batch: EpisodeBatch) -> NDArray[np.int64]:
            assert batch.turns(0)[-1][0] == "partner" if batch.lengths[0] else True  # no unfinished turn is shown
            return np.zeros((len(batch), 1), dtype=np.int64)

    plain, merged = (solved(guessing(who, 3, max_new_tokens=constant(2))) for who in (Mute(), Indifferent()))
    assert merged.optimal_return == pytest.approx(plain.optimal_return) == pytest.approx(1 / 3)
    assert merged.random_return == pytest.approx(plain.random_return, abs=1e-12)
    assert sum(len(layer.node) for layer in merged.layers) < sum(len(layer.node) for layer in plain.layers) / 2
    assert merged.q([A, B, E, C]) == pytest.approx(plain.q([A, B, E, C]), abs=1e-12)


def test_scores_may_be_random_too() -> None:
    @dataclass(frozen=True)
    class Coin(LastLetter):
        stochastic = True

        def outcomes(self, batch: EpisodeBatch) -> list[tuple[float, NDArray[np.float64]]]:
            return [(0.5, self(batch) - 1.0), (0.5, self(batch) + 1.0)]

    task = guessing(Fickle(), 2)
    noisy = replace(task, make_reward=constant(Coin()))
    assert solved(noisy).optimal_return == pytest.approx(solved(task).optimal_return)
    with pytest.raises(SolveError, match="outcomes are not known"):
        solve(replace(task, make_reward=constant(Noisy())))


def test_replies_that_begin_alike_are_told_apart_by_what_follows() -> None:
    @dataclass(frozen=True)
    class Echo(Liar):
        """Says "d", or "d" and what was said."""

        max_reply_tokens: int = 2

        def outcomes(self, batch: EpisodeBatch) -> list[tuple[Any, NDArray[np.int32]]]:
            said = batch.completion_ids[np.arange(len(batch)), batch.lengths - 1]
            long = np.stack([np.full_like(said, D), said], axis=1)
            return [(0.5, long[:, :1]), (0.5, long)]

    solution = solved(guessing(Echo(), 3, (A,)))
    assert solution.value([A, D, A]) == solution.value([A, D, A, D]) == 1.0  # the second "a" is the agent's there
    assert solution.value([A, D, A, B, D]) == 1.0
    with pytest.raises(SolveError, match="is none that agent and partner can have"):
        solution.value([A, D, B, B])


# ---- what partners may say wrongly --------------------------------------------------------------------------------


def test_chance_that_is_not_stated_is_refused() -> None:
    with pytest.raises(SolveError, match=r"offer outcomes\(batch\) -> .* or cases\(\)"):
        solve(guessing(Liar(), 2))


@pytest.mark.parametrize("chances", [(0.6, 0.5), (0.2, 0.5), (1.5, -0.5)])
def test_chances_add_up_to_1(chances: tuple[float, float]) -> None:
    def outcomes(self: Liar, batch: EpisodeBatch) -> list[Any]:
        return [(chance, self._say(batch, lie)) for chance, lie in zip(chances, (False, True), strict=True)]

    with pytest.raises(SolveError, match="outcomes of the partner .* add up to"):
        solve(guessing(type("Wrong", (Liar,), {"outcomes": outcomes})(), 2))
    wrong = type("Wrong", (Liar,), {"cases": lambda self: [*zip(chances, (1, 2), strict=True)]})()
    with pytest.raises(SolveError, match="cases of the partner .* add up to"):
        solve(guessing(wrong, 2))


def test_a_summary_that_forgets_what_tells_of_the_secret_is_found_out() -> None:
    with pytest.raises(SolveError, match="tell different things of what the partner hides"):
        solve(guessing(Forgetful(), 3))


def test_a_summary_that_forgets_what_the_partner_heeds_is_found_out() -> None:
    @dataclass(frozen=True)
    class Grumpy(Liar):
        """Says "d" as soon as there was an "a"."""

        def outcomes(self, batch: EpisodeBatch) -> list[tuple[Any, NDArray[np.int32]]]:
            heard = (batch.completion_ids == A).any(axis=1)
            return [(1.0, np.where(heard, D, E).astype(np.int32)[:, None])]

        def summary(self, batch: EpisodeBatch) -> NDArray[np.int64]:
            return np.zeros((len(batch), 1), dtype=np.int64)

    with pytest.raises(SolveError, match="go on differently"):
        solve(guessing(Grumpy(), 3, (A,)))


def test_a_summary_that_forgets_how_likely_replies_are_is_found_out() -> None:
    @dataclass(frozen=True)
    class Moody(Liar):
        """Says "d" or "e", and more often "d" once there was an "a"."""

        def outcomes(self, batch: EpisodeBatch) -> list[tuple[Any, NDArray[np.int32]]]:
            chance = np.where((batch.completion_ids == A).any(axis=1), 0.9, 0.1)
            says = [np.full((len(batch), 1), said, dtype=np.int32) for said in (D, E)]
            return [(chance, says[0]), (1.0 - chance, says[1])]

        def summary(self, batch: EpisodeBatch) -> NDArray[np.int64]:
            return np.zeros((len(batch), 1), dtype=np.int64)

    with pytest.raises(SolveError, match="go on differently"):
        solve(guessing(Moody(), 3, (A,)))


def test_a_summary_that_forgets_for_a_while_is_found_out() -> None:
    @dataclass(frozen=True)
    class Absent:
        """Says "e" whatever happens."""

        max_reply_tokens: int = 1

        def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
            return np.full((len(batch), 1), E, dtype=np.int32)

        def summary(self, batch: EpisodeBatch) -> NDArray[np.int64]:
            begun = batch.completion_ids[:, :1]
            return np.where(batch.lengths[:, None] > 2, begun, 0).astype(np.int64)  # of the first turn in the third

    with pytest.raises(SolveError, match="go on differently"):
        solve(guessing(Absent(), 4, (A,)))


def test_a_summary_that_forgets_what_ends_the_conversation_is_found_out() -> None:
    def is_over(completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
        """After the reply to the letter of the first turn."""
        return (lengths == 4) & (completions[:, 2] == completions[:, 0])

    with pytest.raises(SolveError, match="go on differently"):
        solve(guessing(Forgetful(), 3, (E,), make_stop=constant(is_over)))  # nothing is paid, whoever ends it
