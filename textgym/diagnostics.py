"""What the diagnostics share: prompts with secret answers, rewards that make one thing hard, the task around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from string import ascii_lowercase
from typing import Any, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch, Prompt, Score
from textgym.errors import TaskError
from textgym.facts import shipped_facts
from textgym.keys import toss
from textgym.puzzles import Answer, first_reference
from textgym.task import Task
from textgym.tokenizers import WordTokenizer

Floats = NDArray[np.float64]
_SIGNS = np.array((-1.0, 1.0))

SLIPS = 0.25  # the share of guesses in demonstrations


def letters(count: int) -> tuple[str, ...]:
    """The first letters of the alphabet.

    Example:
        >>> letters(3)
        ('a', 'b', 'c')
    """
    return tuple(ascii_lowercase[:count])


def name_generator(*names: str) -> np.random.Generator:
    """A generator that is seeded by these names alone."""
    return np.random.default_rng(np.random.SeedSequence(2026, spawn_key=tuple(crc32(name.encode()) for name in names)))


def secret_prompts(
    words: Sequence[str], rng: np.random.Generator, *, prompts: int, length: int = 1, answers: int = 1
) -> list[Prompt]:
    """Prompts of one word, each with secret answers that nothing but trying can find.

    No two answers begin with the same word, so that a text that is right for one prompt is wrong for the others.

    Args:
        words: What prompts and answers consist of; the first words are the prompts.
        rng: Draws the answers.
        prompts: Number of prompts.
        length: Words of an answer.
        answers: Answers to a prompt, its references.

    Raises:
        TaskError: if there are too few words for so many answers.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> [prompt.text for prompt in secret_prompts(letters(4), rng, prompts=2, length=3)]
        ['a', 'b']
    """
    if prompts * answers > len(words):
        raise TaskError(f"{prompts * answers} answers that begin with different words, but only {len(words)} words")
    firsts = rng.permutation(len(words))[: prompts * answers]
    others = rng.integers(len(words), size=(len(firsts), length - 1))
    texts = [" ".join(words[index] for index in row) for row in np.column_stack([firsts, others]).tolist()]
    return [Prompt(words[row], tuple(texts[row * answers : (row + 1) * answers])) for row in range(prompts)]


# ---- scores -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Begins:
    """1 for a text whose first token begins one of the references and that is not too short, else 0.

    Attributes:
        tokens: The fewest tokens of a text that is paid, its end id included.
    """

    tokens: int = 1
    range = (0.0, 1.0)
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts."""
        batch = batch.local()
        found = (batch.completion_ids[:, :1] == self._firsts(batch)[batch.prompt_indices]).any(axis=1)
        return (found & (batch.lengths >= self.tokens)).astype(np.float64)

    def _firsts(self, batch: EpisodeBatch) -> NDArray[np.int32]:
        """``(N, R)`` the first ids of each prompt's references, filled up with -1, which nobody writes."""
        if self._cache.get("prompts") is not batch.prompts:
            rows = [[batch.tokenizer.encode(text)[0] for text in texts] for texts in batch.prompts.references]
            firsts = np.full((len(rows), max(map(len, rows))), -1, dtype=np.int32)
            for row, ids in enumerate(rows):
                firsts[row, : len(ids)] = ids
            self._cache.update(firsts=firsts, prompts=batch.prompts)
        found: NDArray[np.int32] = self._cache["firsts"]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Begins:
        return self


@dataclass(frozen=True)
class Complete:
    """1 where another score is high enough, else 0.

    Attributes:
        score: The other score.
        enough: What it has to be at least.
    """

    score: Score = field(default_factory=Answer)
    enough: float = 1.0
    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts."""
        return (self.score(batch) >= self.enough).astype(np.float64)


@dataclass(frozen=True)
class Decoyed:
    """1 for the whole answer; any other text earns a little, and the less the more of the answer it has right.

    Attributes:
        decoy: What a text earns that is wrong from its first token on.
        answer: The share of the answer that a text has right from the beginning on.
    """

    decoy: float
    answer: Answer = field(default_factory=Answer)
    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts."""
        share = self.answer(batch)
        return np.where(share == 1.0, 1.0, self.decoy * (1.0 - share))


@dataclass(frozen=True)
class Noisy:
    """Another score plus or minus a constant, by the toss of a coin that belongs to the episode.

    Attributes:
        spread: Standard deviation of the noise.
        score: The score without noise, from 0 to 1.
    """

    spread: float
    score: Score = field(default_factory=Answer)
    stochastic = True

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest reward."""
        return (-self.spread, 1.0 + self.spread)

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts."""
        return self.score(batch) + self.spread * _SIGNS.take(toss(batch.keys, "noise"))

    def outcomes(self, batch: EpisodeBatch) -> list[tuple[float, Floats]]:
        """Both rewards that a text may get, with their probabilities."""
        scores = self.score(batch)
        return [(0.5, scores - self.spread), (0.5, scores + self.spread)]


@dataclass(frozen=True)
class Scaled:
    """Another score times a constant.

    Attributes:
        factor: The constant.
        score: The score, from 0 to 1.
    """

    factor: float
    score: Score = field(default_factory=Answer)

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest reward."""
        return (0.0, self.factor)

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts."""
        return self.factor * self.score(batch)


# ---- tasks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GuessSome:
    """A demonstration: the first reference, in which every fourth word, on average, is a guess.

    Attributes:
        words: What is guessed.
    """

    words: tuple[str, ...]

    def __call__(self, prompt: Prompt, rng: np.random.Generator) -> str:
        """A typical text."""
        answer = prompt.references[0].split(" ")
        guesses = rng.integers(len(self.words), size=len(answer)).tolist()
        wrong = (rng.random(len(answer)) < SLIPS).tolist()
        return " ".join(
            self.words[guess] if slip else word for word, guess, slip in zip(answer, guesses, wrong, strict=True)
        )


class DiagnosticLevel(Protocol):
    """What the settings of every diagnostic have."""

    @property
    def name(self) -> str:
        """Name of the level."""
        ...

    @property
    def words(self) -> tuple[str, ...]:
        """The vocabulary; all of it may be written."""
        ...

    @property
    def tokens(self) -> int:
        """Most tokens of a text, its end included."""
        ...


def diagnostic(
    name: str,
    levels: Sequence[DiagnosticLevel],
    *,
    summary: str,
    skill: str,
    make_prompts: Callable[[Any], list[Prompt]],
    make_reward: Callable[[Any], Score] | None = None,
    make_gold: Callable[[Any], Score] | None = None,
    make_success: Callable[[Any], Score] | None = None,
) -> Task:
    """A task that asks for one skill; the first reference of a prompt is its best text.

    Args:
        name: The task's name, under which its facts ship.
        levels: Settings, easiest first; the first is the default.
        summary: What the agent has to write.
        skill: The tag beside ``"diagnostic"``.
        make_prompts: As of :class:`~textgym.task.Task`, like all that follow.
        make_reward: By default :class:`~textgym.puzzles.Answer`.
        make_gold: The true score, where it differs from the reward.
        make_success: By default :class:`Complete`, the whole answer.
    """
    return Task(
        name=name,
        summary=summary,
        levels={level.name: level for level in levels},
        level=levels[0].name,
        tags=("diagnostic", skill),
        make_prompts=make_prompts,
        make_tokenizer=_make_tokenizer,
        make_reward=make_reward or share_of_answer,
        make_gold=make_gold,
        make_success=make_success or whole_answer,
        make_oracle=first_reference,
        make_demonstration=_make_demonstration,
        make_facts=shipped_facts(name),
        max_new_tokens=attrgetter("tokens"),
    )


def share_of_answer(settings: Any) -> Answer:
    """A task's ``make_reward`` or ``make_gold``: the share of the answer that is right from the beginning on."""
    return Answer()


def whole_answer(settings: Any) -> Complete:
    """A task's ``make_success`` or ``make_gold``: whether the text is the answer."""
    return Complete()


def _make_tokenizer(level: DiagnosticLevel) -> WordTokenizer:
    return WordTokenizer(level.words)


def _make_demonstration(level: DiagnosticLevel) -> GuessSome:
    return GuessSome(level.words)
