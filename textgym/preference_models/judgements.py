"""Judgements: comparisons as arrays over distinct texts, and their split into training and held-out ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from textgym.comparisons import Comparison
from textgym.davidson import LEFT, RIGHT, TIE
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError
from textgym.prompts import PromptTable
from textgym.records import shorten
from textgym.tokenizers import Tokenizer

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_OUTCOMES = {"left": LEFT, "right": RIGHT, "tie": TIE, "both_bad": TIE}


class Problem(Protocol):
    """What a reward model must know of a task; a :class:`~textgym.task.Task` is one."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary of the texts."""
        ...

    @property
    def prompts(self) -> PromptTable:
        """The prompts that they answer."""
        ...


@dataclass(frozen=True)
class Texts:
    """A :class:`Problem` without a task: a vocabulary and prompts.

    Attributes:
        tokenizer: The vocabulary of the texts.
        prompts: The prompts that they answer.
    """

    tokenizer: Tokenizer
    prompts: PromptTable


@dataclass(frozen=True, eq=False)
class Judgements:
    """Comparisons as arrays.

    Attributes:
        texts: ``(N,)`` the distinct texts, each with its prompt.
        left: ``(M,)`` row of the text on the left.
        right: ``(M,)`` row of the text on the right.
        outcomes: ``(M,)`` 1 for left, 0 for a tie (also where both were called bad), -1 for right.
        strengths: ``(M,)`` how much better, 0 where that was not asked.
        annotators: ``(M,)`` places in ``names``.
        names: Who judged.
        pairs: ``(M,)`` judgements of the same two texts have the same number, whichever side they stood on.
        skipped: Comparisons that were left out, because nobody judged.
    """

    texts: EpisodeBatch
    left: Integers
    right: Integers
    outcomes: Integers
    strengths: Integers
    annotators: Integers
    names: tuple[str, ...]
    pairs: Integers
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def prompts(self) -> Integers:
        """``(M,)`` row of the prompt of each judgement."""
        return self.texts.prompt_indices[self.left]

    @property
    def wins(self) -> Floats:
        """``(M,)`` 1 where the left text won, 0 where the right one did, one half for a tie."""
        return np.asarray(0.5 * (self.outcomes + 1))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Judgements:
        """These judgements alone; the texts stay."""
        names = ("left", "right", "outcomes", "strengths", "annotators", "pairs")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def read_judgements(comparisons: Iterable[Comparison], problem: Problem) -> Judgements:
    """Turns comparisons into arrays; skipped ones are left out and counted.

    Prompts are looked up among the problem's; where one is not there, all prompts of the comparisons make a table of
    their own. Texts without token ids are encoded.

    Raises:
        ConfigurationError: where nobody judged anything, or token ids are of another vocabulary.
    """
    given = list(comparisons)
    judged = [item for item in given if item.choice != "skip"]
    if not judged:
        found = f"all {len(given)} comparisons were skipped" if given else "there are no comparisons"
        raise ConfigurationError(f"{found}: expected at least one judgement")
    table, rows = _find_prompts(judged, problem)
    numbers: dict[tuple[int, tuple[int, ...]], int] = {}
    spelled: dict[int, str] = {}
    sides = np.empty((len(judged), 2), dtype=np.int64)
    for place, item in enumerate(judged):
        for side, (ids, text) in enumerate(((item.left_ids, item.left), (item.right_ids, item.right))):
            key = rows[item.prompt], ids or _encode(text, problem.tokenizer)
            sides[place, side] = number = numbers.setdefault(key, len(numbers))
            if ids:
                spelled[number] = text
    _check_ids(numbers, problem.tokenizer)
    names = tuple(dict.fromkeys(item.annotator for item in judged))
    places = {name: place for place, name in enumerate(names)}
    ends = np.sort(sides, axis=1)
    texts = EpisodeBatch.from_ids(
        table, problem.tokenizer, [row for row, _ in numbers], [ids for _, ids in numbers],
        gold=getattr(problem, "gold", None) if table is problem.prompts else None,
    )  # fmt: skip
    _check_spelling(texts, spelled)
    return Judgements(
        texts=texts,
        left=sides[:, 0],
        right=sides[:, 1],
        outcomes=np.array([_OUTCOMES[item.choice] for item in judged]),
        strengths=np.array([item.strength or 0 for item in judged]),
        annotators=np.array([places[item.annotator] for item in judged]),
        names=names,
        pairs=np.unique(ends[:, 0] * len(numbers) + ends[:, 1], return_inverse=True)[1].ravel(),
        skipped=len(given) - len(judged),
    )  # fmt: skip


def _find_prompts(judged: Sequence[Comparison], problem: Problem) -> tuple[PromptTable, dict[str, int]]:
    """The table of prompts, and the row of each."""
    wanted = list(dict.fromkeys(item.prompt for item in judged))
    known: dict[str, int] = {}
    for row, text in enumerate(problem.prompts.texts):
        known.setdefault(text, row)
    if all(text in known for text in wanted):
        return problem.prompts, {text: known[text] for text in wanted}
    table = PromptTable([Prompt(text) for text in wanted], problem.tokenizer)
    return table, {text: row for row, text in enumerate(wanted)}


def _encode(text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    return (*tokenizer.encode(text), tokenizer.eos_ids[0])


def _check_ids(texts: Iterable[tuple[int, tuple[int, ...]]], tokenizer: Tokenizer) -> None:
    size = tokenizer.vocab_size
    for _, ids in texts:
        if min(ids) < 0 or max(ids) >= size:
            raise ConfigurationError(
                f"the token ids {list(ids)} do not belong to {tokenizer!r}, whose ids end at {size - 1}; name the "
                "environment in which the texts were written, or leave the ids out"
            )


def _check_spelling(texts: EpisodeBatch, spelled: Mapping[int, str]) -> None:
    """Small ids fit into every vocabulary, and mean other words in another one."""
    for row, text in spelled.items():
        if texts.completions[row] != text:
            raise ConfigurationError(
                f"the token ids {texts.ids(row)} of {shorten(text)} spell {shorten(texts.completions[row])} in "
                f"{texts.tokenizer!r}; name the environment in which the texts were written, with its arguments, or "
                "leave the ids out"
            )


def hash_comparisons(comparisons: Iterable[Comparison]) -> str:
    """A hash of everything that was judged, by which a model remembers its data."""
    digest = hashlib.sha256()
    for item in comparisons:
        digest.update(json.dumps(asdict(item), sort_keys=True, default=str).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


# ---- splits --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PromptSplit:
    """Which judgements a model may learn from, and which ones measure it.

    Attributes:
        train: ``(M,)`` whether a judgement is for learning.
        test: ``(M,)`` whether it is held out. Some are neither, where texts are split.
        unit: What no side shares with the other: "prompt", or "text" where there is one prompt alone.
        held_out: The prompts that are held out; none where texts are.
    """

    train: NDArray[np.bool_]
    test: NDArray[np.bool_]
    unit: str
    held_out: tuple[str, ...] = ()


def split_by_prompt(judgements: Judgements, rng: np.random.Generator, *, share: float = 0.2) -> PromptSplit:
    """Holds out some prompts with all that was judged of them.

    Judgements of one prompt share texts, so a split by pairs would measure memory. Where there is one prompt alone,
    its texts are split instead, and judgements of one text of either side are left out.

    Args:
        judgements: What to split.
        rng: Draws the prompts.
        share: Of the prompts (at least one of them; or of the texts) that is held out; 0 for none.

    Raises:
        ConfigurationError: if the share is not from 0 to below 1.
    """
    if not 0.0 <= share < 1.0:
        raise ConfigurationError(f"holdout={share!r}: expected a share from 0 to below 1")
    prompts = judgements.prompts
    kinds = np.unique(prompts)
    if share == 0.0:
        return PromptSplit(np.ones(len(prompts), dtype=bool), np.zeros(len(prompts), dtype=bool), "prompt")
    if len(kinds) == 1:
        return _split_by_text(judgements, rng, share)
    count = min(max(1, round(share * len(kinds))), len(kinds) - 1)
    chosen = np.sort(rng.permutation(kinds)[:count])
    test = np.isin(prompts, chosen)
    texts = judgements.texts.prompts.texts
    return PromptSplit(~test, test, "prompt", tuple(texts[row] for row in chosen.tolist()))


def _split_by_text(judgements: Judgements, rng: np.random.Generator, share: float) -> PromptSplit:
    count = len(judgements.texts)
    held = np.zeros(count, dtype=bool)
    held[rng.permutation(count)[: max(2, round(share * count))]] = True
    left, right = held[judgements.left], held[judgements.right]
    return PromptSplit(~(left | right), left & right, "text")
