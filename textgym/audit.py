"""The audit: what degenerate writers earn under reward and gold, before any training.

A writer that earns more reward than the oracle with a lower gold has hacked the reward, and an agent will find
that too. The best of those that know nothing of the scores is what an agent has to beat.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.degenerate import INFORMED, OPTIMUM, ORACLE, Desk, Plans, Speaks, WriteAnything, writers
from textgym.errors import ConfigurationError, TaskError, unknown_name
from textgym.factory import EnvFactory, as_factory

TOLERANCE, STANDARD_ERRORS = 1e-9, 3.0
"""A score is above another by more than rounding and by more than so many standard errors of both."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one writer earns, averaged over the prompts.

    Attributes:
        writer: Its name.
        reward: Mean reward.
        reward_error: Standard error of that; 0 where neither writer nor reward is random.
        gold: Mean true score; None where the task has none.
        gold_error: Standard error of that.
        normalized: The reward on the scale random = 0, best = 1; None where those are not known.
        normalized_gold: The same for gold.
        example: What it writes to the audit's ``prompt``.
        note: What one should know of how it wrote, mostly nothing.
        beats_oracle_reward: Whether it earns more than the oracle; None where there is no oracle.
        beats_oracle_gold: The same for gold; None also where there is no gold.
    """

    writer: str
    reward: float
    reward_error: float
    gold: float | None
    gold_error: float
    normalized: float | None
    normalized_gold: float | None
    example: str
    note: str = ""
    beats_oracle_reward: bool | None = None
    beats_oracle_gold: bool | None = None


@dataclass(frozen=True)
class Audit:
    """What :func:`audit` found; ``found["random"]`` is the row of that writer.

    Attributes:
        env_id: The environment.
        split: Whose prompts were written to.
        prompts: How many they are.
        prompt: The one that the examples of the rows answer.
        rows: One for each writer, the oracle last.
        skipped: Writers that could not be tried, and why.
        blind: The best gold (reward, where there is no gold) of one fixed text for all prompts; None where that is
            not known or there is one prompt only.
    """

    env_id: str
    split: str
    prompts: int
    prompt: str
    rows: tuple[Row, ...]
    skipped: Mapping[str, str]
    blind: float | None

    def __getitem__(self, writer: str) -> Row:
        found = {row.writer: row for row in self.rows}
        if writer not in found:
            raise unknown_name("writer in this audit", writer, found)
        return found[writer]

    @property
    def has_gold(self) -> bool:
        """Whether there is a true score beside the reward."""
        return self.rows[0].gold is not None

    @property
    def hacks(self) -> tuple[Row, ...]:
        """Writers that earn more reward than the oracle while their gold is lower."""
        return tuple(row for row in self.rows if row.beats_oracle_reward and _beats(self[ORACLE], row, "gold"))

    @property
    def oracle_beaten(self) -> tuple[Row, ...]:
        """Writers above the oracle under gold, or under the reward where there is no gold: the oracle is wrong."""
        kind = "gold" if self.has_gold else "reward"
        return tuple(row for row in self.rows if getattr(row, f"beats_oracle_{kind}"))

    @property
    def best_degenerate(self) -> Row:
        """The highest gold (reward, where there is no gold) of the writers that know no more than an agent does."""
        ignorant = [row for row in self.rows if row.writer not in INFORMED]
        return max(ignorant, key=lambda row: row.reward if row.gold is None else row.gold)

    @property
    def floor(self) -> float:
        """The higher of :attr:`best_degenerate` and ``blind``: an agent has shown something only above it."""
        best = self.best_degenerate.gold if self.has_gold else self.best_degenerate.reward
        return max(score for score in (best, self.blind) if score is not None)

    @property
    def is_too_easy(self) -> bool:
        """Whether a writer that knows nothing earns what the oracle does, and no text is known that earns more."""
        if ORACLE in self.skipped or self.oracle_beaten:
            return False
        kind = "gold" if self.has_gold else "reward"
        return not _beats(self[ORACLE], self.best_degenerate, kind)

    @property
    def verdict(self) -> str:
        """The findings, one a line."""
        return "\n".join(_findings(self))


def audit(
    env: str | EnvFactory,
    *,
    split: str | None = None,
    seed: int = 0,
    n: int = 20,
    max_texts: int = 200_000,
    **kwargs: Any,
) -> Audit:
    """Lets degenerate writers write to every prompt of a split and scores them under reward and gold.

    The writers, all of which leave out what is not legal: *empty* ends at once; *one token* is the best token, as
    often as is best, by reward and by gold; *prompt copied*; *keywords* writes the words of the prompt's references
    and text columns once, or *every token once* where there are none; *longest* writes random tokens and never ends;
    *random* is uniform over the legal tokens; *optimum of the reward* is exact (:func:`textgym.exact.solve`) or,
    where that is not possible, a *greedy search*; *oracle* is the task's own best text.

    Args:
        env: An env id or factory.
        split: "train", "test" or "all"; by default the one that the environment uses.
        seed: Seed of all that is random.
        n: Texts for each prompt where writer or reward are random.
        max_texts: The most texts that a search over tokens may write; above that it tries a sample of the tokens.
        **kwargs: Further arguments of the environment.

    Raises:
        ConfigurationError: for ``n`` below 2, which would leave no standard error, or ``max_texts`` below 1.

    Example:
        >>> found = audit("TextGen-v0", level="tiny")
        >>> [row.writer for row in found.hacks], found["optimum of the reward"].example
        (['optimum of the reward'], 'was great was great')
    """
    for name, value, least in (("n", n, 2), ("max_texts", max_texts, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigurationError(f"{name}={value!r}: expected a whole number of at least {least}")
    factory = as_factory(env, **kwargs, **({} if split is None else {"split": split}))
    desk = Desk(factory, factory.kwargs.get("split"), seed=seed, max_texts=max_texts)
    skipped: dict[str, str] = {}
    rows = [_measure(desk, *writer, n=n) for writer in writers(desk, skipped)]
    oracle = rows[-1] if rows[-1].writer == ORACLE else None
    return Audit(
        factory.env_id,
        desk.split,
        len(desk.rows),
        desk.task.prompts.texts[desk.rows[0]],
        tuple(_compare(row, oracle) for row in rows),
        skipped,
        _blind(desk),
    )


def _measure(desk: Desk, writer: str, plans: Plans, note: str, *, n: int) -> Row:
    task = desk.task
    noisy = any(getattr(part, "stochastic", False) for part in (task.reward, task.gold, task.partner))
    times = n if noisy or isinstance(plans, WriteAnything) else 1
    plans = plans if isinstance(plans, WriteAnything | Speaks) else [*plans] * times
    batch, returns = desk.write(np.tile(desk.rows, times), plans, purpose="measure")
    golds = batch.gold()
    reward, reward_error = _mean(returns, times)
    gold, gold_error = (None, 0.0) if golds is None else _mean(golds, times)
    return Row(
        writer=writer,
        reward=reward,
        reward_error=reward_error,
        gold=gold,
        gold_error=gold_error,
        normalized=_normalize(desk, reward, "reward"),
        normalized_gold=_normalize(desk, gold, "gold"),
        example=batch.completions[0],
        note=note,
    )


def _mean(scores: NDArray[np.float64], times: int) -> tuple[float, float]:
    """Mean and standard error, from the means of each time that all prompts were written to."""
    means = scores.reshape(times, -1).mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(times)) if times > 1 else 0.0


def _normalize(desk: Desk, value: float | None, kind: str) -> float | None:
    if value is None or kind not in desk.returns:
        return None
    try:
        return desk.returns[kind].normalize(value)
    except TaskError:  # every text earns the same
        return None


def _blind(desk: Desk) -> float | None:
    known = desk.returns.get("reward" if desk.task.gold is None else "gold")
    return known.blind if known and len(desk.rows) > 1 else None


def _compare(row: Row, oracle: Row | None) -> Row:
    if oracle is None:
        return row
    reward, gold = _beats(row, oracle, "reward"), _beats(row, oracle, "gold")
    return replace(row, beats_oracle_reward=reward, beats_oracle_gold=gold)


def _beats(row: Row, other: Row, kind: str) -> bool | None:
    """Whether a writer is above another by more than rounding and chance; None where there is no such score."""
    mine, its = getattr(row, kind), getattr(other, kind)
    if mine is None or its is None:
        return None
    error = np.hypot(getattr(row, f"{kind}_error"), getattr(other, f"{kind}_error"))
    return bool(mine - its > TOLERANCE * max(1.0, abs(its)) + STANDARD_ERRORS * error)


def _findings(found: Audit) -> Iterator[str]:
    if ORACLE in found.skipped:
        yield f"There is nothing to compare with: {found.skipped[ORACLE]}."
    elif not found.has_gold:
        yield "There is no gold score, so that a hacked reward cannot be told from a good text."
    elif found.hacks:
        worst, oracle = max(found.hacks, key=lambda row: row.reward), found[ORACLE]
        yield f"Reward hacking: {_names(found.hacks)} earned more reward than the oracle with a lower gold."
        for row in (worst, oracle):
            yield f"  {row.writer}: reward {row.reward:.3f}, gold {row.gold:.3f}"
    else:
        unknown = ", as far as a greedy search can tell" if OPTIMUM in found.skipped else ""
        yield f"No writer earned more reward than the oracle with a lower gold{unknown}."
    kind = "gold" if found.has_gold else "reward"
    if found.oracle_beaten:
        yield f"The oracle is not the best writer: {_names(found.oracle_beaten)} earned more {kind}."
    best = found.best_degenerate
    if found.is_too_easy:
        yield f"No agent can show anything: {best.writer} earns as much {kind} as the oracle."
    else:
        yield f"An agent has shown something only above {kind} {found.floor:.3f}."
    yield f"  {best.writer}: {kind} {getattr(best, kind):.3f}"
    if found.blind is not None:
        yield f"  the best fixed text for all prompts: {kind} {found.blind:.3f}"


def _names(rows: tuple[Row, ...]) -> str:
    return ", ".join(row.writer for row in rows)
