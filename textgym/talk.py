"""What conversations share: turns of words only, columns that the agent does not see, the price of turns, the task."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from textgym.constraints import Constraint
from textgym.episodes import EpisodeBatch, Prompt, Score
from textgym.errors import TaskError
from textgym.facts import shipped_facts
from textgym.partners import Partner
from textgym.puzzles import PuzzleLevel
from textgym.returns import Facts
from textgym.task import StopRule, Task
from textgym.tokenizers import Tokenizer

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Say:
    """Only these tokens may be written, and never the end: a turn is over when its tokens are used up.

    Attributes:
        words: The tokens as the tokenizer spells them.
    """

    words: tuple[str, ...]
    static: ClassVar[bool] = True

    def __call__(
        self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """The same row ``(V,)`` for every text."""
        return np.repeat(np.isin(tokenizer.tokens, self.words)[None], len(completions), axis=0)


@dataclass(frozen=True)
class Spell:
    """Only these words may be spelt, letter by letter, in a conversation whose turns and replies are of one size.

    Attributes:
        words: Words of one length.
    """

    words: tuple[str, ...]
    static: ClassVar[bool] = False

    def __call__(
        self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """``(B, V)`` letters that go on with one of the words."""
        size = len(self.words[0])
        after, allowed = _spelling(self.words, tokenizer.tokens)
        place = lengths % (2 * size) % size
        begun = last_tokens(completions, lengths, size)
        state = np.zeros(len(lengths), dtype=np.int64)
        for back in range(size - 1, 0, -1):
            state = np.where(place < back, 0, after[state, begun[:, size - back]])
        return allowed[state]


@cache
def _spelling(words: tuple[str, ...], tokens: tuple[str, ...]) -> tuple[Rows, NDArray[np.bool_]]:
    """``(S, V + 1)`` the beginning that each letter leads to, as a number, and ``(S, V)`` what may be written there."""
    begun = sorted({word[:size] for word in words for size in range(len(words[0]))}, key=len)  # "" is number 0
    numbers = {text: number for number, text in enumerate(begun)}
    after = np.full((len(begun) + 1, len(tokens) + 1), len(begun))  # the last row: no word begins like this
    allowed = np.zeros((len(begun) + 1, len(tokens)), dtype=bool)
    for text, number in numbers.items():
        for index, token in enumerate(tokens):
            after[number, index] = numbers.get(text + token, len(begun))
            allowed[number, index] = any(word.startswith(text + token) for word in words)
    return after, allowed


def last_tokens(completions: NDArray[np.int32], lengths: NDArray[np.int64], count: int) -> NDArray[np.int32]:
    """``(B, count)`` the last ids of each text; where a text is shorter, its first id stands in for what is missing.

    Example:
        >>> last_tokens(np.array([[5, 6, 7, 9], [5, 9, 9, 9]], dtype=np.int32), np.array([3, 1]), 2).tolist()
        [[6, 7], [5, 5]]
    """
    places = np.maximum(lengths[:, None] + np.arange(-count, 0), 0)
    return np.take_along_axis(completions, places, axis=1)


@dataclass(frozen=True)
class Hidden:
    """A column of numbers that partner and reward see and the agent does not, read once for each table of prompts.

    Attributes:
        name: The column in the prompts' metadata.
    """

    name: str
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> Rows:
        """``(B,)`` or ``(B, S)`` the column's numbers in each row.

        Raises:
            TaskError: for prompts of which some lack the column.
        """
        batch = batch.local()
        if self._cache.get("prompts") is not batch.prompts:
            if self.name not in batch.prompts.columns:
                raise TaskError(
                    f"the prompts have no column {self.name!r}, in which this conversation's partner and reward look "
                    f"for what is hidden; give each prompt one: {{'prompt': ..., {self.name!r}: ...}}"
                )
            values = batch.prompts.column(self.name)
            if None in values:
                raise TaskError(f"prompt {values.index(None)} has no {self.name!r}; this conversation needs it in each")
            self._cache.update(values=np.array(values, dtype=np.int64), prompts=batch.prompts)
        found: Rows = self._cache["values"][batch.prompt_indices]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Hidden:
        return self


def pay(right: NDArray[np.bool_], turns_before: Rows, cost: float) -> NDArray[np.float64]:
    """1, less the cost of each turn that came before the right one; 0 where nothing was right.

    Example:
        >>> pay(np.array([True, True, False]), np.array([0, 2, 2]), 0.25).tolist()
        [1.0, 0.5, 0.0]
    """
    return np.where(right, 1.0 - cost * turns_before, 0.0)


@dataclass(frozen=True)
class Earned:
    """Whether a score is high enough.

    Attributes:
        score: The score.
        at_least: What it must be; where it is 0, any score above 0 will do.
    """

    score: Score
    at_least: float = 0.0

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """1 for success, else 0."""
        earned = self.score(batch)
        return ((earned > 0.0) & (earned >= self.at_least)).astype(np.float64)


def conversation(
    name: str,
    levels: Iterable[PuzzleLevel],
    *,
    summary: str,
    tags: tuple[str, ...],
    make_prompts: Callable[[Any], list[Prompt]],
    make_tokenizer: Callable[[Any], Tokenizer],
    make_constraints: Callable[[Any], tuple[Constraint, ...]],
    make_reward: Callable[[Any], Score],
    make_partner: Callable[[Any], Partner],
    make_stop: Callable[[Any], StopRule],
    max_turns: Callable[[Any], int],
    max_new_tokens: Callable[[Any], int],
    choose: Callable[..., str],
    demonstrate: Callable[..., str],
    make_facts: Callable[[Any], Facts] | None = None,
    succeed_at: float = 0.0,
) -> Task:
    """A conversation that succeeds where it earns enough.

    Args:
        name: The task's name.
        levels: Settings, easiest first; the first is the default.
        summary: What the agent has to do.
        tags: Skills.
        make_prompts: As of :class:`~textgym.task.Task`, like all that follow.
        make_tokenizer: The vocabulary of both sides.
        make_constraints: What the agent may write.
        make_reward: What it is paid.
        make_partner: The other side.
        make_stop: The end of the conversation.
        max_turns: Turns of the agent.
        max_new_tokens: Tokens of a turn.
        choose: The oracle: (settings, prompt, turns so far) -> its next turn; a function that pickles.
        demonstrate: (settings, prompt, generator) -> a typical conversation; likewise.
        make_facts: By default the facts that ship for the name.
        succeed_at: The reward of a success, as of :class:`Earned`.
    """
    known = {level.name: level for level in levels}
    return Task(
        name=name,
        summary=summary,
        levels=known,
        level=next(iter(known)),
        tags=tags,
        make_prompts=make_prompts,
        make_tokenizer=make_tokenizer,
        make_reward=make_reward,
        make_success=partial(_earn, make_reward, succeed_at),
        make_constraints=make_constraints,
        make_stop=make_stop,
        make_partner=make_partner,
        max_turns=max_turns,
        make_oracle=partial(partial, choose),
        make_demonstration=partial(partial, demonstrate),
        make_facts=make_facts or shipped_facts(name),
        max_new_tokens=max_new_tokens,
    )


def _earn(make_reward: Callable[[Any], Score], at_least: float, settings: Any) -> Earned:
    return Earned(make_reward(settings), at_least)
