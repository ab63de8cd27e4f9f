"""Proxies: reward models of several classes, fitted to simulated comparisons.

==================  ===================================================================================
class               what it sees of a text, besides the words of the prompt
==================  ===================================================================================
unigram             its words, not their order
ngram               its words and pairs of neighbours (:mod:`textgym.ngrams`)
rich                the same, its length, how many words it repeats, and the squares of both
ensemble_mean       four n-gram models of resampled comparisons: their mean
ensemble_worst      the same: the lowest of the four
ensemble_penalised  the same: their mean minus their variance
mlp                 a small network, likewise ``gru`` and ``transformer`` (:mod:`textgym.preference_models`)
reward              the environment's own reward as it is
==================  ===================================================================================

Any other name is a reward, as ``reward=`` takes it, so that folders of reward models can be tried, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from textgym.annotators import BoltzmannAnnotator
from textgym.bradley_terry import SparseRows, fit_bradley_terry
from textgym.comparisons import Comparison
from textgym.episodes import EpisodeBatch, Score
from textgym.errors import ConfigurationError, RewardError, UnknownNameError, unknown_name
from textgym.keys import spawn_seed
from textgym.ngrams import ANY, NGramModel, compare_ngrams
from textgym.overoptimisation.population import Population, Rows
from textgym.preference_models import RewardModel
from textgym.rewards import REWARDS, resolve_reward
from textgym.rewards.preference import PreferenceReward
from textgym.task import Task
from textgym.tokenizers import Tokenizer, fingerprint

Floats = NDArray[np.float64]

LINEAR = ("unigram", "ngram", "rich")
ENSEMBLES = {
    "ensemble_mean": "mean",
    "ensemble_worst": "worst",
    "ensemble_penalised": "mean_minus_variance",
}
NETWORKS = ("mlp", "gru", "transformer")
FITTED = (*LINEAR, *ENSEMBLES, *NETWORKS)
OWN = "reward"
MEMBERS = 4

_TOLERANCE = 1e-4  # of a weight: far below what the noise of any comparisons leaves uncertain
_TRIES = 50  # for two different texts: more are needed only where nearly all draws are one text


# ---- comparisons ----------------------------------------------------------------------------------------------------


def simulate(population: Population, gold: Score, count: int, *, temperature: float, seed: int) -> list[Comparison]:
    """Comparisons of two different texts of one prompt, judged by a Boltzmann-rational annotator.

    The first of a longer list are the same as a shorter list.

    Args:
        population: Where the texts come from, as often as the reference writes them.
        gold: What the annotator values.
        count: How many comparisons.
        temperature: Difference in gold at which the better text wins 73 % of the time.
        seed: Seed of the pairs and the judgements.

    Raises:
        ConfigurationError: where the reference writes one text only.
    """
    rng = np.random.default_rng(spawn_seed(seed, "overopt", "pairs"))
    groups = rng.choice(len(population.groups), size=count, p=population.weights)
    rows, sides = np.empty(count, dtype=np.int64), np.empty((2, count), dtype=np.int64)
    for group in range(len(population.groups)):
        chosen = np.flatnonzero(groups == group)
        rows[chosen] = rng.choice(population.groups[group], size=len(chosen))
        sides[:, chosen] = _draw_pairs(population, group, len(chosen), rng)
    left, right = (population.batch(groups, rows, side) for side in sides)
    return BoltzmannAnnotator(gold, temperature).compare(left, right, rng)


def _draw_pairs(population: Population, group: int, count: int, rng: np.random.Generator) -> Rows:
    """``(2, count)`` places of texts that differ."""
    texts = population.texts[group]
    pairs = np.stack([population.draw(group, rng.random(count)) for _ in range(2)])
    for _ in range(_TRIES):
        same = np.flatnonzero((texts.ids[pairs[0]] == texts.ids[pairs[1]]).all(axis=1))
        if not same.size:
            return pairs
        pairs[1, same] = population.draw(group, rng.random(len(same)))
    raise ConfigurationError(
        "the reference writes hardly more than one text, and two different ones are needed to compare; "
        "use reference='uniform', or a policy that is less sure"
    )


def flip(comparisons: Sequence[Comparison], noise: float, *, seed: int) -> list[Comparison]:
    """The comparisons with this share of judgements turned around; more noise turns the same ones and others.

    Example:
        >>> one = Comparison(prompt="p", left="a", right="b", choice="left")
        >>> [flip([one], noise, seed=0)[0].choice for noise in (0.0, 1.0)]
        ['left', 'right']
    """
    uniforms = np.random.default_rng(spawn_seed(seed, "overopt", "noise")).random(len(comparisons))
    turned = (uniforms < noise).tolist()
    return [
        replace(item, choice="right" if item.choice == "left" else "left") if turn and item.is_decided else item
        for item, turn in zip(comparisons, turned, strict=True)
    ]


# ---- models ---------------------------------------------------------------------------------------------------------


def check_model(name: object, task: Task) -> Score | None:
    """The reward that a name stands for; None for classes that are fitted to comparisons.

    Raises:
        UnknownNameError: for a name that is neither a class nor a reward.
        ConfigurationError: for a reward of another vocabulary, and whatever that reward complains of.
    """
    if isinstance(name, str) and name in FITTED:
        return None
    if name == OWN:
        return task.reward
    try:
        reward = resolve_reward(name, level=task.level)
    except UnknownNameError:
        if not isinstance(name, str):  # what is unknown then is one of its params
            raise
        raise unknown_name("class of reward models, and no reward", name, [*FITTED, OWN, *REWARDS]) from None
    bound = getattr(reward, "tokenizer_fingerprint", None)
    if bound is not None and bound != fingerprint(task.tokenizer):
        raise ConfigurationError(f"the reward {name!r} was fitted on another vocabulary than {task.tokenizer!r}")
    return reward


@dataclass(frozen=True, eq=False)
class Fitter:
    """Fits models to the same comparisons.

    Attributes:
        comparisons: With their token ids; those without a decision are left out.
        task: Vocabulary and prompts.
        penalty: Weight of the squared norm of the weights of linear models.
        seed: Of the networks and resamples.
    """

    comparisons: Sequence[Comparison]
    task: Task
    penalty: float = 1.0
    seed: int = 0

    def fit(self, name: str) -> Score:
        """Fits a model of one class of :data:`FITTED`.

        Raises:
            UnknownNameError: for another class.
            ConfigurationError: without a decided comparison.
        """
        if name not in FITTED:
            raise unknown_name("class of reward models", name, FITTED)
        if not self._decided:
            raise ConfigurationError("no decided comparisons: expected at least one")
        if name in ENSEMBLES:
            return PreferenceReward.from_model(self._ensemble, aggregate=ENSEMBLES[name])
        if name in NETWORKS:
            return PreferenceReward.from_model(self._fit_preferences(name, members=1))
        return _fit_linear(self._decided, self.task.tokenizer, kind=name, penalty=self.penalty)

    @cached_property
    def _decided(self) -> list[Comparison]:
        return [item for item in self.comparisons if item.is_decided]

    @cached_property
    def _ensemble(self) -> RewardModel:
        return self._fit_preferences("ngram", members=MEMBERS)

    def _fit_preferences(self, kind: str, *, members: int) -> RewardModel:
        from textgym.preference_models import fit_preferences

        return fit_preferences(
            self._decided,
            self.task,
            kind=kind,
            ensemble=members,
            seed=self.seed,
            holdout=0.0,
            penalty=self.penalty,
        )


@dataclass(frozen=True, eq=False)
class RichReward:
    """N-grams and the shape of the text.

    Attributes:
        ngrams: The model of words and neighbours.
        shape_weights: What each number of :func:`describe_shapes` is worth.
    """

    ngrams: NGramModel
    shape_weights: Floats

    @cached_property
    def _reward(self) -> PreferenceReward:
        return PreferenceReward.from_model(self.ngrams)

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts."""
        shapes = describe_shapes(batch.completion_ids, batch.tokenizer)
        return np.asarray(self._reward(batch) + np.add.reduce(shapes * self.shape_weights[:, None], axis=0))


def describe_shapes(ids: NDArray[np.int32], tokenizer: Tokenizer) -> Floats:
    """``(4, N)`` of padded texts ``(N, T)``: words, their square, words written before, and their square.

    Example:
        >>> from textgym.tokenizers import CharTokenizer
        >>> describe_shapes(np.array([[0, 1, 0, 0]]), CharTokenizer("ab")).tolist()
        [[1.0], [1.0], [0.5], [0.25]]
    """
    width = max(ids.shape[1], 1)
    is_word = (ids < tokenizer.vocab_size) & ~np.isin(ids, tokenizer.eos_ids)
    words = np.sort(np.where(is_word, ids, -1), axis=1)
    again = ((words[:, 1:] == words[:, :-1]) & (words[:, 1:] >= 0)).sum(axis=1) / width
    length = is_word.sum(axis=1) / width
    return np.stack([length, length**2, again, again**2])


def _fit_linear(
    comparisons: Sequence[Comparison], tokenizer: Tokenizer, *, kind: str, penalty: float
) -> PreferenceReward | RichReward:
    """Bradley-Terry on the n-grams of :func:`textgym.ngrams.fit_ngrams`, on fewer features or on more."""
    pairs = [(item.prompt, item.chosen_ids, item.rejected_ids) for item in comparisons]
    features, differences = compare_ngrams(pairs, tokenizer, minimum_count=1 if kind == "unigram" else 5)
    if kind == "rich":
        differences = _append(differences, _compare_shapes(comparisons, tokenizer))
    elif kind == "unigram":
        is_word = (features[:, 1] == ANY) & (features[:, 2] != tokenizer.vocab_size)
        features, differences = features[is_word], _select(differences, is_word)
    weights = fit_bradley_terry(differences, penalty=penalty, tolerance=_TOLERANCE)
    model = NGramModel(
        vocabulary=tuple(tokenizer.tokens),
        tokenizer_fingerprint=fingerprint(tokenizer),
        eos_ids=tuple(tokenizer.eos_ids),
        features=features,
        weights=weights[: len(features)],
    )
    return RichReward(model, weights[len(features) :]) if kind == "rich" else PreferenceReward.from_model(model)


def _compare_shapes(comparisons: Sequence[Comparison], tokenizer: Tokenizer) -> Floats:
    """``(4, N)`` the shapes of the chosen texts minus those of the rejected ones."""
    texts = [ids for item in comparisons for ids in (item.chosen_ids, item.rejected_ids)]
    ids = np.full((len(texts), max(1, *map(len, texts))), tokenizer.vocab_size, dtype=np.int32)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
    shapes = describe_shapes(ids, tokenizer)
    return np.asarray(shapes[:, 0::2] - shapes[:, 1::2])


def _append(matrix: SparseRows, columns: Floats) -> SparseRows:
    """A sparse matrix with further columns ``(C, N)``."""
    count, width = matrix.shape
    rows = np.concatenate([matrix.rows, np.tile(np.arange(count), len(columns))])
    places = np.concatenate([matrix.columns, np.repeat(width + np.arange(len(columns)), count)])
    return SparseRows(rows, places, np.concatenate([matrix.values, columns.ravel()]), (count, width + len(columns)))


def _select(matrix: SparseRows, kept: NDArray[np.bool_]) -> SparseRows:
    """A sparse matrix with some of its columns."""
    entries = kept[matrix.columns]
    places = (np.cumsum(kept) - 1)[matrix.columns[entries]]
    return SparseRows(matrix.rows[entries], places, matrix.values[entries], (matrix.shape[0], int(kept.sum())))


def score_population(population: Population, reward: Score, name: str) -> tuple[Floats, ...]:
    """Scores all texts; an error says whose scores they are."""
    try:
        return population.score(reward)
    except RewardError as error:
        raise RewardError(f"the reward model {name!r}: {error}") from error
