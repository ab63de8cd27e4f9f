"""Builds the prefix tree of a task with the environments' own transition rules.

Every (prefix, legal id) is one row of a :class:`~textgym.core.GenerationCore`, stepped once: masks, ends,
illegal tokens and rewards are those of the environment because it is the same code.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.configuration import EnvConfig
from textgym.core import GenerationCore
from textgym.episodes import EpisodeBatch, Score
from textgym.errors import SolveError
from textgym.exact.limits import Limits
from textgym.exact.tree import Floats, Level, PrefixTree, chunks
from textgym.scoring import Scorer

Rows = NDArray[np.int64]

CHUNK = 1 << 16
"""Rows that are stepped at once: enough to be fast, few enough to be small."""

_SAMPLE = 512
"""Texts that are scored to learn how long scoring takes, and twice to see whether the reward is a function."""

_FEW = 16
"""Texts that are scored instead where one alone takes long: a judge would need minutes for the sample."""

_MOST_CELLS = 2**22  # of the masks (rows, V) of that sample: a large vocabulary is refused in no time

_COUNTABLE = 1e280  # as many as can be reckoned with: hundreds of tokens make more texts than a float can hold


@dataclass(frozen=True)
class Expected:
    """The mean of a stochastic reward, from its ``outcomes(batch) -> [(probability, (B,) rewards)]``."""

    reward: Any

    @property
    def range(self) -> tuple[float, float]:
        """That of the reward."""
        low, high = getattr(self.reward, "range", (-np.inf, np.inf))
        return (float(low), float(high))

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """``(B,)`` expected rewards."""
        outcomes = self.reward.outcomes(batch)
        chances = [float(probability) for probability, _ in outcomes]
        if abs(sum(chances) - 1.0) > 1e-9 or min(chances) < 0.0:
            raise SolveError(
                f"the outcomes of {self.reward!r} have the probabilities {chances}, which add up to {sum(chances):g}; "
                "expected numbers from 0 to 1 that add up to 1"
            )
        return sum((probability * np.asarray(rewards, dtype=float) for probability, rewards in outcomes), np.zeros(()))


class Expander:
    """Builds prefix trees of one environment configuration.

    Args:
        config: The environment.
        score: The reward or the true score of its task.
        groups: Rows of the prompt table; those of one group look alike, so their mean reward counts.
        limits: What it may take.
    """

    def __init__(self, config: EnvConfig, score: Score, groups: Sequence[Rows], limits: Limits) -> None:
        self.config, self.groups, self.limits = config, groups, limits
        self.prompts = np.concatenate(groups)
        self.score = as_function(score)
        self._cores: dict[int, GenerationCore] = {}
        fixed = self._core(1).fixed_mask.copy()
        fixed[config.task.tokenizer.eos_ids[0]] = True  # the way out where rules leave nothing else
        self.columns = np.flatnonzero(fixed)
        self._seconds_each = 0.0

    def _core(self, size: int) -> GenerationCore:
        if size not in self._cores:
            scorer, timing = self._scorer(), self.config.reward_timing
            self._cores[size] = GenerationCore(self.config.task, size, split="all", scorer=scorer, timing=timing)
        return self._cores[size]

    def _scorer(self) -> Scorer:
        config = self.config
        return Scorer(self.score, illegal_reward=config.illegal_reward, on_error=config.on_reward_error)

    @property
    def illegal_reward(self) -> float:
        """What an illegal text is worth."""
        return self._core(1).scorer.illegal_reward

    def expand(self) -> PrefixTree:
        """All prefixes and what each legal id pays there.

        Raises:
            TooLargeError: if that would take more than the limits.
            SolveError: for a reward that gives the same text different scores.
        """
        self._seconds_each = self._probe()
        self._estimate_all()
        levels: list[Level] = []
        tokens = np.zeros((1, 0), dtype=np.int32)
        previous = np.zeros((len(self.prompts), 1))
        while len(tokens):
            self._estimate(levels, len(tokens))
            level, longer, previous = self._step(tokens, previous)
            levels.append(level)
            tokens = longer
        return PrefixTree(self.columns, self.config.task.tokenizer.vocab_size, tuple(levels))

    def _step(self, tokens: NDArray[np.int32], previous: Floats) -> tuple[Level, NDArray[np.int32], Floats]:
        """One level: steps every legal id after every prefix, for every prompt."""
        legal = self._legal(tokens)
        nodes, columns = np.nonzero(legal)
        ended = np.empty(len(nodes), dtype=bool)
        paid = np.empty((len(self.prompts), len(nodes)))
        reached = np.zeros((len(self.prompts), len(nodes)))
        for chunk in chunks(len(nodes), CHUNK):
            core = self._core(len(nodes[chunk]))
            for number, prompt in enumerate(self.prompts.tolist()):
                rows = np.full(core.size, prompt)
                core.place(rows, tokens[nodes[chunk]], previous[number, nodes[chunk]])
                paid[number, chunk], _ = core.step(self.columns[columns[chunk]])
                ended[chunk] = core.over
                reached[number, chunk] = core.previous
        child = np.full(legal.shape, -1, dtype=np.int64)
        child[nodes[~ended], columns[~ended]] = np.arange((~ended).sum())
        longer = np.column_stack([tokens[nodes[~ended]], self.columns[columns[~ended]]]).astype(np.int32)
        illegal = self.illegal_reward - self._by_group(previous)
        rewards = np.repeat(illegal[:, :, None], legal.shape[1], axis=2)
        rewards[:, legal] = self._by_group(paid)
        return Level(tokens, legal, child, rewards, illegal), longer, reached[:, ~ended]

    def _by_group(self, numbers: Floats) -> Floats:
        """``(prompts, ...) -> (G, ...)``: the mean over each group's prompts."""
        starts = np.cumsum([0, *map(len, self.groups)])[:-1]
        sizes = np.array([len(group) for group in self.groups], dtype=float)
        return np.add.reduceat(numbers, starts, axis=0) / sizes[:, None]

    def _legal(self, tokens: NDArray[np.int32]) -> NDArray[np.bool_]:
        """``(N, K)`` which columns may come next."""
        if not self._core(1).rules:
            return np.repeat(self._core(1).masks()[:, self.columns], len(tokens), axis=0)
        legal = np.empty((len(tokens), len(self.columns)), dtype=bool)
        for chunk in chunks(len(tokens), CHUNK // 8):  # masks are as wide as the vocabulary
            core = self._core(len(tokens[chunk]))
            core.place(np.full(core.size, self.prompts[0]), tokens[chunk], np.zeros(core.size))
            legal[chunk] = core.masks()[:, self.columns]
        return legal

    def _probe(self) -> float:
        """Seconds to step and score one text; finds rewards that are no function of the text on the way."""
        self._play(1)  # what loads when it is first used is no matter of how many texts there are
        size = max(_FEW, min(_SAMPLE, _MOST_CELLS // self.config.task.tokenizer.vocab_size))
        alone, *_ = self._play(1)
        slow = alone * size > self.limits.seconds / 10
        seconds, batch, scores = self._play(_FEW if slow else size)
        self._compare(batch, scores)
        return seconds / len(batch)

    def _play(self, size: int) -> tuple[float, EpisodeBatch, Floats]:
        """Writes random texts, as long as they may be, and times the step that ends them: ``(B,)`` texts and scores."""
        core, rng = self._core(size), np.random.default_rng(0)
        ends = list(self.config.task.tokenizer.eos_ids)
        core.place(np.resize(self.prompts, size), np.zeros((size, 0), dtype=np.int32), np.zeros(size))
        for _ in range(self.config.task.budget):
            masks = core.masks()
            going = masks.copy()
            going[:, ends] = False
            masks[going.any(axis=1)] = going[going.any(axis=1)]  # the longest texts cost most
            actions = (rng.random(masks.shape) * masks).argmax(axis=1)
            begin = time.perf_counter()
            _, ending = core.step(actions)
            seconds = time.perf_counter() - begin
            if ending is not None and core.over.all():
                return seconds, ending.episodes, ending.scores.values
            rows = np.resize(np.flatnonzero(~core.over), size)  # texts that go on take the place of those that ended
            written = core.tokens[rows, core.prompt_width : core.prompt_width + int(core.lengths[rows[0]])]
            core.place(core.prompt_indices[rows], written, core.previous[rows])
        raise AssertionError("a text that did not end within its budget")

    def _compare(self, batch: EpisodeBatch, first: Floats) -> None:
        """Scores the same texts in another order, with other keys: a function gives the same scores."""
        order = np.random.default_rng(1).permutation(len(batch))
        again = batch.take(order)
        again.keys = again.keys + np.uint64(12345)
        second = np.empty(len(batch))
        second[order] = self._scorer()(again).values
        differ = np.flatnonzero(~np.isclose(first, second, rtol=1e-6, atol=1e-6))
        if differ.size:
            row = int(differ[0])
            raise SolveError(
                f"the reward {self.score!r} gave the text {batch.completions[row]!r} {first[row]:g}, and "
                f"{second[row]:g} when it was asked again; a score must depend on prompt and text alone. If that is "
                "meant, let it declare stochastic = True and offer outcomes(batch)"
            )

    def _estimate_all(self) -> None:
        """Refuses at once what a formula shows to be too large: without rules, each level is K times the last."""
        core, task = self._core(1), self.config.task
        if core.rules or task.stop is not None:
            return
        ends = int(np.isin(np.flatnonzero(core.fixed_mask), task.tokenizer.eos_ids).sum())
        words = int(core.fixed_mask.sum()) - ends
        with np.errstate(over="ignore"):
            nodes = min(float(np.power(float(words), np.arange(task.budget)).sum()), _COUNTABLE)
        self._check(nodes * (words + ends), nodes, least=False)

    def _estimate(self, levels: Sequence[Level], count: int) -> None:
        """Refuses what has grown too large on the way: where rules decide, no formula knows beforehand."""
        nodes = float(sum(map(len, levels)) + count)
        self._check(nodes * len(self.columns), nodes, least=True)

    def _check(self, pairs: float, nodes: float, *, least: bool) -> None:
        bytes_each = 17.0 * len(self.groups) + 8.0 * len(self.prompts) + 9.0
        self.limits.check(
            f"{self.config.task!r} with {len(self.prompts)} prompt(s) is too large to solve by trying all texts",
            work=f"{(pairs - nodes + 1) * len(self.prompts):,.3g} texts",
            seconds=pairs * len(self.prompts) * self._seconds_each,
            gigabytes=(pairs * bytes_each + nodes * 4 * self.config.task.budget) / 1e9,
            least=least,
        )


def as_function(score: Score) -> Score:
    """The score, or the mean of one that is stochastic.

    Raises:
        SolveError: for a stochastic score whose outcomes are not known.
    """
    if not getattr(score, "stochastic", False):
        return score
    if not hasattr(score, "outcomes"):
        raise SolveError(
            f"the reward {score!r} is stochastic and its outcomes are not known; let it offer outcomes(batch) -> "
            "[(probability, rewards (B,))], or solve for another reward"
        )
    return Expected(score)


def core_at(
    config: EnvConfig, prompt: int, tokens: NDArray[np.int32], *, scorer: Scorer | None = None
) -> GenerationCore:
    """A core whose rows stand at these prefixes ``(N, t)`` of a prompt, for looking at observations and masks."""
    core = GenerationCore(config.task, len(tokens), split="all", scorer=scorer or config.scorer())
    core.place(np.full(len(tokens), prompt), tokens, np.zeros(len(tokens)))
    return core
