"""GuessNumber: find a hidden number by guessing; each guess is told to be too low or too high.

The prompt says only how far the numbers go ("guess 1 to 7") and is the same for every secret. Each turn is one number.
The partner replies *higher*, *lower* or *correct*, and *correct* ends the conversation. The best player halves what is
left; nobody who sees no more than the hints can do better, and :func:`textgym.exact.solve` says the same.

**Reward.** 1, less a cost for each guess before the right one; 0 where the number is not found. Finding it is
**success**. There is one prompt for each secret, and no test prompts, since they all look alike.

**Levels.**

======  =======  =======  ====  ==========
level   numbers  guesses  cost  best
======  =======  =======  ====  ==========
easy          7        3  0.10  0.857
medium       15        4  0.10  0.773
hard        100        7  0.05  0.760
======  =======  =======  ====  ==========

A number is one token, whatever its size.

**Example.** The secret is 6: *4* higher, *6* correct. That earns 0.9 at level easy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch, Prompt
from textgym.talk import Hidden, Say, conversation, last_tokens, pay
from textgym.task import StopRule
from textgym.tokenizers import WordTokenizer

HINTS = ("higher", "lower", "correct")


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        numbers: The secret is one of 1 to so many.
        guesses: Turns of the agent.
        cost: Of each guess before the right one.
    """

    name: str
    numbers: int
    guesses: int
    cost: float


LEVELS = (Level("easy", 7, 3, 0.1), Level("medium", 15, 4, 0.1), Level("hard", 100, 7, 0.05))


def make_prompts(level: Level) -> list[Prompt]:
    """One prompt for each secret; all of them look alike."""
    text = f"guess 1 to {level.numbers}"
    return [Prompt(text, metadata={"secret": secret}) for secret in range(1, level.numbers + 1)]


def _numbers(level: Level) -> tuple[str, ...]:
    return tuple(str(number) for number in range(1, level.numbers + 1))


def make_tokenizer(level: Level) -> WordTokenizer:
    """The numbers, of which n has the id n - 1, the hints, and the words of the prompt."""
    return WordTokenizer([*_numbers(level), *HINTS, "guess", "to"])


@dataclass(frozen=True)
class Hints:
    """The partner: where the secret lies, seen from the last guess.

    Attributes:
        numbers: How many there are; the hints' ids come next.
    """

    numbers: int
    max_reply_tokens: int = 1
    _secret: Hidden = field(default_factory=partial(Hidden, "secret"), init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
        """``(B, 1)`` the hints."""
        guess, secret = last_tokens(batch.completion_ids, batch.lengths, 1)[:, 0] + 1, self._secret(batch)
        hint = self.numbers + np.where(guess == secret, 2, guess > secret)
        return hint.astype(np.int32)[:, None]


@dataclass(frozen=True)
class Found:
    """1 less the cost of the guesses before the right one.

    Attributes:
        numbers: How many there are.
        cost: Of a guess.
    """

    numbers: int
    cost: float
    range = (0.0, 1.0)
    _secret: Hidden = field(default_factory=partial(Hidden, "secret"), init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores ``(B,)`` conversations."""
        ids = batch.completion_ids
        right = ids + 1 == self._secret(batch)[:, None]
        first = right.argmax(axis=1)
        before = ((ids < self.numbers) & (np.arange(ids.shape[1]) < first[:, None])).sum(axis=1)
        return pay(right.any(axis=1), before, self.cost)


def _make_stop(level: Level) -> StopRule:
    return partial(_is_found, level.numbers + HINTS.index("correct"))


def _is_found(correct: int, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    return last_tokens(completions, lengths, 1)[:, 0] == correct


def _make_partner(level: Level) -> Hints:
    return Hints(level.numbers)


def _make_reward(level: Level) -> Found:
    return Found(level.numbers, level.cost)


def _make_constraints(level: Level) -> tuple[Say, ...]:
    return (Say(_numbers(level)),)


def _count_tokens(level: Level) -> int:
    return 1


def _halve(level: Level, prompt: Prompt, turns: Sequence[tuple[str, str]]) -> str:
    """The middle of the numbers that the hints leave."""
    low, high = 1, level.numbers
    for (_, guess), (_, hint) in zip(turns[::2], turns[1::2], strict=False):
        low, high = (int(guess) + 1, high) if hint == "higher" else (low, int(guess) - 1)
    return str((low + high) // 2)


def _guess_about(level: Level, prompt: Prompt, rng: np.random.Generator) -> str:
    """A conversation with somebody who heeds the hints, and guesses anything that they leave."""
    low, high, secret, said = 1, level.numbers, prompt.metadata["secret"], []
    for _ in range(level.guesses):
        guess = int(rng.integers(low, high + 1))
        said += [str(guess), HINTS[2 if guess == secret else int(guess > secret)]]
        if guess == secret:
            break
        low, high = (guess + 1, high) if guess < secret else (low, guess - 1)
    return " ".join(said)


TASK = conversation(
    "GuessNumber",
    LEVELS,
    summary="Find a hidden number from hints of higher and lower.",
    tags=("puzzle", "conversation", "search"),
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_reward=_make_reward,
    make_constraints=_make_constraints,
    make_stop=_make_stop,
    make_partner=_make_partner,
    max_turns=attrgetter("guesses"),
    choose=_halve,
    demonstrate=_guess_about,
    max_new_tokens=_count_tokens,
)
