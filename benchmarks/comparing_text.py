"""What a comparison of two agents says, as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .comparing_two import Contest, Duel
from .stats_tests import detectable_difference, seeds_needed, smallest_p
from .summary import interval_text
from .tables import plain

POWER, LEVEL = 0.8, 0.05


def lines(duels: Sequence[Duel]) -> Iterator[str]:
    """All duels, with what their numbers mean."""
    for duel in duels:
        yield from duel_lines(duel, family=sum(other.overall is not None for other in duels))
        yield ""
    yield "Judged as on the leaderboard: greedy play, gold if there is a true score, held-out prompts if there are any."
    yield "Interquartile means over runs; their difference with its paired 95 % bootstrap interval."
    yield "P: probability that a run of the first beats one of the second; p: Mann-Whitney test, two-sided."


def duel_lines(duel: Duel, *, family: int = 1) -> Iterator[str]:
    """One duel: a line a task, a line for all, and what follows from them.

    Args:
        duel: What was found.
        family: How many duels' overall p were corrected together.
    """
    yield f"{duel.left} against {duel.right}"
    contests = [*duel.tasks, *[one for one in (duel.overall, duel.left_out) if one is not None]]
    yield from _table([["task", "pairs", "first", "second", "difference", "P", "p", "Holm"], *map(_row, contests)])
    yield verdict(duel.final, duel.left, duel.right)
    if duel.overall is not None and family > 1:
        yield f"Holm's correction in the line of all tasks is over {family} comparisons of agents."
    yield from _limits(duel.tasks)
    yield from (f"! {note}" for note in duel.notes)


def verdict(contest: Contest, left: str, right: str) -> str:
    """What a contest shows, and if it shows nothing, how many seeds would."""
    size, seeds = abs(contest.difference.estimate), contest.seeds
    where = f"{seeds} seed{'s'[: seeds != 1]} on {contest.tasks} task{'s'[: contest.tasks != 1]}"
    if seeds < 2:
        return f"{where} show no spread between seeds, and so no difference: run at least 2, better 5."
    better, worse = (left, right) if contest.difference.estimate > 0 else (right, left)
    if contest.difference.low > 0.0 or contest.difference.high < 0.0:
        return f"{better} is better than {worse} by {_interval(contest)}: the interval leaves 0 out."
    least = detectable_difference(contest.difference, seeds, power=POWER)
    if size == least == 0.0:
        return f"No difference was seen in any pair of runs: {where}."
    if size == 0.0:
        return f"No difference was seen; {where} would show one of {least:.2g} in {POWER:.0%} of experiments."
    if size >= least:
        return f"{better} is ahead of {worse} by {size:.2g}, but the interval holds 0: {where} leave it open."
    needed = seeds_needed(contest.difference, seeds, power=POWER)
    count = "more than 100,000" if needed is None else f"about {needed:,}"
    return (
        f"The difference of {size:.2g} is smaller than what {where} can show ({least:.2g}, in {POWER:.0%} of "
        f"experiments); {count} seeds would be needed, if the true difference is the one seen here."
    )


def _interval(contest: Contest) -> str:
    low, high = sorted((abs(contest.difference.low), abs(contest.difference.high)))
    return f"{abs(contest.difference.estimate):.2g} ({low:.2g} to {high:.2g})"


def _limits(tasks: Sequence[Contest]) -> Iterator[str]:
    """Says where so few seeds cannot reach significance, whatever the runs are worth."""
    fewest = max(contest.seeds for contest in tasks)
    if smallest_p(fewest, fewest) * len(tasks) <= LEVEL:
        return
    enough = next(seeds for seeds in range(2, 1000) if smallest_p(seeds, seeds) * len(tasks) <= LEVEL)
    yield (
        f"With {fewest} seeds a side no single task can reach p = {LEVEL} after correction for {len(tasks)}, even if "
        f"every run wins; {enough} can."
    )


def _row(contest: Contest) -> list[str]:
    return [
        contest.name,
        str(contest.pairs),
        plain(contest.left),
        plain(contest.right),
        interval_text(contest.difference),
        interval_text(contest.improvement),
        _p_text(contest.p),
        _p_text(contest.corrected),
    ]


def _p_text(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
