"""Rules about what a task says of itself: the oracle's texts, and the random, blind and best returns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from textgym.checks.basics import BASE
from textgym.checks.recording import apply
from textgym.checks.rules import NotApplicableError, rule
from textgym.checks.scores import reward_alone, reward_in_range
from textgym.checks.subject import Subject, limits
from textgym.degenerate import FollowPlans
from textgym.episodes import ILLEGAL, EpisodeBatch
from textgym.scoring import Scorer
from textgym.task import Returns

STANDARD_ERRORS = 4.0
ROUNDING = 1e-6
UNSEEN = 9.2
"""Texts that are written less often than 9.2 times in n are missing among n of them once in 10,000 times, however much
they earn: -ln(1e-4)."""

MANY_PROMPTS = 64


@rule(mend="Let the oracle write legal tokens within the budget, as task.encode_completion reads them", needs=BASE)
def oracle_legal(subject: Subject) -> Iterator[str]:
    """The oracle's text can be written: the masks allow every id, and it ends within the budget."""
    if subject.task.partner is not None:
        yield from _illegal_turns(subject)
        return
    task, env = subject.task, subject.single(split="all")
    for row in _oracle_rows(subject):
        text, prompt = task.best_text(task.prompts.prompts[row]), task.prompts.texts[row]
        output = apply(env, ("reset", {"options": {"prompt_index": row}}))
        size = len(task.tokenizer.encode(text))
        if size > task.budget:
            yield f"the oracle's text {text!r} to {prompt!r} has {size} tokens, max_new_tokens is {task.budget}"
        for number, token in enumerate(task.encode_completion(text)):
            if output.get("terminated", False) and number == size:
                break  # the task's own stop rule has ended it, so that it needs no end token
            if output.get("terminated", False) or not env.unwrapped.action_masks()[token]:
                yield f"the oracle's text {text!r} to {prompt!r} breaks off: its token {number + 1} is not allowed"
            output = apply(env, ("step", token))
        if not output["terminated"]:
            yield f"the oracle's text {text!r} to {prompt!r} does not end"


@rule(
    mend="Search the best text under gold again (textgym.exact.solve where the task is small), or correct the facts",
    needs=(oracle_legal, reward_alone, reward_in_range),
)
def oracle_best(subject: Subject) -> Iterator[str]:
    """No other text is better than the oracle's, and on each split it earns the best return that the facts state."""
    task, rows, others = subject.task, _oracle_rows(subject), subject.texts
    kind = "reward" if task.gold is None else "gold"
    if getattr(subject.scores[kind], "stochastic", False):
        raise NotApplicableError(f"the {kind} is stochastic: luck may beat the best text")
    if getattr(task.partner, "stochastic", False):
        raise NotApplicableError("the partner is stochastic: luck may beat the best player")
    score = Scorer(subject.scores[kind])
    earned = score(_written_by_the_oracle(subject, np.array(rows))).values
    values = score(others).values
    # In a conversation a guess at what the partner hides may be lucky, to one prompt: only the average counts.
    for row, best in zip(rows, earned.tolist(), strict=True) if task.partner is None else ():
        better = np.flatnonzero((others.prompt_indices == row) & (values > best + ROUNDING))
        if len(better):
            text, value = others.completions[better[0]], values[better[0]]
            yield f"to {task.prompts.texts[row]!r} {text!r} has {kind} {value:g}, the oracle's text only {best:g}"
    if len(rows) < len(task.prompts):
        return
    for split, kinds in task.facts.items():
        mean = float(earned[task.prompts.rows(split)].mean())
        if kind in kinds and not _is_best(mean, kinds[kind]):
            yield f"on {split} prompts the oracle's {kind} is {mean:g}, the facts say the best is {kinds[kind].best:g}"


def _is_best(mean: float, returns: Returns) -> bool:
    return mean > returns.best - ROUNDING and (not returns.is_exact("best") or mean < returns.best + ROUNDING)


def _oracle_rows(subject: Subject) -> list[int]:
    if subject.task.make_oracle is None:
        raise NotApplicableError("the task has no oracle")
    return list(range(min(len(subject.task.prompts), MANY_PROMPTS)))


@rule(mend="Compute the three again: textgym.exact.solve gives them for small tasks", needs=BASE)
def facts(subject: Subject) -> Iterator[str]:
    """The stated returns are in order, random <= blind <= best, and lie in the declared range."""
    for split, kind, returns in _facts(subject):
        low, high = limits(subject.scores[kind])
        numbers = {"low": low, "random": returns.random, "blind": returns.blind, "best": returns.best, "high": high}
        if not (returns.is_exact("random") and returns.is_exact("blind")):
            del numbers["random"]  # an estimate, which may lie above a lower bound
        if any(left > right + ROUNDING for left, right in pairwise(numbers.values())):
            listed = ", ".join(f"{name} {number:g}" for name, number in numbers.items())
            yield f"the {kind} on {split} prompts is not in order: {listed}"


@rule(
    mend="Compute the random return again, as the mean over prompts of writing uniformly among the legal ids",
    needs=(facts, reward_alone),
)
def random_return(subject: Subject) -> Iterator[str]:
    """Random play earns the stated random return, as far as four standard errors can tell."""
    found = _facts(subject)
    splits = dict.fromkeys(split for split, _, _ in found)
    texts = {split: subject.write(subject.spread(subject.effort.random_texts, split)) for split in splits}
    for split, kind, returns in found:
        values = Scorer(subject.scores[kind])(texts[split]).values
        error = float(values.std(ddof=1)) / math.sqrt(len(values))
        if not returns.is_exact("random"):
            error *= math.sqrt(2.0)  # an estimate has an error of its own
        low = limits(subject.scores[kind])[0]
        unseen = _unseen(values, returns.best, low if math.isfinite(low) else float(values.min()))
        if abs(values.mean() - returns.random) > STANDARD_ERRORS * error + unseen + ROUNDING:
            yield (
                f"random play earned {kind} {values.mean():.4f} ± {error:.4f} on {split} prompts, "
                f"the facts say {returns.random:.4f}"
            )


def _unseen(values: NDArray[np.float64], best: float, low: float) -> float:
    """How far texts too rare to be among these may move the mean: one word in a million may be the only one paid."""
    mean = float(values.mean())
    return UNSEEN / len(values) * max(best - mean, mean - low)


def _facts(subject: Subject) -> list[tuple[str, str, Returns]]:
    found = [
        (split, kind, returns)
        for split, kinds in subject.task.facts.items()
        for kind, returns in kinds.items()
        if kind in subject.scores
    ]
    if not found:
        raise NotApplicableError("the task's random and best returns are not known")
    return found


def _illegal_turns(subject: Subject) -> Iterator[str]:
    rows = np.array(_oracle_rows(subject))
    batch = subject.converse(rows)
    for row in np.flatnonzero(batch.stop_codes == ILLEGAL).tolist():
        yield f"the oracle's turns {batch.dialogue(row)} to {batch.prompt_texts[row]!r} end with an illegal token"


def _written_by_the_oracle(subject: Subject, rows: NDArray[np.int64]) -> EpisodeBatch:
    task = subject.task
    if task.partner is not None:
        return subject.converse(rows)
    plans = [task.encode_completion(task.best_text(task.prompts.prompts[row])) for row in rows.tolist()]
    return subject.write(rows, FollowPlans(plans, task.tokenizer.eos_ids))
