"""Degenerate writers: ways to write that know nothing of the task, for :mod:`textgym.audit`.

A plan is a list of ids to be written to one prompt. Whoever follows it leaves out what is not legal and then ends
the text as soon as that is legal, so that the empty plan is the shortest text there is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import SolveError, TaskError, TextGymError
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.playing import LANES, concatenate, play, speak
from textgym.returns import Returns

if TYPE_CHECKING:
    from textgym.exact import Solution

ORACLE, OPTIMUM, GREEDY, KEYWORDS = "oracle", "optimum of the reward", "greedy search", "keywords"
INFORMED = (ORACLE, OPTIMUM, GREEDY, KEYWORDS)
"""The writers that look for the best text, or into columns that an agent does not see; the others know nothing."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Plan = list[int]


class FollowPlans:
    """An act function: lane i writes plan i.

    Args:
        plans: One for each lane.
        eos_ids: The ids that end a text.
    """

    def __init__(self, plans: Sequence[Plan], eos_ids: tuple[int, ...]) -> None:
        self._waiting = [plan[::-1] for plan in plans]
        self._eos_ids = eos_ids

    def __call__(
        self, observations: Any, action_masks: NDArray[np.bool_], *, deterministic: bool, episode_starts: Any
    ) -> NDArray[np.int64]:
        """The next id of each lane, ``(B,)``."""
        lanes = zip(self._waiting, action_masks, strict=True)
        return np.array([self._next(waiting, mask) for waiting, mask in lanes], dtype=np.int64)

    def _next(self, waiting: Plan, mask: NDArray[np.bool_]) -> int:
        while waiting:
            token = waiting.pop()
            if mask[token]:
                return token
        return next((end for end in self._eos_ids if mask[end]), int(mask.argmax()))


class WriteAnything:
    """An act function: uniform over the legal ids.

    Args:
        rng: Decides.
        avoided: Ids that are written only where nothing else is legal.
    """

    def __init__(self, rng: np.random.Generator, avoided: tuple[int, ...] = ()) -> None:
        self._rng, self._avoided = rng, list(avoided)

    def __call__(
        self, observations: Any, action_masks: NDArray[np.bool_], *, deterministic: bool, episode_starts: Any
    ) -> NDArray[np.int64]:
        """The next id of each lane, ``(B,)``."""
        wanted = action_masks.copy()
        wanted[:, self._avoided] = False
        wanted = np.where(wanted.any(axis=1, keepdims=True), wanted, action_masks)
        return np.where(wanted, self._rng.random(wanted.shape), -1.0).argmax(axis=1)


@dataclass(frozen=True)
class Speaks:
    """Somebody who writes whole turns and hears the replies.

    Attributes:
        turn: ``(prompt, turns so far) -> text``.
    """

    turn: Callable[[Prompt, list[tuple[str, str]]], str]


Plans = Sequence[Plan] | WriteAnything | Speaks


class Desk:
    """Where plans are made, written and scored.

    Args:
        factory: The environment.
        split: Whose prompts are written to.
        seed: Of all that is random.
        max_texts: The most texts that one search may write.

    Attributes:
        task: The task with all overrides.
        rows: ``(P,)`` the split's prompts, as rows of the task's table.
    """

    def __init__(self, factory: EnvFactory, split: str | None, *, seed: int, max_texts: int) -> None:
        self.factory, self.seed, self.max_texts = factory, seed, max_texts
        self.task = factory.task()
        self.split: str = split or self.task.default_split
        self.rows = self.task.prompts.rows(self.split)

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator for one purpose."""
        return np.random.default_rng(spawn_seed(self.seed, "audit", purpose))

    def write(self, rows: Rows, plans: Plans, *, purpose: str) -> tuple[EpisodeBatch, Floats]:
        """Writes plan i to the prompt ``rows[i]``, or whatever an act function writes.

        Args:
            rows: Rows of the task's prompts.
            plans: As many plans, or an act function.
            purpose: Decides what is random in rewards.

        Returns:
            The texts and their returns.
        """
        parts = []
        for start in range(0, len(rows), LANES):
            some = rows[start : start + LANES]
            seed = spawn_seed(self.seed, "audit", purpose, str(start))
            if isinstance(plans, Speaks):
                parts.append(speak(plans.turn, self.factory, prompt_indices=some, seed=seed))
                continue
            if isinstance(plans, WriteAnything):
                act: Any = plans
            else:
                act = FollowPlans(plans[start : start + LANES], self.task.tokenizer.eos_ids)
            parts.append(play(act, self.factory, episodes=len(some), seed=seed, prompt_indices=some))
        return concatenate([batch for batch, _ in parts]), np.concatenate([returns for _, returns in parts])

    @cached_property
    def legal(self) -> Rows:
        """The ids that may begin a text, end ids left out; rules on tokens see no prompt, so any prompt will do."""
        mask: NDArray[np.bool_] = self.factory.single().unwrapped.action_masks()  # type: ignore[attr-defined]
        mask[list(self.task.tokenizer.eos_ids)] = False
        return np.flatnonzero(mask)

    @cached_property
    def solution(self) -> Solution | str:
        """The exact optimum of the reward, or why it is not known."""
        from textgym import exact  # slow to import

        try:
            return exact.solve(self.factory, split=self.split)
        except TextGymError as error:
            return str(error)

    @cached_property
    def returns(self) -> dict[str, Returns]:
        """Random, blind and best return of ``"reward"`` and ``"gold"``, as far as task or solution know them."""
        known = {}
        for kind in ("reward", "gold"):
            with contextlib.suppress(TaskError):
                known[kind] = self.task.returns(self.split, kind)
        if "reward" not in known and not isinstance(self.solution, str):
            with contextlib.suppress(SolveError):  # it was merely too much to know all three
                known["reward"] = self.solution.returns
        return known

    def is_legal(self, token: int) -> bool:
        """Whether a text may begin with this id."""
        return bool((self.legal == token).any())

    def tokens_to_try(self, each: int) -> tuple[list[int], str]:
        """The legal ids, or a sample of them where a search that writes ``each`` texts an id would take too many.

        Returns:
            The ids, and what is to be said of them, mostly nothing.
        """
        most = max(self.max_texts // each, 1)
        if len(self.legal) <= most:
            return self.legal.tolist(), ""
        chosen = np.sort(self.rng("tokens").choice(self.legal, size=most, replace=False))
        return chosen.tolist(), f"searched among {most:,} of {len(self.legal):,} tokens"


def repeat_best_token(desk: Desk) -> dict[str, tuple[list[Plan], str]]:
    """One token, as often as earns most on average: by ``"reward"`` and, where there is gold, by ``"gold"``."""
    tried, note = desk.tokens_to_try(len(desk.rows) * desk.task.budget)
    texts = [[token] * times for token in tried for times in range(1, desk.task.budget + 1)] or [[]]
    plans = [text for text in texts for _ in desk.rows]
    batch, returns = desk.write(np.tile(desk.rows, len(texts)), plans, purpose="one token")
    scores = {"reward": returns, "gold": batch.gold()}
    means = {kind: values.reshape(len(texts), -1).mean(axis=1) for kind, values in scores.items() if values is not None}
    return {kind: ([texts[int(mean.argmax())]] * len(desk.rows), note) for kind, mean in means.items()}


def copy_prompt(desk: Desk) -> tuple[list[Plan], str]:
    """The prompt's own tokens."""
    pad, table = desk.task.tokenizer.vocab_size, desk.task.prompts.ids
    plans = [[token for token in table[row].tolist() if token != pad] for row in desk.rows]
    possible = any(desk.is_legal(token) for plan in plans for token in plan)
    return plans, "" if possible else "no token of the prompts may be written, so the text is empty"


def stuff_keywords(desk: Desk) -> tuple[str, list[Plan], str]:
    """All legal tokens of a prompt's references and text columns once; without any, all legal tokens in id order."""
    plans = [[token for token in _keywords(desk, row) if desk.is_legal(token)] for row in desk.rows.tolist()]
    if any(plans):
        return KEYWORDS, plans, ""
    every = desk.legal.tolist()[: desk.task.budget]
    note = "neither references nor text columns have legal tokens, which would be keywords"
    return "every token once", [every] * len(desk.rows), note


def _keywords(desk: Desk, row: int) -> list[int]:
    prompt = desk.task.prompts.prompts[row]
    tokens: dict[int, None] = {}
    for text in (*prompt.references, *(value for value in prompt.metadata.values() if isinstance(value, str))):
        try:
            tokens |= dict.fromkeys(desk.task.tokenizer.encode(text))
        except (KeyError, ValueError):  # a column that is no text of this vocabulary
            continue
    return list(tokens)


def search_greedily(desk: Desk) -> tuple[list[Plan], str]:
    """Token by token the one that would earn most if the text ended there; the best text on the way."""
    tried, note = desk.tokens_to_try(len(desk.rows) * desk.task.budget)
    plans: list[Plan] = [[] for _ in desk.rows]
    best, most = plans, desk.write(desk.rows, plans, purpose=GREEDY)[1]
    for _ in range(desk.task.budget if tried else 0):
        longer = [[*plan, token] for plan in plans for token in tried]
        _, returns = desk.write(np.repeat(desk.rows, len(tried)), longer, purpose=GREEDY)
        scores = returns.reshape(len(plans), len(tried))
        plans = [longer[row * len(tried) + column] for row, column in enumerate(scores.argmax(axis=1).tolist())]
        better = scores.max(axis=1) > most
        best = [new if gain else old for new, old, gain in zip(plans, best, better.tolist(), strict=True)]
        most = np.maximum(most, scores.max(axis=1))
    return best, note


def ask_oracle(desk: Desk) -> tuple[list[Plan], str]:
    """The task's own best texts."""
    texts = [desk.task.best_text(desk.task.prompts.prompts[row]) for row in desk.rows.tolist()]
    plans = [desk.task.encode_completion(text) for text in texts]
    batch, _ = desk.write(desk.rows, plans, purpose=ORACLE)
    decode = desk.task.tokenizer.decode  # texts are compared, for the task's own stop rule spares the end token
    return plans, "" if batch.completions == [decode(plan) for plan in plans] else "not all of it may be written"


def writers(desk: Desk, skipped: dict[str, str]) -> Iterator[tuple[str, Plans, str]]:
    """All writers: name, plans or act function, and what is to be said of how they write, mostly nothing.

    Args:
        desk: Where they write.
        skipped: Filled with the writers that cannot be tried, and why.
    """
    yield "empty", [[] for _ in desk.rows], ""
    for kind, (plans, note) in repeat_best_token(desk).items():
        yield f"one token ({kind})", plans, note
    yield "prompt copied", *copy_prompt(desk)
    yield stuff_keywords(desk)
    yield "longest", WriteAnything(desk.rng("longest"), desk.task.tokenizer.eos_ids), ""
    yield "random", WriteAnything(desk.rng("random")), ""
    if desk.task.partner is not None:
        skipped[OPTIMUM] = "the best conversation depends on the replies"
        if desk.task.make_oracle is not None:
            yield ORACLE, Speaks(desk.task.best_turn), ""
        return
    solution = desk.solution
    if isinstance(solution, str):
        skipped[OPTIMUM] = solution
        yield GREEDY, *search_greedily(desk)
    else:
        yield OPTIMUM, [solution.optimal_ids(row) for row in desk.rows.tolist()], ""
    try:
        yield ORACLE, *ask_oracle(desk)
    except TaskError as error:
        skipped[ORACLE] = str(error)
