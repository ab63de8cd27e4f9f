"""Faulty rewards, rules on the next token, and tasks, each with one fault and the rule that must catch it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from toys import LETTERS, PLAIN, PROMPTS, WORDS, A, B, Gold, Weighted, constant

from textgym.constraints import Lexicon
from textgym.episodes import EpisodeBatch, Prompt
from textgym.prompts import PromptTable
from textgym.task import Returns, Task
from textgym.tokenizers import Tokenizer

Scores = NDArray[np.float64]
HONEST = replace(PLAIN, make_facts=None)
"""The task that the faults are planted into."""


@dataclass(frozen=True)
class Planted:
    """One fault.

    Attributes:
        fault: What is wrong, in words.
        rule: The rule that must catch it, and no other one.
        what: An id or a task.
        full: Whether only the full form can catch it.
    """

    fault: str
    rule: str
    what: str | Task
    full: bool = False


# ---- rewards ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GlobalNoise:
    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> Scores:
        return np.random.random(len(batch))  # noqa: NPY002 - the fault


@dataclass(frozen=True)
class OwnNoise:
    rng: np.random.Generator = field(default_factory=np.random.default_rng, compare=False)
    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> Scores:
        return self.rng.random(len(batch))


@dataclass(frozen=True)
class Clock:
    def __call__(self, batch: EpisodeBatch) -> Scores:
        return batch.lengths + time.perf_counter()


@dataclass(frozen=True)
class AgainstTheMean:
    def __call__(self, batch: EpisodeBatch) -> Scores:
        return batch.lengths - batch.lengths.mean()


@dataclass(frozen=True)
class ForgetfulCache:
    """Remembers scores by the completion alone, though they depend on the prompt."""

    seen: dict[str, float] = field(default_factory=dict, compare=False)

    def __call__(self, batch: EpisodeBatch) -> Scores:
        signs = batch.metadata("sign")
        texts = zip(batch.completions, signs, strict=True)
        return np.array([self.seen.setdefault(text, sign * len(text)) for text, sign in texts])

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        object.__setattr__(self, "seen", {})


@dataclass(frozen=True)
class OtherFastPath(Weighted):
    def score_one(self, prompts: PromptTable, prompt_index: int, ids: list[int]) -> float:
        return 0.1 * sum(ids)


@dataclass(frozen=True)
class NarrowRange:
    range = (0.0, 3.0)

    def __call__(self, batch: EpisodeBatch) -> Scores:
        return batch.lengths * 1.0


@dataclass(frozen=True)
class NanForEmpty:
    def __call__(self, batch: EpisodeBatch) -> Scores:
        lengths = np.array([len(text) for text in batch.completions], dtype=float)
        return np.where(lengths > 0, lengths, np.nan)


@dataclass(frozen=True)
class FailsOnEmpty:
    def __call__(self, batch: EpisodeBatch) -> Scores:
        return np.array([1.0 / len(text.split()) for text in batch.completions])


@dataclass(frozen=True)
class HashOrder:
    """Pays for the word that a set of words happens to begin with."""

    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> Scores:
        return np.array([float(next(iter({*text.split(), "z"})) == "z") for text in batch.completions])


@dataclass(frozen=True)
class PaysForNews:
    """Pays for every text that it has not seen before."""

    range = (0.0, 1.0)
    seen: set[str] = field(default_factory=set, compare=False)

    def __call__(self, batch: EpisodeBatch) -> Scores:
        new = [text not in self.seen for text in batch.completions]
        self.seen.update(batch.completions)
        return np.array(new, dtype=np.float64)


@dataclass(frozen=True)
class SeedingGold(Gold):
    """Seeds NumPy's generator, so that its noise at least repeats."""

    def __call__(self, batch: EpisodeBatch) -> Scores:
        np.random.seed(0)  # noqa: NPY002 - the fault
        return super().__call__(batch)


# ---- rules on the next token --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LooksAround:
    """Forbids "a" in texts that are shorter than the longest of the batch."""

    static: ClassVar[bool] = False

    def __call__(self, tokenizer: Tokenizer, completions: Any, lengths: Any) -> NDArray[np.bool_]:
        mask = Lexicon(LETTERS)(tokenizer, completions, lengths)
        mask[lengths < lengths.max(initial=0), A] = False
        return mask


@dataclass(frozen=True)
class SaysStatic:
    """Forbids "b" after a "b", and says that its mask never changes."""

    static: ClassVar[bool] = True

    def __call__(self, tokenizer: Tokenizer, completions: Any, lengths: Any) -> NDArray[np.bool_]:
        mask = Lexicon(LETTERS)(tokenizer, completions, lengths)
        mask[(completions == B).any(axis=1), B] = False
        return mask


def stop_that_writes(completions: Any, lengths: Any) -> NDArray[np.bool_]:
    """Counts pads as "a", in the arrays of the environment itself."""
    completions[completions == WORDS.vocab_size] = A
    return np.zeros(len(completions), dtype=bool)


# ---- tasks --------------------------------------------------------------------------------------------------------

GOLD_FACTS = {
    "train": {"gold": Returns(random=(1 - (5 / 6) ** 5) / 3, blind=5 / 3, best=10 / 3)},
    "test": {"gold": Returns(random=0.0, blind=0.0, best=2.5)},
}
"""What can be earned under the toys' gold: the number of a's, with the prompt's sign."""


def best_answer(prompt: Prompt) -> str:
    return "a a a a a" if prompt.metadata["sign"] > 0 else ""


def forbidden_answer(prompt: Prompt) -> str:
    return "praise"


def answer_without_end(prompt: Prompt) -> str:
    return " ".join(["a"] * 8) if prompt.metadata["sign"] > 0 else ""


def shuffled_prompts(settings: Any) -> tuple[Prompt, ...]:
    shuffler = sys.modules["random"]
    shuffler.seed(0)
    return tuple(shuffler.sample(PROMPTS, len(PROMPTS)))


def second_best_answer(prompt: Prompt) -> str:
    return "a a"


def with_facts(**train: float) -> Task:
    facts = GOLD_FACTS | {"train": {"gold": replace(GOLD_FACTS["train"]["gold"], **train)}}
    return replace(HONEST, make_facts=constant(facts))


def with_oracle(oracle: Any) -> Task:
    return replace(HONEST, make_oracle=constant(oracle))


ANSWERED = replace(with_facts(), make_oracle=constant(best_answer))
"""The honest task with an oracle and facts, all of them right."""


# ---- all of them --------------------------------------------------------------------------------------------------


def rewards() -> Iterator[Planted]:
    def paid(fault: str, rule: str, reward: Any, *, full: bool = False) -> Planted:
        return Planted(fault, rule, replace(HONEST, make_reward=constant(reward)), full)

    yield paid("the reward draws from np.random", "global_generators", GlobalNoise())
    yield paid("the reward draws from a generator of its own", "reward_repeats", OwnNoise())
    yield paid("the reward reads the clock", "reward_repeats", Clock())
    yield paid("the reward pays for texts that it has not seen before", "reward_repeats", PaysForNews())
    yield paid("the reward depends on the batch around the text", "reward_alone", AgainstTheMean())
    yield paid("the reward's cache forgets the prompt", "reward_alone", ForgetfulCache())
    yield paid("the reward's fast path computes something else", "reward_alone", OtherFastPath())
    yield paid("the reward leaves its declared range", "reward_in_range", NarrowRange())
    yield paid("the reward of an empty text is NaN", "reward_finite", NanForEmpty())
    yield paid("the reward raises for an empty text", "reward_finite", FailsOnEmpty())
    yield paid("the reward depends on the order of a set", "processes", HashOrder(), full=True)


def tasks() -> Iterator[Planted]:
    around, static = (replace(HONEST, make_constraints=constant((rule(),))) for rule in (LooksAround, SaysStatic))
    yield Planted("a constraint looks at the other texts of the batch", "constraints", around)
    yield Planted("a constraint says static and is not", "constraints", static)
    yield Planted(
        "the stop rule writes into the ids", "constraints", replace(HONEST, make_stop=constant(stop_that_writes))
    )
    seeding = "global_generators"
    yield Planted("gold seeds np.random", seeding, replace(HONEST, make_gold=constant(SeedingGold())))
    yield Planted("the prompts are shuffled by random", seeding, replace(HONEST, make_prompts=shuffled_prompts))
    yield Planted("the oracle's text is too long", "oracle_legal", with_oracle(answer_without_end))
    yield Planted("the oracle writes a forbidden token", "oracle_legal", with_oracle(forbidden_answer))
    yield Planted("the oracle's text is not the best", "oracle_best", with_oracle(second_best_answer))
    generous = replace(with_facts(best=4.0), make_oracle=constant(best_answer))
    yield Planted("the stated best return cannot be earned", "oracle_best", generous)
    yield Planted("the stated random return is wrong", "random_return", with_facts(random=0.5))
    yield Planted("the stated best return lies below the blind one", "facts", with_facts(best=1.0))
    task = replace(HONEST, make_reward=lambda settings: Weighted())
    yield Planted("the task cannot be pickled", "pickles", task)
