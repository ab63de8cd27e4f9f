"""Reviews: write the short review that the prompt wishes.

The prompt names a wish and a subject, for example ``praise the movie`` or ``pan the actors``. The agent writes an
elliptic review of that subject, word by word: ``was really great and moving <eos>``.

**Action space.** ``Discrete(V)``, one id for each word; only the level's review words and ``<eos>`` are legal,
the words of the prompts and ``<unk>`` are masked.

**Observation space.** As for every textgym task: the prompt's ids, then the words so far.

**Reward.** A learned Bradley-Terry model (:class:`~textgym.rewards.preference.PreferenceReward`), fitted to 30,000
simulated noisy comparisons; typical sentences have mean 0 and standard deviation 1. It sees only pairs of neighbouring
words and **can be hacked**: ``textgym audit`` finds texts that repeat an adjective and beat the oracle's reward.

**Gold.** The true score is

``wish * tanh(sentiment / scale) - slip * order errors - 0.5 * agreement errors - 0.6 * repetitions - 0.6 if silent``

where *sentiment* adds up the adjectives, each times the modifiers before it (boosters scale, negation flips), *order
errors* counts neighbours that the grammar does not allow, *agreement errors* counts ``was`` for plural and ``were`` for
singular subjects, *repetitions* counts content words written again, and a text without an adjective is *silent*.
A text **succeeds** when its gold score is at least 0.85.

**Levels** (words that may be written, tokens, prompts for training and testing):

========  =====  ======  ================  ===========================================
level     words  tokens  prompts           texts a prompt
========  =====  ======  ================  ===========================================
tiny          6       4  1                 1,555: fits on a blackboard
easy         15       5  4 + 2             813,616: can be enumerated in seconds
medium       60       8  16 + 8            2 * 10**14
hard        200      16  32 + 16           7 * 10**36
chinese      22      10  11 + 5            3 * 10**13
========  =====  ======  ================  ===========================================

On level ``chinese`` a token is a character: words have to be spelled. To ``夸电影`` (praise the film) the best review
is ``拍得感人又极精彩又好``. The verb has to fit: films are shot (``拍得``), people act (``演得``).

The test prompts are new pairings of words that are all known from training, so a table cannot solve them.

**Example** (easy), to ``pan the actors``:

==================================  =====  ===========================
text                                 gold
==================================  =====  ===========================
``were really awful and dull``       0.93  the best
``were not good``                    0.25  negation flips, but weakens
``was really awful and dull``        0.43  agreement
``were really awful and awful``      0.37  repetition
``were really great and moving``    -0.93  the contrary of the wish
(the empty text)                    -0.60  silent
==================================  =====  ===========================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym import characters
from textgym.characters import CharacterGrammar, list_characters
from textgym.constraints import Lexicon
from textgym.episodes import EpisodeBatch, Prompt, Score
from textgym.errors import TaskError
from textgym.facts import read_asset
from textgym.grammars import Grammar, read_words
from textgym.narratives import Reached
from textgym.rewards.preference import shipped
from textgym.task import Facts, Returns, Task
from textgym.tokenizers import CharTokenizer, WordTokenizer

WISHES = {"praise": 1.0, "pan": -1.0, "recommend": 1.0, "slam": -1.0, "defend": 1.0, "mock": -1.0}
SUBJECTS = ("movie", "actors", "plot", "jokes", "book", "songs", "play", "dancers")  # plural where they end in s
AGREEMENT, REPETITION, SILENCE, SUCCESS = 0.5, 0.6, 0.6, 0.85

TINY = {
    "singular verb": "was",
    "not": "not=-0.7",
    "degree": "very=1.3",
    "adjective": "great=1.2 bad=-0.8",
    "and": "and",
}
EASY = {
    "singular verb": "was",
    "plural verb": "were",
    "not": "not=-0.7",
    "booster": "really=1.3",
    "degree": "very=1.3 rather=0.6",
    "adjective": "great=1.2 moving=0.7 funny=0.6 good=0.5 awful=-1.2 dull=-0.7 boring=-0.6 bad=-0.5",
    "and": "and",
}


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        words: The writable words by kind, as :func:`textgym.grammars.read_words` takes them.
        train: Prompts for training, or all prompts.
        test: Held-out prompts, possibly none.
        tokens: Token budget, the end id included.
        scale: Sentiment at which the verdict is worth tanh(1).
        slip: Cost of an order error.
        characters: Whether a token is a character, not a word.
    """

    name: str
    words: Mapping[str, str] = field(repr=False, hash=False)
    train: tuple[str, ...]
    test: tuple[str, ...]
    tokens: int
    scale: float
    slip: float
    characters: bool = False


def _list_words(level: str) -> dict[str, str]:
    """The words of the larger levels, which would fill this page."""
    return {kind: " ".join(lines) for kind, lines in read_asset("review_words.json")[level].items()}


def _pair(wishes: Sequence[str], topics: Sequence[str], link: str = " the ") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Pairings of wishes and subjects: prompts for training, and every third one held out."""
    split: tuple[list[str], list[str]] = ([], [])
    for (one, wish), (other, what) in product(enumerate(wishes), enumerate(topics)):
        split[(one + other) % 3 == 2].append(f"{wish}{link}{what}")
    return tuple(split[0]), tuple(split[1])


LEVELS = {
    level.name: level
    for level in (
        Level("tiny", TINY, ("praise the movie",), (), tokens=4, scale=1.0, slip=0.6),
        Level(
            "easy",
            EASY,
            ("praise the movie", "pan the plot", "praise the jokes", "pan the actors"),
            ("pan the movie", "praise the actors"),
            tokens=5,
            scale=1.35,
            slip=0.55,
        ),
        Level("medium", _list_words("medium"), *_pair([*WISHES][:4], SUBJECTS[:6]), tokens=8, scale=2.5, slip=0.4),
        Level("hard", _list_words("hard"), *_pair([*WISHES], SUBJECTS), tokens=16, scale=4.0, slip=0.25),
        Level("chinese", characters.WORDS, *_pair([*characters.WISHES], characters.SUBJECTS, ""), 10, 1.5, 0.4, True),
    )
}


def make_prompts(level: Level) -> list[Prompt]:
    """The level's prompts; what they ask for stands in their metadata."""
    prompts = []
    for split, texts in (("train", level.train), ("test", level.test)):
        for text in texts:
            wish, subject = (text[0], text[1:]) if level.characters else text.split(" the ")
            plural = subject.endswith("s") or subject in characters.PEOPLE
            sentiment = {**WISHES, **characters.WISHES}[wish]
            metadata = {"wish": wish, "subject": subject, "sentiment": sentiment, "plural": plural}
            prompts.append(Prompt(text, metadata=metadata, split=split if level.test else None))
    return prompts


def writable_words(level: Level) -> tuple[str, ...]:
    """The words (or characters) that may be written, in id order."""
    words = read_words(level.words)
    return list_characters(words) if level.characters else tuple(word.text for word in words)


def make_tokenizer(level: Level) -> WordTokenizer | CharTokenizer:
    """The writable words (or characters), then those that only prompts use."""
    if level.characters:
        return CharTokenizer(dict.fromkeys([*writable_words(level), *"".join((*level.train, *level.test))]))
    prompt_words = [word for text in (*level.train, *level.test) for word in text.split()]
    return WordTokenizer(dict.fromkeys([*writable_words(level), *prompt_words]))


@cache
def make_grammar(level: Level) -> Grammar | CharacterGrammar:
    """The grammar over the level's vocabulary."""
    kind = CharacterGrammar if level.characters else Grammar
    return kind(read_words(level.words), make_tokenizer(level).vocab_size)


@dataclass(frozen=True)
class ReviewGold:
    """The true score of a review; the formula stands at the top of this page.

    Attributes:
        level: Whose words and costs count.
    """

    level: Level
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest possible score; longer texts than the level's are clipped to it."""
        tokens = self.level.tokens
        return (-1.0 - SILENCE - self.level.slip * (tokens + 1) - max(AGREEMENT, REPETITION) * tokens, 1.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores ``(B,)`` texts; prefixes are scored as if they ended here."""
        grammar, wishes, plural = self._tables(batch)
        found = grammar.analyse(batch.completion_ids, plural[batch.prompt_indices])
        verdict = wishes[batch.prompt_indices] * np.tanh(found.sentiment / self.level.scale)
        costs = self.level.slip * found.order_errors + AGREEMENT * found.agreement_errors
        costs += REPETITION * found.repetitions + SILENCE * found.silent
        return np.maximum(verdict - costs, self.range[0])

    def _tables(self, batch: EpisodeBatch) -> tuple[Grammar | CharacterGrammar, NDArray[np.float64], NDArray[np.bool_]]:
        cache = self._cache
        if cache.get("prompts") is not batch.prompts:
            cache["wishes"] = np.array(batch.prompts.column("sentiment"), dtype=float)
            cache["plural"] = np.array(batch.prompts.column("plural"), dtype=bool)
            cache.setdefault("grammar", make_grammar(self.level))
            cache["prompts"] = batch.prompts
        return cache["grammar"], cache["wishes"], cache["plural"]

    def __getstate__(self) -> dict[str, Any]:
        return {"level": self.level, "_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> ReviewGold:
        return self


def _findings(level: Level) -> Any:
    """What ``assets/build_reviews.py`` found by enumeration (tiny, easy) or search (medium, hard)."""
    return read_asset("reviews.json")[level.name]


def make_facts(level: Level) -> Facts:
    """Random, blind and best returns of each split."""
    facts = _findings(level)["facts"]
    return {split: {kind: Returns(**numbers) for kind, numbers in kinds.items()} for split, kinds in facts.items()}


def make_oracle(level: Level) -> Callable[[Prompt], str]:
    """Prompt -> the best text under gold."""
    best: dict[str, str] = _findings(level)["best"]["gold"]

    def answer(prompt: Prompt) -> str:
        if prompt.text not in best:
            raise TaskError(f"the oracle of the level {level.name!r} does not know the prompt {prompt.text!r}")
        return best[prompt.text]

    return answer


def make_demonstration(level: Level) -> Callable[[Prompt, np.random.Generator], str]:
    """(prompt, generator) -> a typical review: mixed sentiment, some slips."""
    grammar = make_grammar(level)

    def write(prompt: Prompt, rng: np.random.Generator) -> str:
        words = grammar.demonstrate(level.tokens, prompt.metadata["sentiment"], prompt.metadata["plural"], rng)
        return ("" if level.characters else " ").join(words)

    return write


def _make_reward(level: Level) -> Score:
    return shipped("reviews", level.name)


def _make_success(level: Level) -> Reached:
    return Reached(ReviewGold(level), SUCCESS)


def _make_constraints(level: Level) -> tuple[Lexicon, ...]:
    return (Lexicon(writable_words(level)),)


def _count_tokens(level: Level) -> int:
    return level.tokens


TASK = Task(
    name="Reviews",
    summary="Write the short review that the prompt wishes.",
    levels=LEVELS,
    level="easy",
    tags=("instruction", "sentiment", "grammar"),
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_reward=_make_reward,
    make_gold=ReviewGold,
    make_success=_make_success,
    make_constraints=_make_constraints,
    make_oracle=make_oracle,
    make_demonstration=make_demonstration,
    make_facts=make_facts,
    max_new_tokens=_count_tokens,
)
