"""The nouns of the package: a prompt, and a batch of episodes as rewards see it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import PromptError, RewardError

if TYPE_CHECKING:
    from textgym.prompts import PromptTable
    from textgym.tokenizers import Tokenizer

STOP_REASONS: tuple[str | None, ...] = (None, "length", "stop", "eos", "illegal")
"""Stop codes are indices into this tuple, in order of precedence; code 0 is a text that has not ended."""
GOING, LENGTH, STOP, EOS, ILLEGAL = range(5)

Score = Callable[["EpisodeBatch"], NDArray[np.float64]]


def lowest(score: Score) -> float:
    """What an illegal text is worth: the lower end of the declared range where finite, else -1.0."""
    low = float(getattr(score, "range", (-math.inf, math.inf))[0])
    return low if math.isfinite(low) else -1.0


def as_items(ids: NDArray[np.int32]) -> NDArray[np.void]:
    """A view of ``(B, W)`` ids as ``(B,)`` items of W ids each, which NumPy copies twice as fast."""
    return ids.view(np.dtype((np.void, ids.shape[1] * ids.itemsize)))[:, 0]


def _picker(rows: Any) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A function that copies these rows of an array, in the fastest way there is for their kind."""
    if isinstance(rows, slice):
        return lambda array: array[rows].copy()
    index = np.asarray(rows, dtype=None if len(rows) else np.int64)
    if index.dtype == bool:
        return lambda array: array[index]
    return lambda array: array.take(index, axis=0)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of a task.

    Attributes:
        text: The original string.
        references: Correct or model answers, possibly none.
        metadata: Further columns, handed to rewards by name.
        split: ``"train"`` or ``"test"`` where the task declares splits, else None.
    """

    text: str
    references: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    split: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise PromptError(f"the prompt {self.text!r}: expected a text")
        references: Any = self.references
        if isinstance(references, str):  # it would be taken letter by letter
            raise PromptError(f"references={references!r}: expected a tuple of texts, ({references!r},)")


class EpisodeBatch:
    """Texts to be scored: token ids are the truth, strings are decoded when somebody asks.

    Attributes:
        tokens: ``(B, P + T)`` ids: the prompt right-aligned in the first P columns, the completion
            from column P on, the private pad id ``vocab_size`` everywhere else.
        lengths: ``(B,)`` number of completion tokens, the end id included.
        stop_codes: ``(B,)`` indices into :data:`STOP_REASONS`; 0 for a prefix that has not ended.
        keys: ``(B,)`` uint64; the source of all randomness of an episode (:mod:`textgym.keys`).
        prompt_indices: ``(B,)`` rows of ``prompts``.
        prompts: The table that the prompts come from.
        tokenizer: The tokenizer that the ids belong to.
        is_agent: ``(B, T)`` in conversations, which of the completion's ids the agent wrote; None elsewhere.
    """

    def __init__(
        self,
        tokens: NDArray[np.int32],
        lengths: NDArray[np.int64],
        stop_codes: NDArray[np.uint8],
        keys: NDArray[np.uint64],
        prompt_indices: NDArray[np.int64],
        prompts: PromptTable,
        tokenizer: Tokenizer,
        *,
        is_agent: NDArray[np.bool_] | None = None,
        gold: Score | None = None,
        success: Score | None = None,
    ) -> None:
        for array in (tokens, lengths, stop_codes):
            array.setflags(write=False)  # a reward that changes the texts would change what gold sees
        self.tokens = tokens
        self.lengths = lengths
        self.stop_codes = stop_codes
        self.keys = keys
        self.prompt_indices = prompt_indices
        self.prompts = prompts
        self.tokenizer = tokenizer
        self.is_agent = is_agent
        self._gold = gold
        self._success = success

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def completion_ids(self) -> NDArray[np.int32]:
        """``(B, T)`` ids of the completions, padded with ``vocab_size``; a view."""
        return self.tokens[:, self.prompts.width :]

    @property
    def num_tokens(self) -> NDArray[np.int64]:
        """``(B,)`` how many tokens the agent wrote, end ids included."""
        return self.lengths if self.is_agent is None else self.is_agent.sum(axis=1)

    def turns(self, row: int) -> list[tuple[str, list[int]]]:
        """Who wrote what in one row: ``("agent" or "partner", ids)`` for each run of tokens of one side."""
        ids = self.ids(row)
        if self.is_agent is None:
            return [("agent", ids)]
        sides = zip(self.is_agent[row, : len(ids)].tolist(), ids, strict=True)
        runs = itertools.groupby(sides, key=lambda pair: pair[0])
        return [("agent" if side else "partner", [index for _, index in run]) for side, run in runs]

    def dialogue(self, row: int) -> list[tuple[str, str]]:
        """The turns of one row as text."""
        return [(side, self.tokenizer.decode(ids)) for side, ids in self.turns(row)] if self.lengths[row] else []

    def ids(self, row: int) -> list[int]:
        """The completion of one row as a list of ids, the end id included."""
        ids: list[int] = self.completion_ids[row, : self.lengths[row]].tolist()
        return ids

    @property
    def prompt_texts(self) -> list[str]:
        """The original prompt strings."""
        texts = self.prompts.texts
        return [texts[index] for index in self.prompt_indices.tolist()]

    @cached_property
    def completions(self) -> list[str]:
        """The completions as text: each decoded once, as a whole, without special ids."""
        decode = self.tokenizer.decode
        rows = zip(self.completion_ids.tolist(), self.lengths.tolist(), strict=True)
        return [decode(ids[:length]) for ids, length in rows]

    @property
    def references(self) -> list[tuple[str, ...]]:
        """The references of each row's prompt, possibly none."""
        references = self.prompts.references
        return [references[index] for index in self.prompt_indices.tolist()]

    def required_references(self) -> list[tuple[str, ...]]:
        """The references, for rewards that cannot do without.

        Raises:
            RewardError: if a prompt has none.
        """
        references = self.references
        if not all(references):
            prompt = self.prompt_texts[[bool(given) for given in references].index(False)]
            raise RewardError(
                f"the prompt {prompt!r} has no reference to compare with; give every prompt a column 'reference', "
                "or name yours: prompts={'path': ..., 'reference': COLUMN}"
            )
        return references

    def metadata(self, column: str) -> list[Any]:
        """A further column of the prompt table, one value a row."""
        values = self.prompts.column(column)
        return [values[index] for index in self.prompt_indices.tolist()]

    def local(self) -> EpisodeBatch:
        """The batch for rewards that keep a table of all prompts: of streamed ones it has those of its rows alone."""
        if not self.prompts.is_streamed:
            return self
        batch = self.take(range(len(self)))
        batch.prompts, batch.prompt_indices = self.prompts.take(self.prompt_indices), np.arange(len(self))
        return batch

    @property
    def stop_reasons(self) -> list[str | None]:
        """Why each text ended; None for a prefix."""
        return [STOP_REASONS[code] for code in self.stop_codes.tolist()]

    @property
    def has_gold(self) -> bool:
        """Whether there is a true score for this task and these prompts."""
        return self._gold is not None

    def gold(self) -> NDArray[np.float64] | None:
        """``(B,)`` true scores, computed now; None where the task has none.

        Illegal texts get the lowest score (:func:`lowest`) unasked.
        """
        if self._gold is None:
            return None
        legal = self.stop_codes != ILLEGAL
        if legal.all():
            return self._gold(self)
        scores = np.full(len(self), lowest(self._gold))
        if legal.any():
            scores[legal] = self._gold(self.take(legal))
        return scores

    def success(self) -> NDArray[np.bool_] | None:
        """``(B,)`` whether each text solves its task, illegal ones never; None where that is not defined."""
        if self._success is None:
            return None
        return np.asarray(self._success(self), dtype=bool) & (self.stop_codes != ILLEGAL)

    def take(self, rows: Sequence[int] | NDArray[np.int64] | NDArray[np.bool_] | slice) -> EpisodeBatch:
        """The batch of these rows only; a copy."""
        pick = _picker(rows)
        return EpisodeBatch(
            pick(self.tokens),
            pick(self.lengths),
            pick(self.stop_codes),
            pick(self.keys),
            pick(self.prompt_indices),
            self.prompts,
            self.tokenizer,
            is_agent=None if self.is_agent is None else pick(self.is_agent),
            gold=self._gold,
            success=self._success,
        )

    @classmethod
    def from_ids(
        cls,
        prompts: PromptTable,
        tokenizer: Tokenizer,
        prompt_indices: Sequence[int],
        completions: Sequence[Sequence[int]],
        *,
        max_new_tokens: int | None = None,
        keys: NDArray[np.uint64] | None = None,
        gold: Score | None = None,
        success: Score | None = None,
    ) -> EpisodeBatch:
        """Builds a batch from prompt rows and completions as token ids.

        A completion that ends with an end id has stop reason ``"eos"``; any other counts as cut by
        the token budget (``"length"``).
        """
        width = prompts.width
        longest = max([max_new_tokens or 1, *(len(ids) for ids in completions)])
        tokens = np.full((len(completions), width + longest), tokenizer.vocab_size, dtype=np.int32)
        tokens[:, :width] = prompts.ids[np.asarray(prompt_indices, dtype=np.int64)]
        ends = set(tokenizer.eos_ids)
        codes = np.full(len(completions), LENGTH, dtype=np.uint8)
        for row, ids in enumerate(completions):
            tokens[row, width : width + len(ids)] = ids
            if len(ids) and ids[-1] in ends:
                codes[row] = EOS
        return cls(
            tokens,
            np.array([len(ids) for ids in completions], dtype=np.int64),
            codes,
            np.arange(len(completions), dtype=np.uint64) if keys is None else keys,
            np.asarray(prompt_indices, dtype=np.int64),
            prompts,
            tokenizer,
            gold=gold,
            success=success,
        )
