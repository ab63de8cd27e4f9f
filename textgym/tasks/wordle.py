"""Wordle: find a hidden word; every letter of a guess is marked as a hit, near, or a miss.

The prompt ("word") is the same for every secret. A turn is a word, letter by letter; it ends with its last letter. The
partner marks each letter: *hit*, the right letter in its place; *near*, a letter that the word has elsewhere; *miss*.
A letter that is guessed twice and stands in the word once is marked once only: hits come first, then the leftmost.

**Reward.** 1, less 0.1 for each guess before the right one; 0 where the word is not found. Finding it is **success**.
There is one prompt for each secret, and no test prompts, since they all look alike.

**Levels.**

======  =====  =======  =======  ==============================
level   words  letters  guesses  a guess may be
======  =====  =======  =======  ==============================
easy        8        3        3  one of the words (by the mask)
medium     60        4        5  any letters
hard      200        5        6  any letters
======  =====  =======  =======  ==============================

The oracle of level easy is exact. At the others it guesses the word of the list that tells most words apart, and finds
every word.

**Example.** The secret is "hot": *c a t* miss miss hit, *h o t* hit hit hit. That earns 0.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from operator import attrgetter
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray

from textgym.constraints import Constraint
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import TaskError
from textgym.talk import Hidden, Say, Spell, conversation, last_tokens, pay
from textgym.task import StopRule
from textgym.tokenizers import WordTokenizer

MARKS = ("hit", "near", "miss")
HIT, NEAR, MISS = range(3)
COST = 0.1

THREE = "act cat cot hat hot oat too tot"
FOUR = """
bake bark bird blue boat bone book cake calm card coal cold corn dark door duck face farm fire fish foot game girl goat
gold hand hill home jump king kite lake lamp leaf lion milk moon nest note pear pond rain ring road rose sand seed ship
snow song star tail tree vine walk wall west wind wood yard
"""
FIVE = """
about above actor adult after agree alarm alive angel apple arena armor aside award bacon badge baker beach beard began
bench berry birth black blade blank blend block bloom board brain brave bread brick bride brief broom brush build cabin
cable camel candy cargo chain chair chalk charm chase cheap chess chief chili civic clean clear cliff climb clock cloth
cloud coach coast coral couch cover craft crane cream creek crowd crown curve daily dance delta diary dozen draft dream
dress drift drink drive eager eagle early earth elbow empty enjoy entry equal error event fable faith fancy feast fence
ferry fever fiber field final flame flash fleet flock flood floor flour fluid focus forge forty frame fresh frost fruit
giant glass globe glove grace grain grape grass green group guard guest guide happy heart heavy honey horse hotel house
human humor image ivory jelly jewel joint judge juice kayak knife label ladle large laugh layer lemon level light lilac
linen liver lodge lucky lunch magic maple march medal melon mercy metal model money month mouse mouth music nerve night
noble noise north novel nurse ocean olive onion orbit order organ otter paint panel peach pearl phone piano
pilot plant
"""


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        words: What the secret may be.
        guesses: Turns of the agent.
        spelt: Whether a guess must be one of the words.
    """

    name: str
    words: tuple[str, ...]
    guesses: int
    spelt: bool

    @property
    def letters(self) -> str:
        """The alphabet, in id order."""
        return "".join(sorted(set("".join(self.words)))) if self.spelt else ascii_lowercase

    @property
    def size(self) -> int:
        """Letters of a word."""
        return len(self.words[0])


LEVELS = (
    Level("easy", tuple(THREE.split()), 3, spelt=True),
    Level("medium", tuple(FOUR.split()), 5, spelt=False),
    Level("hard", tuple(FIVE.split()), 6, spelt=False),
)


def mark(guesses: NDArray[np.int64], secrets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Marks the letters of guesses: 0 hit, 1 near, 2 miss.

    Args:
        guesses: ``(B, L)`` letters.
        secrets: ``(B, L)`` letters.

    Example:
        >>> mark(np.array([[0, 0, 1]]), np.array([[1, 0, 2]])).tolist()
        [[2, 0, 1]]
    """
    hit = guesses == secrets
    same = (guesses[:, :, None] == secrets[:, None, :]) & ~hit[:, None, :]
    left = same.sum(axis=2)  # of each guessed letter, as many as the secret has beside the hits
    earlier = np.tri(guesses.shape[1], k=-1, dtype=bool)
    again = ((guesses[:, :, None] == guesses[:, None, :]) & ~hit[:, None, :] & earlier).sum(axis=2)
    return np.where(hit, HIT, np.where(left > again, NEAR, MISS))


def make_prompts(level: Level) -> list[Prompt]:
    """One prompt for each secret; all of them look alike."""
    return [Prompt("word", metadata={"secret": tuple(map(level.letters.index, word))}) for word in level.words]


def make_tokenizer(level: Level) -> WordTokenizer:
    """The letters, the marks and the word of the prompt."""
    return WordTokenizer([*level.letters, *MARKS, "word"])


@dataclass(frozen=True)
class Marks:
    """The partner: marks the letters of the last guess.

    Attributes:
        letters: Size of the alphabet; the ids of the marks come next.
        max_reply_tokens: Letters of a word.
    """

    letters: int
    max_reply_tokens: int
    _secret: Hidden = field(default_factory=partial(Hidden, "secret"), init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
        """``(B, L)`` the marks.

        Raises:
            TaskError: for turns that are not of L letters.
        """
        if (batch.lengths % (2 * self.max_reply_tokens) != self.max_reply_tokens).any():
            raise TaskError(f"a turn of this conversation has {self.max_reply_tokens} letters; leave max_new_tokens be")
        guess = last_tokens(batch.completion_ids, batch.lengths, self.max_reply_tokens)
        return (self.letters + mark(guess.astype(np.int64), self._secret(batch))).astype(np.int32)


@dataclass(frozen=True)
class Found:
    """1 less the cost of the guesses before the right one.

    Attributes:
        size: Letters of a word.
    """

    size: int
    range = (0.0, 1.0)
    _secret: Hidden = field(default_factory=partial(Hidden, "secret"), init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores ``(B,)`` conversations."""
        turns = batch.completion_ids.shape[1] // (2 * self.size)
        guesses = batch.completion_ids[:, : turns * 2 * self.size].reshape(len(batch), turns, 2 * self.size)
        right = (guesses[:, :, : self.size] == self._secret(batch)[:, None]).all(axis=2)
        return pay(right.any(axis=1), right.argmax(axis=1), COST)


def _make_stop(level: Level) -> StopRule:
    return partial(_is_found, len(level.letters) + HIT, level.size)


def _is_found(hit: int, size: int, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (last_tokens(completions, lengths, size) == hit).all(axis=1)


def _make_partner(level: Level) -> Marks:
    return Marks(len(level.letters), level.size)


def _make_reward(level: Level) -> Found:
    return Found(level.size)


def _make_constraints(level: Level) -> tuple[Constraint, ...]:
    return (Spell(level.words) if level.spelt else Say(tuple(level.letters)),)


@cache
def _codes(words: tuple[str, ...]) -> NDArray[np.int64]:
    """``(W, W)`` the marks of each word as a guess for each secret, as one number; 0 is all hits."""
    letters = np.array([[ord(letter) for letter in word] for word in words])
    count = len(words)
    marks = mark(np.repeat(letters, count, axis=0), np.tile(letters, (count, 1)))
    return (marks * 3 ** np.arange(letters.shape[1])).sum(axis=1).reshape(count, count)


@cache
def _best_guess(words: tuple[str, ...], left: tuple[int, ...], turn: int, turns: int) -> tuple[float, int]:
    """The most that one can earn in sum over the words that are left, and the guess for it (exhaustive search)."""
    best, choice = -1.0, 0
    for guess in range(len(words)):
        total = 1.0 - COST * turn if guess in left else 0.0
        for group in _groups(words, left, guess) if turn + 1 < turns else ():
            total += _best_guess(words, group, turn + 1, turns)[0]
        if total > best + 1e-12:
            best, choice = total, guess
    return best, choice


def _groups(words: tuple[str, ...], left: tuple[int, ...], guess: int) -> list[tuple[int, ...]]:
    """The words that stay possible after each reply, without the right guess and guesses that tell nothing."""
    codes = _codes(words)[guess, list(left)]
    groups = [tuple(np.array(left)[codes == code].tolist()) for code in np.unique(codes) if code]
    return [group for group in groups if group != left]


@cache
def _good_guess(words: tuple[str, ...], left: tuple[int, ...]) -> int:
    """The word with the most different replies; of equal ones a word that may be the secret."""
    codes = np.sort(_codes(words)[:, list(left)], axis=1)
    replies = 1.0 + (codes[:, 1:] != codes[:, :-1]).sum(axis=1)
    replies[list(left)] += 0.5
    return int(replies.argmax())


def _guess(level: Level, prompt: Prompt, turns: Sequence[tuple[str, str]]) -> str:
    """The next guess, given the marks so far."""
    words, left, codes = level.words, np.arange(len(level.words)), _codes(level.words)
    for (_, said), (_, marks) in zip(turns[::2], turns[1::2], strict=False):
        code = sum(MARKS.index(name) * 3**place for place, name in enumerate(marks.split()))
        left = left[codes[words.index(said.replace(" ", "")), left] == code]
    possible = tuple(left.tolist())
    exact = level.spelt
    best = _best_guess(words, possible, len(turns) // 2, level.guesses)[1] if exact else _good_guess(words, possible)
    return " ".join(words[best])


def _guess_about(level: Level, prompt: Prompt, rng: np.random.Generator) -> str:
    """A conversation with somebody who mostly guesses words that may still be the secret."""
    secret = ["".join(level.letters[index] for index in prompt.metadata["secret"])]
    target, codes = level.words.index(secret[0]), _codes(level.words)
    left, said = np.arange(len(level.words)), []
    for _ in range(level.guesses):
        guess = int(rng.choice(left if rng.random() < 0.8 else len(level.words)))
        code = int(codes[guess, target])
        said += [*level.words[guess], *(MARKS[code // 3**place % 3] for place in range(level.size))]
        if guess == target:
            break
        left = left[codes[guess, left] == code]
    return " ".join(said)


TASK = conversation(
    "Wordle",
    LEVELS,
    summary="Find a hidden word; the letters of each guess are marked.",
    tags=("puzzle", "conversation", "search", "spelling"),
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_reward=_make_reward,
    make_constraints=_make_constraints,
    make_stop=_make_stop,
    make_partner=_make_partner,
    max_turns=attrgetter("guesses"),
    choose=_guess,
    demonstrate=_guess_about,
    max_new_tokens=attrgetter("size"),
)
