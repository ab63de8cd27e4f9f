"""Small tasks and rewards for tests: they have what the suite's own tasks lack, and they pickle."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.constraints import Lexicon, MinLength, NoRepeat
from textgym.episodes import EpisodeBatch, Prompt, Score
from textgym.keys import uniform
from textgym.partners import pad_replies
from textgym.prompts import PromptTable
from textgym.rewards import WeightedSum
from textgym.scoring import add_in_order
from textgym.task import Returns, Task
from textgym.tokenizers import ByteTokenizer, CharTokenizer, Tokenizer, WordTokenizer

LETTERS = ("a", "b", "c", "d", "e")
PROMPT_WORDS = ("praise", "pan", "the", "movie", "plot")
WORDS = WordTokenizer([*LETTERS, *PROMPT_WORDS])
A, B, C, D, E = range(5)
EOS = WORDS.eos_ids[0]
PROMPTS = (
    Prompt("praise the movie", metadata={"sign": 1.0}, split="train"),
    Prompt("pan  the plot ", metadata={"sign": -1.0}, split="train"),
    Prompt("praise", metadata={"sign": 1.0}, split="train"),
    Prompt("pan the movie", metadata={"sign": -1.0}, split="test"),
    Prompt("praise the plot", metadata={"sign": 1.0}, split="test"),
)
BUDGET = 5


# ---- rewards ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weighted:
    """Adds ``0.1 * (id + 1)`` over the text, times a factor of the prompt: rounding shows every change of order."""

    range = (-7.0, 1e9)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        ids = np.ascontiguousarray(batch.completion_ids.T)
        factor = 1.0 + 0.3 * batch.prompt_indices
        return add_in_order(np.where(ids < batch.tokenizer.vocab_size, 0.1 * (ids + 1), 0.0)) * factor


@dataclass(frozen=True)
class FastWeighted(Weighted):
    """The same with the fast path of the single environment."""

    def score_one(self, prompts: PromptTable, prompt_index: int, ids: list[int]) -> float:
        total = 0.0
        for index in ids:
            total += 0.1 * (index + 1)
        return total * (1.0 + 0.3 * prompt_index)


@dataclass(frozen=True)
class Shortness:
    """Minus 0.7 for each token."""

    range = (-70.0, 0.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        return -0.7 * batch.lengths


@dataclass(frozen=True)
class Noisy:
    """A stochastic reward: a number that hangs on the episode's key alone."""

    range = (0.0, 1.0)
    stochastic = True

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        return uniform(batch.keys, "noise")


class Fault(Exception):
    """What a broken reward raises."""


@dataclass(frozen=True)
class Faulty:
    """Fails on texts with a "d", in one of several ways; ``batches`` fails on every batch of two or more."""

    how: str
    range = (-7.0, 9.0)

    def __call__(self, batch: EpisodeBatch) -> Any:
        bad = (batch.completion_ids == D).any(axis=1)
        values = np.where(bad, np.nan, batch.lengths * 1.0) if self.how == "nan" else batch.lengths * 1.0
        if self.how == "inf" and bad.any():
            return np.where(bad, np.inf, values)
        if self.how == "raise" and bad.any():
            raise Fault("no letter d, please")
        if self.how == "short" and bad.any():
            return values[:-1]
        if self.how == "text" and bad.any():
            return ["good"] * len(batch)
        if self.how == "batches" and len(batch) > 1:
            raise Fault("one at a time")
        return values


@dataclass(frozen=True)
class Recorder:
    """Keeps what it was asked: ``(stop reasons, completions)`` of every call."""

    calls: list[tuple[list[str | None], list[str]]] = field(default_factory=list)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        self.calls.append((batch.stop_reasons, batch.completions))
        return batch.lengths * 1.0


@dataclass(frozen=True)
class Gold:
    """The number of a's, with the prompt's sign."""

    range = (-5.0, 5.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        return (batch.completion_ids == A).sum(axis=1) * np.array(batch.metadata("sign"))


@dataclass(frozen=True)
class Success:
    """Whether gold is positive."""

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        return (Gold()(batch) > 0).astype(np.float64)


# ---- tokenizers and rules -----------------------------------------------------------------------------------------


class TwoEnds:
    """A tokenizer as a user may write it: two end ids, a pad among its own ids, and no mercy for foreign ids."""

    vocab_size = 8
    tokens = (*LETTERS, "<pad>", "<end>", "<stop>")
    eos_ids = (7, 6)
    special_ids = frozenset({5})
    unk_id = None

    def encode(self, text: str) -> list[int]:
        return [self.tokens.index(letter) for letter in text]

    def decode(self, ids: Iterable[int]) -> str:
        names = dict(enumerate(self.tokens))
        return "".join(names[int(index)] for index in ids if int(index) not in (5, 6, 7))


@dataclass(frozen=True)
class Ids:
    """A constraint as a plain set of ids, which may leave nothing at all."""

    ids: frozenset[int]
    static: bool = True

    def __call__(self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> Any:
        mask = np.zeros((len(completions), tokenizer.vocab_size), dtype=bool)
        mask[:, sorted(self.ids)] = True
        return mask


def stop_at_c(completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The toy's own end of a text: a "c", wherever it stands."""
    return (completions == C).any(axis=1)


# ---- partners -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parrot:
    """Repeats the agent's last letters, none to two of them by chance; says "c" where the agent said nothing."""

    max_reply_tokens: int = 2

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
        replies = []
        counts = (3 * uniform(batch.keys, "parrot", batch.lengths)).astype(int)
        for row, count in enumerate(counts.tolist()):
            said = [index for index in batch.turns(row)[-1][1] if index < len(LETTERS)]
            replies.append(said[len(said) - min(count, len(said)) :] if said else [C])
        return pad_replies(replies, batch.tokenizer.vocab_size)


# ---- tasks --------------------------------------------------------------------------------------------------------


def _always(value: Any, settings: Any) -> Any:
    return value


def constant(value: Any) -> Callable[[Any], Any]:
    """A ``make_*`` function that gives the same thing at every level."""
    return partial(_always, value)


FACTS = {
    "train": {"reward": Returns(random=1.0, blind=2.0, best=5.0), "gold": Returns(random=0.0, blind=1.0, best=2.0)},
    "test": {"reward": Returns(random=2.0, blind=2.0, best=4.0)},
}
PLAIN = Task(
    name="Toy",
    summary="Write letters.",
    levels={"one": 1, "two": 2},
    level="one",
    make_prompts=constant(PROMPTS),
    make_tokenizer=constant(WORDS),
    make_reward=constant(FastWeighted()),
    make_gold=constant(Gold()),
    make_success=constant(Success()),
    make_constraints=constant((Lexicon(LETTERS),)),
    make_facts=constant(FACTS),
    max_new_tokens=constant(BUDGET),
)


def toy(
    *,
    reward: Score | None = None,
    prompts: Iterable[str | Prompt] | None = None,
    tokenizer: Tokenizer | None = None,
    constraints: tuple[Any, ...] | None = None,
    stop: Any = None,
    budget: int | None = None,
) -> Task:
    """The plain toy with some parts changed."""
    changes: dict[str, Any] = {}
    if reward is not None:
        changes["make_reward"] = constant(reward)
    if prompts is not None:
        as_prompts = tuple(prompt if isinstance(prompt, Prompt) else Prompt(prompt) for prompt in prompts)
        changes |= {"make_prompts": constant(as_prompts), "make_gold": None, "make_success": None, "make_facts": None}
    if tokenizer is not None:
        changes["make_tokenizer"] = constant(tokenizer)
    if constraints is not None:
        changes["make_constraints"] = constant(constraints)
    if stop is not None:
        changes["make_stop"] = constant(stop)
    if budget is not None:
        changes["max_new_tokens"] = constant(budget)
    return replace(PLAIN, **changes)


MANY = WordTokenizer([f"w{number}" for number in range(1500)])
COMBINED = WeightedSum({"letters": (0.5, Weighted()), "shortness": (-0.25, Shortness())})
TALKING = replace(
    PLAIN,
    make_partner=constant(Parrot()),
    max_turns=constant(3),
    max_new_tokens=constant(3),
    make_gold=None,
    make_success=None,
    make_facts=None,
)
TOYS = {
    "plain": PLAIN,
    "slow": toy(reward=Weighted()),
    "combined": toy(reward=COMBINED),
    "noisy": toy(reward=Noisy()),
    "ruled": toy(constraints=(Lexicon(LETTERS), MinLength(2), NoRepeat())),
    "stopping": toy(stop=stop_at_c),
    "ruled and stopping": toy(reward=COMBINED, constraints=(MinLength(3), NoRepeat()), stop=stop_at_c),
    "two ends": toy(prompts=["abc", "e", ""], tokenizer=TwoEnds(), constraints=()),
    "bytes": toy(prompts=["naïve", "好"], tokenizer=ByteTokenizer(), constraints=(), reward=Weighted()),
    "chinese": toy(prompts=["夸电影", "贬"], tokenizer=CharTokenizer("夸贬电影好看很不，。"), constraints=()),
    "many": toy(prompts=["w1 w2"], tokenizer=MANY, constraints=()),
    "many, ruled": toy(prompts=["w1 w2"], tokenizer=MANY, constraints=(NoRepeat(),)),
    "one token": toy(budget=1),
    "talking": TALKING,
    "talking, ruled and stopping": replace(
        TALKING, make_constraints=constant((Lexicon(LETTERS), MinLength(2))), make_stop=constant(stop_at_c)
    ),
}
