"""Does choosing which pairs to ask about help? Every query strategy against random, on a simulated annotator.

For each seed there are many pairs and one annotator, whose answer to each pair is fixed beforehand, so that strategies
differ by what they ask alone. After some numbers of answers an n-gram model is fitted to what each strategy has
got, and tried on pairs that nobody asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.annotators import BoltzmannAnnotator
from textgym.comparisons import Comparison
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, check_names
from textgym.factory import EnvFactory, as_factory
from textgym.feedback.gathering import SyntheticGatherer
from textgym.feedback.pairs import Pair, sample_pairs, to_batches
from textgym.feedback.queries import STRATEGIES, make_strategy
from textgym.keys import spawn_seed
from textgym.ngrams import fit_ngrams
from textgym.playing import concatenate
from textgym.rewards.preference import PreferenceReward
from textgym.task import Task

Floats = NDArray[np.float64]

STEPS = 10
"""How often a strategy is asked; each time it gets a tenth of all answers."""

_EXACT = 14  # differences whose signs are flipped in every way


@dataclass(frozen=True, eq=False)
class QueryStudy:
    """What the strategies reached.

    Attributes:
        strategies: Their names, random first.
        labels: ``(C,)`` the numbers of answers after which a model was fitted.
        accuracy: ``(K, C, S)`` by strategy, number of answers and seed: share of held-out pairs whose better text under
            gold has the higher score.
        best_gold: ``(K, C, S)`` gold of the held-out text that the model likes best, averaged over prompts.
        highest_gold: ``(S,)`` gold of the best held-out text, averaged over prompts: what a perfect model reaches.
        label_accuracy: ``(S,)`` share of the annotator's answers that agree with gold.
        held_out: What the held-out pairs are.
        policy: Who wrote the texts.
    """

    strategies: tuple[str, ...]
    labels: tuple[int, ...]
    accuracy: Floats
    best_gold: Floats
    highest_gold: Floats
    label_accuracy: Floats
    held_out: str
    policy: str

    def better(self, scores: Floats, *, level: float = 0.05) -> list[tuple[str, int, float]]:
        """The strategies that beat random, after how many answers, and how improbable that is by chance.

        The scores of the same seeds are compared by :func:`sign_flips`, and the level is shared by all strategies and
        numbers of answers (Holm 1979), so that one false finding has at most that probability.

        Args:
            scores: :attr:`accuracy` or :attr:`best_gold`; either with a minus finds the strategies that random beats.
            level: Probability of a false finding.
        """
        chances = sign_flips((scores[1:] - scores[0]).reshape(-1, scores.shape[-1]))
        cells = [(name, number) for name in self.strategies[1:] for number in self.labels]
        found = []
        for rank, cell in enumerate(np.argsort(chances, kind="stable").tolist()):
            if chances[cell] > level / (len(cells) - rank):
                break
            found.append((*cells[cell], float(chances[cell])))
        return found


def sign_flips(differences: Floats) -> Floats:
    """How probable sums as high as these are, if each difference had as well had the other sign: ``(N, S) -> (N,)``.

    Exact up to 14 of them, else from 16,384 random flips. With S differences it cannot be below ``2**-S``.

    Example:
        >>> sign_flips(np.array([[1.0, 2.0, 3.0]])).tolist()
        [0.125]
    """
    count = differences.shape[1]
    if count <= _EXACT:
        signs = np.where(np.arange(2**count)[:, None] >> np.arange(count) & 1, -1.0, 1.0)
    else:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(2**_EXACT, count))
        signs[0] = 1.0  # what was seen is one of them
    sums = differences @ signs.T
    return np.asarray((sums >= sums[:, :1] - 1e-12 * np.abs(differences).sum(axis=1, keepdims=True)).mean(axis=1))


@dataclass(frozen=True, eq=False)
class _Trial:
    """One seed: what can be asked, what the answer would be, and what models are tried on."""

    task: Task
    pairs: list[Pair]
    answers: dict[str, Comparison]
    first: EpisodeBatch
    second: EpisodeBatch
    golds: Floats  # of the first texts, then of the second ones
    label_accuracy: float


def study_queries(
    env: str | EnvFactory,
    *,
    strategies: Sequence[str] = STRATEGIES,
    seeds: int = 10,
    labels: int = 200,
    pool: int = 5,
    held_out: int = 500,
    noise: float = 0.5,
    policy: str = "",
    on_seed: Callable[[int], None] | None = None,
) -> QueryStudy:
    """Compares query strategies with random on a simulated annotator.

    Args:
        env: An env id or factory, of a task with a gold score.
        strategies: Names of :data:`~textgym.feedback.queries.STRATEGIES`; random always takes part.
        seeds: How many times all of it is repeated, with other texts and answers.
        labels: Answers that each strategy may ask for.
        pool: Pairs to choose from for each answer; fewer where the policy writes fewer different ones.
        held_out: Pairs that models are tried on: of the held-out prompts where the task has some, else other pairs of
            the same prompts.
        noise: The annotator's temperature, in standard deviations of the pairs' difference in gold.
        policy: Who writes the texts; by default "mixed" where the task has demonstrations, else "uniform".
        on_seed: Called with each seed that is done.

    Raises:
        ConfigurationError: for a task without a gold score, or numbers that cannot be.
        UnknownNameError: for a strategy that is not there.
    """
    factory = as_factory(env)
    task = factory.task()
    names = tuple(dict.fromkeys(["random", *strategies]))
    check_names("query strategy", names, STRATEGIES)
    _check(task, seeds=seeds, labels=labels, pool=pool, held_out=held_out, noise=noise)
    policy = policy or ("uniform" if task.make_demonstration is None else "mixed")
    test, described = _held_out_prompts(factory, task)
    trials, results = list[_Trial](), list[Floats]()
    for seed in range(seeds):
        trial = _prepare(factory, test, policy, seed=seed, labels=labels, pool=pool, held_out=held_out, noise=noise)
        results.append(np.array([_run(trial, name, seed=seed, labels=labels) for name in names]))
        trials.append(trial)
        if on_seed is not None:
            on_seed(seed)
    scores = np.stack(results, axis=-1)  # strategy, checkpoint, measure, seed
    return QueryStudy(
        names,
        _checkpoints(labels),
        scores[:, :, 0],
        scores[:, :, 1],
        np.array([_best_gold(trial, trial.golds) for trial in trials]),
        np.array([trial.label_accuracy for trial in trials]),
        described,
        policy,
    )


def _check(task: Task, *, noise: float, **numbers: int) -> None:
    if task.gold is None:
        raise ConfigurationError(f"the task {task.name} has no gold score, so nobody can simulate an annotator")
    least = {"seeds": 1, "labels": 2 * STEPS, "pool": 1, "held_out": 1}
    for name, value in numbers.items():
        if value < least[name]:
            raise ConfigurationError(f"{name}={value!r}: expected at least {least[name]}")
    if not noise > 0:
        raise ConfigurationError(f"noise={noise!r}: expected a number above 0")


def _checkpoints(labels: int) -> tuple[int, ...]:
    return tuple(labels * part // 4 for part in range(1, 5))


def _held_out_prompts(factory: EnvFactory, task: Task) -> tuple[EnvFactory, str]:
    if "test" in task.prompts.splits and "split" not in factory.kwargs:
        return as_factory(factory, split="test"), "pairs of held-out prompts"
    return factory, "other pairs of the same prompts"


def _prepare(
    factory: EnvFactory,
    test: EnvFactory,
    policy: str,
    *,
    seed: int,
    labels: int,
    pool: int,
    held_out: int,
    noise: float,
) -> _Trial:
    task = factory.task()
    pairs = _distinct(sample_pairs(factory, policy, labels * pool, seed=spawn_seed(seed, "queries", "pool")))
    differences = _difference(task, pairs)
    spread = float(differences.std())
    if not spread:
        raise ConfigurationError(f"all texts that {policy!r} writes have the same gold: there is nothing to prefer")
    assert task.gold is not None  # _check has seen to it
    judge = BoltzmannAnnotator(task.gold, temperature=noise * spread)
    votes = SyntheticGatherer(task, judge, seed=spawn_seed(seed, "queries", "answers")).gather(pairs)
    said = np.array([(vote.choice == "left") != vote.swapped for vote in votes])
    clear = differences != 0
    unseen = _distinct(sample_pairs(test, policy, held_out, seed=spawn_seed(seed, "queries", "held out")), known=pairs)
    if len(pairs) < labels or not unseen:
        raise ConfigurationError(
            f"{policy!r} wrote {len(pairs)} different pairs to choose {labels} from, and {len(unseen)} others to try "
            "models on; ask for fewer answers, or take a task with more texts"
        )
    first, second = to_batches(task, unseen)
    golds = np.concatenate([_gold(first), _gold(second)])
    answers = {vote.pair: vote for vote in votes}
    agreed = float((said == (differences > 0))[clear].mean())
    return _Trial(task, pairs, answers, first, second, golds, agreed)


def _distinct(pairs: Sequence[Pair], known: Sequence[Pair] = ()) -> list[Pair]:
    """Each pair of texts once, without those that are known."""
    found = {_content(pair): pair for pair in pairs}
    old = {_content(pair) for pair in known}
    return [pair for content, pair in found.items() if content not in old]


def _content(pair: Pair) -> tuple[str, frozenset[str]]:
    return pair.prompt, frozenset((pair.first, pair.second))


def _difference(task: Task, pairs: Sequence[Pair]) -> Floats:
    first, second = to_batches(task, pairs)
    return _gold(first) - _gold(second)


def _gold(batch: EpisodeBatch) -> Floats:
    scores = batch.gold()
    assert scores is not None
    return scores


def _run(trial: _Trial, name: str, *, seed: int, labels: int) -> Floats:
    """``(C, 2)`` accuracy and best gold at each checkpoint."""
    strategy = make_strategy(name, task=trial.task, seed=seed)
    waiting, votes, rows = list(trial.pairs), list[Comparison](), []
    stops = sorted({*_checkpoints(labels), *(labels * step // STEPS for step in range(1, STEPS + 1))})
    for stop in stops:
        order = strategy.rank(waiting, [0] * len(waiting), votes)
        asked = {waiting[row].id for row in order[: stop - len(votes)]}
        votes += [trial.answers[pair.id] for pair in waiting if pair.id in asked]
        waiting = [pair for pair in waiting if pair.id not in asked]
        if stop in _checkpoints(labels):
            rows.append(_try(trial, votes))
    return np.array(rows)


def _try(trial: _Trial, votes: Sequence[Comparison]) -> tuple[float, float]:
    model = PreferenceReward.from_model(fit_ngrams(votes, trial.task.tokenizer, minimum_count=2))
    scores = np.concatenate([model(trial.first), model(trial.second)])
    return _accuracy(trial, scores), _best_gold(trial, scores)


def _accuracy(trial: _Trial, scores: Floats) -> float:
    """Pairs of equal gold are left out; equal scores count half."""
    gold, score = (values[: len(trial.first)] - values[len(trial.first) :] for values in (trial.golds, scores))
    clear = gold != 0
    return float(np.heaviside(score * gold, 0.5)[clear].mean())


def _best_gold(trial: _Trial, scores: Floats) -> float:
    prompts = concatenate([trial.first, trial.second]).prompt_indices
    best = [rows[scores[rows].argmax()] for rows in (np.flatnonzero(prompts == one) for one in np.unique(prompts))]
    return float(trial.golds[best].mean())
