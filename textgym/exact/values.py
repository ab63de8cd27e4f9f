"""Values at every prefix: found by prompt and prefix, and what follows from them, such as the best texts."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import PromptError, SolveError
from textgym.exact.tree import Floats, Levels, PrefixTree
from textgym.task import Task

MOST_TEXTS = 100
"""Of several equally good texts at most so many are listed."""

Prefix = Sequence[int] | str
"""Token ids, or a text that is encoded to them."""


def is_row(prompt: object) -> bool:
    """Whether this is a whole number, as rows of the prompts are."""
    return isinstance(prompt, int | np.integer) and not isinstance(prompt, bool)


class PromptIndex:
    """Finds the prompt that somebody asks about.

    Args:
        task: Says which prompts there are.
        groups: The rows that were solved; those of one group look alike.
    """

    def __init__(self, task: Task, groups: Sequence[NDArray[np.int64]]) -> None:
        self.task, self.groups = task, groups
        self.group_of = {int(row): number for number, rows in enumerate(groups) for row in rows}

    def find(self, prompt: str | int | None) -> int:
        """The group of a prompt, named by its text or row; None where only one group was solved.

        Raises:
            PromptError: for a prompt that was not solved.
        """
        if prompt is None:
            if len(self.groups) > 1:
                raise PromptError(
                    f"{len(self.groups)} prompts were solved; say which: prompt={next(iter(self.names))!r}"
                )
            return 0
        if isinstance(prompt, str) and prompt in self.names:
            return self.group_of[self.names[prompt]]
        if not isinstance(prompt, str) and not is_row(prompt):
            raise PromptError(f"prompt={prompt!r}: expected a row of the prompts, or a prompt's text")
        row = self.task.prompts.index_of(prompt) if isinstance(prompt, str) else int(prompt)
        if row not in self.group_of:
            raise PromptError(f"the prompt {prompt!r} was not solved; solved were {', '.join([*self.names][:8])}")
        return self.group_of[row]

    @cached_property
    def names(self) -> dict[str, int]:
        """Text -> row of the prompts that were solved."""
        return {self.task.prompts.texts[row]: row for row in sorted(self.group_of)}

    def by_prompt(self, by_group: Sequence[Any]) -> dict[str, Any]:
        """What each group has, under the text of each of its prompts."""
        return {text: by_group[self.group_of[row]] for text, row in self.names.items()}

    @property
    def representatives(self) -> tuple[int, ...]:
        """One row of each group."""
        return tuple(int(group[0]) for group in self.groups)

    @cached_property
    def weights(self) -> Floats:
        """``(G,)`` the share of each group."""
        sizes = np.array([len(group) for group in self.groups], dtype=float)
        return sizes / sizes.sum()


class Optimum(ABC):
    """What both engines offer: the values of the best player, and the texts that this player writes.

    Prompts are named by their text or their row in ``task.prompts``; where one prompt was solved, it need not be named.

    Attributes:
        task: The task that was solved.
        index: Finds prompts.
    """

    task: Task
    index: PromptIndex

    @abstractmethod
    def value(self, prefix: Prefix = (), prompt: str | int | None = None) -> float:
        """V*: what the best player earns from this prefix on."""

    @abstractmethod
    def q(self, prefix: Prefix = (), prompt: str | int | None = None) -> Floats:
        """Q*: ``(V,)`` what the best player earns after writing each id; illegal ids have what they pay."""

    @abstractmethod
    def legal(self, prefix: Prefix = (), prompt: str | int | None = None) -> NDArray[np.bool_]:
        """``(V,)`` which ids may be written after this prefix."""

    @abstractmethod
    def _ends(self, ids: list[int]) -> bool:
        """Whether the last of these ids ends the text."""

    def text_of(self, row: int, ids: list[int]) -> str:
        """The text that these ids write to the prompt in this row."""
        return self.task.tokenizer.decode(ids)

    @property
    def optimal_return(self) -> float:
        """The best mean return, averaged over the prompts."""
        return float(self.index.weights @ np.array([self.value((), row) for row in self.index.representatives]))

    @property
    def optimal_returns(self) -> dict[str, float]:
        """The best return of each prompt."""
        return self.index.by_prompt([self.value((), row) for row in self.index.representatives])

    def optimal_ids(self, prompt: str | int | None = None) -> list[int]:
        """One best completion as ids, its end id included."""
        return self._best(self.index.find(prompt), most=1)[0]

    @cached_property
    def optimal_texts(self) -> dict[str, tuple[str, ...]]:
        """The best texts of each prompt, at most :data:`MOST_TEXTS` of equally good ones."""
        best = [self._best(group, most=MOST_TEXTS) for group in range(len(self.index.groups))]
        return {
            text: tuple(dict.fromkeys(self.text_of(row, ids) for ids in best[self.index.group_of[row]]))
            for text, row in self.index.names.items()
        }

    def _best(self, group: int, *, most: int) -> list[list[int]]:
        """Completions that always take a best legal id, the smaller ids first."""
        row = self.index.representatives[group]
        found: list[list[int]] = []
        waiting: list[list[int]] = [[]]
        while waiting and len(found) < most:
            text = waiting.pop()
            if text and self._ends(text):
                found.append(text)
                continue
            values, legal = self.q(text, row), self.legal(text, row)
            top = float(values[legal].max())
            ties = np.flatnonzero(legal & (values >= top - 1e-12 * max(1.0, abs(top))))
            waiting += [[*text, index] for index in reversed(ties.tolist())]
        return found


def encode_prefix(task: Task, prefix: Prefix) -> list[int]:
    """The ids of a prefix that was given as text or ids.

    Raises:
        SolveError: for a text outside the vocabulary, and what is neither ids nor a text.
    """
    if not isinstance(prefix, str):
        try:
            return [operator.index(number) for number in prefix]
        except TypeError:
            raise SolveError(f"prefix={prefix!r}: expected a text, or a list of ids") from None
    ids = task.tokenizer.encode(prefix)
    if task.tokenizer.unk_id is not None and task.tokenizer.unk_id in ids:
        raise SolveError(f"the prefix {prefix!r} has text outside the vocabulary; `textgym play` shows the words")
    return ids


@dataclass(frozen=True, eq=False)
class Values:
    """Values on a prefix tree, as arrays and by prefix.

    Attributes:
        task: The task.
        tree: The prefixes; ``tree.columns`` are the ids of the arrays' last axis.
        index: Finds prompts.
        values: V: ``(G, N)`` for each length of prefix.
        q_values: Q: ``(G, N, K)`` likewise.
    """

    task: Task
    tree: PrefixTree = field(repr=False)
    index: PromptIndex = field(repr=False)
    values: Levels = field(repr=False)
    q_values: Levels = field(repr=False)

    def _find(self, prefix: Prefix, prompt: str | int | None) -> tuple[int, int, int]:
        return (self.index.find(prompt), *self.tree.find(encode_prefix(self.task, prefix)))

    def value(self, prefix: Prefix = (), prompt: str | int | None = None) -> float:
        """V of a prefix.

        Args:
            prefix: Ids, or a text.
            prompt: Its text or its row in ``task.prompts``; may be left out where one prompt was solved.
        """
        group, depth, row = self._find(prefix, prompt)
        return float(self.values[depth][group, row])

    def q(self, prefix: Prefix = (), prompt: str | int | None = None) -> Floats:
        """Q of a prefix, ``(V,)``; illegal ids have what they pay."""
        group, depth, row = self._find(prefix, prompt)
        full = np.full(self.tree.vocab_size, self.tree.levels[depth].illegal[group, row])
        full[self.tree.columns] = self.q_values[depth][group, row]
        return full

    def advantage(self, prefix: Prefix = (), prompt: str | int | None = None) -> Floats:
        """A = Q - V of a prefix, ``(V,)``."""
        return self.q(prefix, prompt) - self.value(prefix, prompt)

    def legal(self, prefix: Prefix = (), prompt: str | int | None = None) -> NDArray[np.bool_]:
        """``(V,)`` which ids may be written after this prefix."""
        _, depth, row = self._find(prefix, prompt)
        full = np.zeros(self.tree.vocab_size, dtype=bool)
        full[self.tree.columns] = self.tree.levels[depth].legal[row]
        return full

    @cached_property
    def advantages(self) -> Levels:
        """A = Q - V: ``(G, N, K)`` for each length of prefix."""
        return tuple(q - v[:, :, None] for q, v in zip(self.q_values, self.values, strict=True))
