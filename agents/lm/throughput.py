"""How many tokens a second a language model writes in an environment, against ``generate`` of ``transformers``.

Random models of two sizes write texts of words that mean nothing, for a reward that costs nothing, with one thread.
A bias on the logits, which is a part of the model and so the same for everybody, decides when texts end: never before
the budget, or at each token with a chance of 1 in 20. Everything is measured in turn, round after round, and quotients
are taken within a round, so that a machine that slows down slows down both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import log
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textgym.agents.lm.model import LegalTokens, LMPolicy
from textgym.agents.lm.rollout import Rollout, collect
from textgym.agents.lm.sampling import draw
from textgym.episodes import EpisodeBatch
from textgym.tokenizers import WordTokenizer
from textgym.vector_env import TextGenerationVectorEnv

PROMPT = 8
"""Words of every prompt."""

HAZARD = 1 / 20
"""Chance that a word is the last one, where texts are of uneven length."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """A model in the shape of GPT-2, and how long it is measured.

    Attributes:
        name: For the table.
        layers: Blocks.
        width: Of the hidden states.
        heads: Of the attention.
        vocab_size: V of the environment; the model has one id more, which begins every text.
        rows: Texts that are written at a time.
        even: Words of each text where all are equally long.
        longest: The budget where texts are of uneven length.
        batches: How often ``rows`` texts are asked for there.
        repeats: Texts of even length are measured so often in a round.
        timed: Of the words of a naive loop, one in so many is timed.
        most_share: The most of a rollout's time that the environment and the book-keeping should take.
    """

    name: str
    layers: int
    width: int
    heads: int
    vocab_size: int
    rows: int = 32
    even: int = 64
    longest: int = 128
    batches: int = 16
    repeats: int = 4
    timed: int = 4
    most_share: float = 0.1


SMALL = Size(name="4 layers x 128, V=512", layers=4, width=128, heads=4, vocab_size=512)
GPT2 = Size(  # with the begin token GPT-2's own 50,257 ids
    name="124M, V=50,256",
    layers=12,
    width=768,
    heads=12,
    vocab_size=50_256,
    batches=4,
    repeats=1,
    timed=16,
    most_share=0.02,
)


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        model: Name of the size.
        what: Our way of writing, or what is looked at.
        against: What it is compared with.
        values: ``(R,)`` quotients round by round.
        bar: What the median should reach, or stay below for a share.
        rate: Median words a second of our way; 0 for a share.
    """

    model: str
    what: str
    against: str
    values: NDArray[np.float64]
    bar: float
    rate: float = 0.0

    def __str__(self) -> str:
        median, low, high = np.median(self.values), self.values.min(), self.values.max()
        if not self.rate:
            shown = f"{median:.1%} | {low:.1%} to {high:.1%} | < {self.bar:.0%} |"
        else:
            shown = f"{median:.2f} | {low:.2f} to {high:.2f} | >= {self.bar:g} | {self.rate:,.0f}"
        return f"| {self.model} | {self.what} | {self.against} | {shown} |"


def no_reward(batch: EpisodeBatch) -> NDArray[np.float64]:
    """Zeros: what is measured is writing."""
    return np.zeros(len(batch))


class Bench:
    """A random model, its environment, and the ways to write in it.

    Args:
        size: Of the model.
        budget: The most words of a text.
        hazard: Chance that a word is the last one; 0 lets every text use its budget.
    """

    def __init__(self, size: Size, *, budget: int, hazard: float = 0.0) -> None:
        self.size, self.budget = size, budget
        words = WordTokenizer([f"w{index}" for index in range(size.vocab_size - 2)])
        self.pad = words.unk_id
        ids = np.random.default_rng(0).integers(size.vocab_size - 2, size=(size.rows, PROMPT))
        self.envs = TextGenerationVectorEnv(
            num_envs=size.rows,
            autoreset_mode="Disabled",
            observation="tokens",
            prompts=[words.decode(row) for row in ids],
            tokenizer=words,
            reward=no_reward,
            max_new_tokens=budget,
        )
        self.prompts = torch.from_numpy(np.insert(self.envs.task.prompts.ids, 0, size.vocab_size, axis=1)).long()
        self.lm = _random_model(size, PROMPT + 1 + budget, LegalTokens.of(self.envs.task).fixed, words, hazard)
        self.policy = LMPolicy(self.lm, LegalTokens.of(self.envs.task), begin_id=size.vocab_size).eval()
        self.generator = torch.Generator().manual_seed(0)

    def rollout(self, batches: int = 1, *, lean: bool | None = None) -> Rollout:
        """What the agents do: ``batches`` texts to each prompt, recorded."""
        indices = np.tile(np.arange(self.size.rows), batches)
        return collect(self.policy, self.envs, indices, generator=self.generator, lean=lean)

    def generate(self, batches: int = 1) -> int:
        """As many texts by ``generate``, batch after batch; returns their words, each one's end included."""
        begin, written = self.prompts.shape[1], 0
        with torch.inference_mode():
            for _ in range(batches):
                texts = self.lm.generate(
                    self.prompts,
                    attention_mask=torch.ones_like(self.prompts),
                    do_sample=True,
                    top_k=0,
                    max_new_tokens=self.budget,
                    pad_token_id=self.pad,  # an id that is never written; here, since a model's own makes it warn
                )
                written += int((texts[:, begin:] != self.pad).sum())
        return written

    def naive_rate(self) -> float:
        """Words a second of a loop that reads the whole texts anew for every word.

        Its time grows evenly with the texts, so one word in ``size.timed`` is enough.
        """
        rows, every = self.size.rows, self.size.timed
        tokens, _ = self.envs.reset(seed=0)
        seconds = 0.0
        with torch.inference_mode():
            for place in range(self.budget):
                begin, actions = process_time(), np.zeros(rows, dtype=np.int64)
                timed = place % every == every // 2
                if timed:
                    uniforms = torch.rand(rows, generator=self.generator)
                    actions = draw(self.policy.next_log_probs(tokens), uniforms).numpy()
                tokens = self.envs.step(actions)[0]
                seconds += timed * (process_time() - begin)
        return rows * len(range(every // 2, self.budget, every)) / seconds


def _random_model(size: Size, window: int, legal: NDArray[np.bool_], words: WordTokenizer, hazard: float) -> Any:
    """A GPT-2 with random weights that writes only legal words, and ends with a chance of ``hazard``."""
    from transformers import GPT2Config, GPT2LMHeadModel

    v, ends = size.vocab_size, list(words.eos_ids)
    config = GPT2Config(
        vocab_size=v + 1,
        n_positions=window,
        n_embd=size.width,
        n_layer=size.layers,
        n_head=size.heads,
        bos_token_id=v,
        eos_token_id=ends,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        lm: Any = GPT2LMHeadModel(config).eval()  # type: ignore[no-untyped-call]  # transformers is typed in parts
    lm.lm_head.bias = torch.nn.Parameter(torch.zeros(v + 1))
    with torch.no_grad():
        lm.lm_head.bias[:v][torch.from_numpy(~legal)] = -1e9
        lm.lm_head.bias[v] = -1e9
        odds = log(hazard / (1 - hazard) * (legal.sum() - len(ends))) if hazard else -1e9
        lm.lm_head.bias[ends] = odds
    return lm


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread of torch, and afterwards as many as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _rate(write: Callable[[], int]) -> float:
    """Words a second of the processor, so that what else runs on the machine counts as little as can be."""
    begin = process_time()
    return write() / (process_time() - begin)


def _in_turn(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, NDArray[np.float64]]:
    """Name -> ``(rounds,)`` rates, measured in turn."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            rates[name].append(way())
    return {name: np.array(values) for name, values in rates.items()}


def _lines(
    size: Size, what: str, rates: Mapping[str, NDArray[np.float64]], bars: Mapping[tuple[str, str], float]
) -> Iterator[Line]:
    """The quotients that have bars."""
    for (ours, theirs), bar in bars.items():
        quotients = rates[ours] / rates[theirs]
        yield Line(size.name, f"{what}: {ours}", theirs, quotients, bar, float(np.median(rates[ours])))


def measure(size: Size, *, rounds: int) -> Iterator[Line]:
    """Measures one model: texts of even length, of uneven length, and what the environment takes.

    Args:
        size: The model.
        rounds: How often each way is measured; the naive loop once.
    """
    even = Bench(size, budget=size.even)
    shares: list[float] = []

    def rollout() -> int:
        written = even.rollout()
        shares.append(written.environment_seconds / written.seconds)
        return written.steps

    ways = {"rollout": partial(_rate, rollout), "generate": partial(_rate, even.generate)}
    rates = _in_turn(ways, rounds * size.repeats) | {"naive loop": np.array([even.naive_rate()])}
    yield from _lines(size, "even", rates, {("rollout", "generate"): 1.3, ("rollout", "naive loop"): 5})
    yield Line(size.name, "environment and book-keeping", "rollout", np.array(shares), size.most_share)
    uneven = Bench(size, budget=size.longest, hazard=HAZARD)
    ways = {
        "rollout": partial(_rate, lambda: uneven.rollout(size.batches).steps),
        "rollout, cache of transformers": partial(_rate, lambda: uneven.rollout(size.batches, lean=False).steps),
        "generate": partial(_rate, lambda: uneven.generate(size.batches)),
    }
    bars = {(name, "generate"): 2.5 for name in ways if name != "generate"}
    yield from _lines(size, "uneven", _in_turn(ways, rounds), bars)


def report(sizes: Sequence[Size] = (SMALL, GPT2), *, rounds: int = 3) -> Iterator[str]:
    """The lines of a Markdown table, as they are measured."""
    yield "| model | texts and way of writing | against | median | lowest to highest | bar | tokens a second |"
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: |"
    for size in sizes:
        with _one_thread():
            lines = list(measure(size, rounds=rounds))
        yield from map(str, lines)
