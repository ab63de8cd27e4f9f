"""Population: the texts that the reference writes to each prompt, and how likely each of them is.

Where the task is small enough these are all texts with their exact probabilities; elsewhere they are a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.configuration import EnvConfig
from textgym.env import TextGenerationEnv
from textgym.episodes import EOS, LENGTH, STOP, EpisodeBatch, Score
from textgym.errors import ConfigurationError, SolveError, TooLargeError
from textgym.exact import TreeSolution, solve
from textgym.exact.expansion import as_function
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.overoptimisation.references import UniformReference, find_reference, sample
from textgym.scoring import Scorer

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
ByGroup = tuple[Floats, ...]
"""One array a group of prompts, with an entry for each of its texts."""

CHUNK = 1 << 17
"""Texts that are scored at once."""

MOST_TEXTS = 6_000_000
"""More texts, all prompts together, are sampled and not enumerated: every reward model is asked about each."""

MOST_PROMPTS = 8
"""Prompts of which texts are sampled."""


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts as arrays.

    Attributes:
        ids: ``(L, T)`` completions, padded with V.
        lengths: ``(L,)`` tokens of each.
        codes: ``(L,)`` why each ended.
        is_agent: ``(L, T)`` in conversations, who wrote what.
    """

    ids: NDArray[np.int32]
    lengths: Rows
    codes: NDArray[np.uint8]
    is_agent: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Population:
    """What the reference writes.

    Attributes:
        config: The environment.
        groups: Rows of the prompt table; those of one group look alike.
        weights: ``(G,)`` the share of each group.
        texts: The texts of each group.
        base: ``(L,)`` for each group, the probability of each text under the reference.
        exact: Whether these are all texts; else each is one draw.
        solution: The tree of all texts, where ``exact``.
        why_sampled: The reason where they are not all.
    """

    config: EnvConfig
    groups: tuple[Rows, ...]
    weights: Floats
    texts: tuple[Texts, ...] = field(repr=False)
    base: ByGroup = field(repr=False)
    exact: bool
    solution: TreeSolution | None = field(default=None, repr=False)
    why_sampled: str = ""

    def batch(self, groups: Rows, rows: Rows, indices: Rows) -> EpisodeBatch:
        """Texts as rewards see them.

        Args:
            groups: ``(N,)`` the group of each.
            rows: ``(N,)`` the row of its prompt.
            indices: ``(N,)`` its place among the texts of the group.
        """
        task, count = self.config.task, len(indices)
        tokens = np.empty((count, task.prompts.width + task.budget), dtype=np.int32)
        tokens[:, : task.prompts.width] = np.asarray(task.prompts.ids).take(rows, axis=0)
        lengths, codes = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.uint8)
        sides = None if self.texts[0].is_agent is None else np.empty((count, task.budget), dtype=bool)
        for group in np.unique(groups).tolist():
            texts, chosen = self.texts[group], groups == group
            tokens[chosen, task.prompts.width :] = texts.ids[indices[chosen]]
            lengths[chosen], codes[chosen] = texts.lengths[indices[chosen]], texts.codes[indices[chosen]]
            if sides is not None and texts.is_agent is not None:
                sides[chosen] = texts.is_agent[indices[chosen]]
        batch = self._pack(tokens, lengths, codes, rows)
        batch.is_agent = sides
        return batch

    def score(self, score: Score) -> ByGroup:
        """The score of every text, averaged over the prompts of its group.

        Raises:
            RewardError: for a score that fails or gives other than a finite number a text.
        """
        scorer = Scorer(as_function(score))
        return tuple(
            np.mean([self._score_row(scorer, group, int(row)) for row in rows], axis=0)
            for group, rows in enumerate(self.groups)
        )

    def _score_row(self, scorer: Scorer, group: int, row: int) -> Floats:
        task, texts, width = self.config.task, self.texts[group], self.config.task.prompts.width
        parts = []
        for start in range(0, len(texts), CHUNK):
            part = slice(start, start + CHUNK)
            count = len(texts.ids[part])
            tokens = np.empty((count, width + task.budget), dtype=np.int32)
            tokens[:, :width], tokens[:, width:] = np.asarray(task.prompts.ids)[row], texts.ids[part]
            batch = self._pack(tokens, texts.lengths[part], texts.codes[part], np.full(count, row))
            batch.is_agent = None if texts.is_agent is None else texts.is_agent[part]
            parts.append(scorer(batch).values)
        return np.concatenate(parts)

    def _pack(self, tokens: NDArray[np.int32], lengths: Rows, codes: NDArray[np.uint8], rows: Rows) -> EpisodeBatch:
        task, keys = self.config.task, np.arange(len(tokens), dtype=np.uint64)
        return EpisodeBatch(tokens, lengths, codes, keys, rows, task.prompts, task.tokenizer)

    def mean(self, scores: ByGroup) -> float:
        """The mean of a score under the reference, averaged over prompts."""
        return float(self.weights @ [base @ score for base, score in zip(self.base, scores, strict=True)])

    def spread(self, scores: ByGroup) -> float:
        """The standard deviation of a score under the reference, within prompts."""
        pairs = list(zip(self.base, scores, strict=True))
        variances = [float(base @ (score - base @ score) ** 2) for base, score in pairs]
        return float(np.sqrt(max(self.weights @ np.array(variances), 0.0)))

    def draw(self, group: int, uniforms: Floats, chances: Floats | None = None) -> Rows:
        """``(N,)`` places of texts, drawn by numbers from 0 to 1 with the reference's or other chances."""
        cumulative = np.cumsum(self.base[group] if chances is None else chances)
        found = np.searchsorted(cumulative, uniforms * cumulative[-1], side="right")
        last = int(np.searchsorted(cumulative, cumulative[-1]))  # what comes later has no chance at all
        return np.minimum(found, last).astype(np.int64)


def nothing(batch: EpisodeBatch) -> Floats:
    """A reward that costs no time: it pays 0."""
    return np.zeros(len(batch))


def read_config(factory: EnvFactory) -> EnvConfig:
    """The configuration of the environments that a factory makes.

    Raises:
        ConfigurationError: for an id that is not one of textgym's.
    """
    base = factory.single().unwrapped
    if not isinstance(base, TextGenerationEnv):
        raise ConfigurationError(f"{factory.env_id!r} is not a textgym environment; `textgym list` shows which are")
    return base.config


def populate(
    factory: EnvFactory, reference: Any = "uniform", *, samples: int = 4_000, seed: int = 0, exact: bool | None = None
) -> Population:
    """All texts of an environment where it is small enough, else a sample of what the reference writes.

    Args:
        factory: The environment.
        reference: What :func:`~textgym.overoptimisation.references.find_reference` takes.
        samples: Texts a prompt, where they are sampled.
        seed: Seed of the sample.
        exact: True asks for all texts, False for a sample; by default as it can be.

    Raises:
        TooLargeError: where all texts were asked for and are too many.
        SolveError: where they were asked for in a conversation.
        ConfigurationError: for fewer than 100 samples, and for what is no reference.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 100:
        raise ConfigurationError(f"samples={samples!r}: expected a whole number of at least 100")
    config = read_config(factory)
    policy = find_reference(reference, config)
    why = "a sample was asked for" if exact is False else ""
    if exact is None and config.task.partner is not None:
        why = f"{config.task!r} is a conversation, and its texts are written by two"
    if not why:
        try:
            return enumerate_population(factory, config, policy)
        except TooLargeError:
            if exact:
                raise
            why = f"{config.task!r} is too large to try all of its texts"
    return sample_population(factory, config, policy, samples=samples, seed=seed, why=why)


def enumerate_population(factory: EnvFactory, config: EnvConfig, reference: Any) -> Population:
    """All texts, with the probability that the reference writes each.

    Raises:
        TooLargeError: where they are too many.
        SolveError: for conversations, whose texts are written by two.
    """
    if config.task.partner is not None:
        raise SolveError(f"{config.task!r} is a conversation, and its texts are written by two; they can be sampled")
    bare = EnvFactory(factory.env_id, {**factory.kwargs, "reward": nothing})
    known = None if isinstance(reference, UniformReference) else reference
    solution = solve(bare, engine="tree", reference=known, max_seconds=30.0, max_gigabytes=1.0)
    assert isinstance(solution, TreeSolution)
    count = solution.tree.text_count * len(solution.index.groups)
    if count > MOST_TEXTS:
        raise TooLargeError(
            f"{config.task!r} has {count:,} texts for all prompts together; at most {MOST_TEXTS:,} are enumerated"
        )
    texts, base = _read_tree(config, solution)
    groups = tuple(np.asarray(rows, dtype=np.int64) for rows in solution.index.groups)
    shared = (texts,) * len(groups)
    return Population(config, groups, solution.index.weights, shared, base, exact=True, solution=solution)


def _read_tree(config: EnvConfig, solution: TreeSolution) -> tuple[Texts, ByGroup]:
    """The texts of a tree in their order there, and what the reference gives each."""
    task, tree = config.task, solution.tree
    ids, lengths = [], []
    for depth, level in enumerate(tree.levels):
        nodes, columns = np.nonzero(level.legal & (level.child < 0))
        padded = np.full((len(nodes), task.budget), tree.vocab_size, dtype=np.int32)
        padded[:, :depth] = level.tokens[nodes]
        padded[:, depth] = tree.columns[columns]
        ids.append(padded)
        lengths.append(np.full(len(nodes), depth + 1))
    written, sizes = np.concatenate(ids), np.concatenate(lengths)
    codes = np.where(sizes == task.budget, LENGTH, STOP).astype(np.uint8)
    if task.stop is not None:
        codes[np.asarray(task.stop(written, sizes), dtype=bool)] = STOP
    codes[np.isin(written[np.arange(len(written)), sizes - 1], task.tokenizer.eos_ids)] = EOS
    return Texts(written, sizes, codes), leaves(solution, solution.reference)


def leaves(solution: TreeSolution, policy: Sequence[Floats]) -> ByGroup:
    """The probability of every text under a policy ``(G, N, K)`` on the tree, in the tree's order."""
    tree = solution.tree
    parts = []
    for reached, chances, level in zip(tree.pass_down(policy), policy, tree.levels, strict=True):
        ends = level.legal & (level.child < 0)
        parts.append((reached[:, :, None] * chances)[:, ends])
    return tuple(np.concatenate(parts, axis=1))


def sample_population(
    factory: EnvFactory, config: EnvConfig, reference: Any, *, samples: int, seed: int, why: str = ""
) -> Population:
    """Texts that the reference wrote, the same number to each of at most :data:`MOST_PROMPTS` prompts."""
    rows = np.asarray(config.task.prompts.rows(config.split), dtype=np.int64)
    if len(rows) > MOST_PROMPTS:
        rng = np.random.default_rng(spawn_seed(seed, "overopt", "prompts"))
        rows = np.sort(rng.choice(rows, MOST_PROMPTS, replace=False))
    bare = EnvFactory(factory.env_id, {**factory.kwargs, "reward": nothing, "observation": "tokens"})
    number = spawn_seed(seed, "overopt", "texts")
    batch, _ = sample(reference, bare, np.repeat(rows, samples), seed=number, reference=reference)
    sides = batch.is_agent
    texts = tuple(
        Texts(
            batch.completion_ids[part],
            batch.lengths[part],
            batch.stop_codes[part],
            None if sides is None else sides[part],
        )
        for part in (slice(start * samples, (start + 1) * samples) for start in range(len(rows)))
    )
    base = tuple(np.full(samples, 1.0 / samples) for _ in rows)
    weights = np.full(len(rows), 1.0 / len(rows))
    return Population(config, tuple(row[None] for row in rows), weights, texts, base, exact=False, why_sampled=why)
