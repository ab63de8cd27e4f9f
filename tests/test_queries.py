"""Query strategies: what they rank first, and the study that compares them with random."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import textgym.feedback.queries as queries
from textgym.annotators import BoltzmannAnnotator
from textgym.bradley_terry import SparseRows, fit_bradley_terry
from textgym.cli import app
from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError, UnknownNameError
from textgym.factory import EnvFactory
from textgym.feedback.gathering import SyntheticGatherer
from textgym.feedback.pairs import Pair, sample_pairs, to_batches
from textgym.feedback.queries import (
    MEASURES,
    STRATEGIES,
    Ensemble,
    RoundRobin,
    expected_information,
    label_variance,
    logit_variance,
    make_strategy,
    probability_variance,
)
from textgym.feedback.query_study import QueryStudy, sign_flips, study_queries
from textgym.keys import spawn_seed
from textgym.ngrams import fit_ngrams
from textgym.rewards.preference import PreferenceReward
from textgym.task import Task
from textgym.tokenizers import WordTokenizer

ENVS = EnvFactory("TextGen-v0")


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return sample_pairs(ENVS, "mixed", 60, seed=1)


@pytest.fixture(scope="module")
def votes(pairs: list[Pair]) -> list[Comparison]:
    task = ENVS.task()
    assert task.gold is not None
    return SyntheticGatherer(task, BoltzmannAnnotator(task.gold), seed=2).gather(pairs)


# ---- measures of disagreement ---------------------------------------------------------------------------------------


def test_measures_equal_their_definitions() -> None:
    margins = np.random.default_rng(0).normal(scale=3, size=(5, 40))
    for column in range(40):
        logits = margins[:, column].tolist()
        chances = [1 / (1 + np.exp(-logit)) for logit in logits]
        labels = [float(logit > 0) for logit in logits]
        for measure, values in (
            (logit_variance, logits),
            (probability_variance, chances),
            (label_variance, labels),
        ):
            mean = sum(values) / 5
            expected = sum((value - mean) ** 2 for value in values) / 5
            assert measure(margins)[column] == pytest.approx(expected, abs=1e-12)
        mean = sum(chances) / 5
        # the mean divergence of each member from the mean of all is the same mutual information
        divergence = sum(p * np.log(p / mean) + (1 - p) * np.log((1 - p) / (1 - mean)) for p in chances) / 5
        assert expected_information(margins)[column] == pytest.approx(divergence, abs=1e-9)


@pytest.mark.parametrize("name", MEASURES)
def test_members_of_one_opinion_do_not_disagree(name: str) -> None:
    alike, torn = np.full((4, 1), 2.0), np.array([[2.0], [-2.0], [2.0], [-2.0]])
    assert MEASURES[name](alike)[0] == pytest.approx(0.0, abs=1e-12)
    assert MEASURES[name](torn)[0] > 0.1


def test_measures_survive_extreme_margins() -> None:
    margins = np.array([[1e6, 0.0], [-1e6, 0.0]])
    assert expected_information(margins).tolist() == pytest.approx([np.log(2), 0.0])
    assert all(np.isfinite(measure(margins)).all() for measure in MEASURES.values())


# ---- strategies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("known", [0, 10, 40])
def test_every_strategy_returns_an_order_and_always_the_same(
    name: str, known: int, pairs: list[Pair], votes: list[Comparison]
) -> None:
    counts = [row % 3 for row in range(len(pairs))]
    first, second = (make_strategy(name, task=ENVS.task(), seed=3).rank(pairs, counts, votes[:known]) for _ in range(2))
    assert sorted(first) == list(range(len(pairs)))
    assert list(first) == list(second)
    assert make_strategy(name, task=ENVS.task()).rank([], [], votes[:known]) == []


def test_strategies_by_name() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'variance'"):
        make_strategy("varience")
    with pytest.raises(ConfigurationError, match="needs task="):
        make_strategy("information")


def test_round_robin_takes_what_was_judged_least_and_prompts_in_turn() -> None:
    pairs = [Pair(id=name, prompt=name[0], first="x", second="y") for name in ("a1", "a2", "a3", "b1", "b2", "c1")]
    order = RoundRobin().rank(pairs, [1, 0, 0, 0, 0, 2], [])
    assert [pairs[row].id for row in order] == ["a2", "b1", "a3", "b2", "a1", "c1"]


def test_ensembles_ask_where_the_members_disagree_most(pairs: list[Pair], votes: list[Comparison]) -> None:
    for name, measure in MEASURES.items():
        strategy = make_strategy(name, task=ENVS.task(), seed=1)
        assert isinstance(strategy, Ensemble)
        order = strategy.rank(pairs, [0] * len(pairs), votes)
        values = measure(strategy.margins(pairs, votes))[order]
        assert (np.diff(values) <= 0).all()
        assert values[0] > values[-1]


def test_members_are_the_fits_to_resamples(pairs: list[Pair], votes: list[Comparison]) -> None:
    """Where all n-grams count, a member is what ``fit_ngrams`` makes of its resample, and scores as rewards do."""
    task, strategy = ENVS.task(), Ensemble(ENVS.task(), members=2, seed=5)
    common = pairs[:30]
    margins = strategy.margins(common, votes)
    rng = np.random.default_rng(spawn_seed(5, "ensemble", str(len(votes))))
    draws = rng.integers(len(votes), size=(2, len(votes))).tolist()
    first, second = to_batches(task, common)
    for member, drawn in zip(margins, draws, strict=True):
        model = PreferenceReward.from_model(fit_ngrams([votes[row] for row in drawn], task.tokenizer, minimum_count=2))
        assert np.corrcoef(member, model(first) - model(second))[0, 1] > 0.9


def test_ensembles_begin_at_random_and_are_refitted_now_and_then(
    pairs: list[Pair], votes: list[Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[int] = []

    def counted(rows: SparseRows) -> Any:
        fits.append(rows.shape[0])
        return fit_bradley_terry(rows)

    monkeypatch.setattr(queries, "fit_bradley_terry", counted)
    strategy = Ensemble(ENVS.task(), members=3, least=10, refit_every=5, seed=4)
    old, counts = pairs[:50], [0] * 50
    random = make_strategy("random", seed=4).rank(old, counts, [])
    undecided = [replace(votes[0], choice="tie"), replace(votes[1], choice="skip")]
    assert strategy.rank(old, counts, [*votes[:9], *undecided]) == random
    assert fits == []
    order = strategy.rank(old, counts, votes[:10])
    assert order != random
    assert fits == [10] * 3
    assert strategy.rank(old, counts, [*votes[:14], *undecided]) == order
    assert fits == [10] * 3
    strategy.rank(old, counts, votes[:15])
    assert fits == [10] * 3 + [15] * 3
    strategy.rank(old, counts, votes[:9])  # fewer than are needed: the old values are better than none
    assert len(fits) == 6
    strategy.rank(old, counts, votes[:10])  # some were taken back
    assert fits[6:] == [10] * 3
    strategy.rank(pairs, [0] * 60, votes[:11])  # there are new pairs
    assert fits[9:] == [11] * 3


def test_ensembles_need_no_table_of_the_vocabulary() -> None:
    """A language model's vocabulary squared would be hundreds of gigabytes."""
    words = WordTokenizer([f"w{number}" for number in range(30_000)])
    task = replace_tokenizer(ENVS.task(), words)
    rng = np.random.default_rng(0)
    texts = rng.integers(30_000, size=(100, 2, 4)).tolist()
    pairs = [
        Pair(id=str(row), prompt="w1 w2", first="", second="", first_ids=tuple(one), second_ids=tuple(other))
        for row, (one, other) in enumerate(texts)
    ]
    votes = [
        Comparison(prompt="w1 w2", left="", right="", left_ids=pair.first_ids, right_ids=pair.second_ids, choice="left")
        for pair in pairs[:40]
    ]
    assert sorted(Ensemble(task).rank(pairs, [0] * 100, votes)) == list(range(100))


def replace_tokenizer(task: Task, tokenizer: WordTokenizer) -> Any:
    """A stand-in for a task, with another vocabulary."""
    return SimpleNamespace(tokenizer=tokenizer, encode_completion=task.encode_completion)


def test_ensembles_read_comparisons_that_have_no_ids(pairs: list[Pair], votes: list[Comparison]) -> None:
    bare = [replace(vote, left_ids=(), right_ids=()) for vote in votes]
    with_ids = [
        replace(
            vote,
            left_ids=tuple(ENVS.task().encode_completion(vote.left)),
            right_ids=tuple(ENVS.task().encode_completion(vote.right)),
        )
        for vote in votes
    ]
    first, second = (Ensemble(ENVS.task()).rank(pairs, [0] * len(pairs), given) for given in (bare, with_ids))
    assert first == second


@pytest.mark.parametrize("settings", [{"members": 1}, {"refit_every": 0}, {"least": 0}])
def test_ensembles_refuse_impossible_numbers(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        Ensemble(ENVS.task(), **settings)


# ---- the study ------------------------------------------------------------------------------------------------------


def test_sign_flips_equal_all_flips_one_by_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        differences = np.round(rng.normal(0.3, 1.0, size=6), 1)
        flipped = [float((differences * signs).sum()) for signs in product([1, -1], repeat=6)]
        expected = sum(value >= differences.sum() - 1e-9 for value in flipped) / 64
        assert sign_flips(differences[None]).tolist() == [expected]
    many = sign_flips(np.stack([np.ones(20), np.zeros(20), -np.ones(20)]))
    assert many[0] < 1e-3
    assert many[1] == 1.0
    assert many[2] == 1.0


def study_of(scores: np.ndarray) -> QueryStudy:
    names, labels = ("random", "one", "other")[: len(scores)], (50, 100)[: scores.shape[1]]
    return QueryStudy(names, labels, scores, scores, scores[0, 0], scores[0, 0], "pairs", "mixed")


def test_what_is_better_in_every_seed_beats_random_and_noise_does_not() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(0.7, 0.02, size=(3, 2, 10))
    scores[1, 1] = scores[0, 1] + rng.uniform(0.01, 0.05, size=10)
    study = study_of(scores)
    assert study.better(scores) == [("one", 100, 1 / 1024)]
    assert study.better(-scores) == []
    assert study_of(scores[:, :, :4]).better(scores[:, :, :4]) == []  # four seeds prove nothing


def test_false_findings_are_rare() -> None:
    rng = np.random.default_rng(2)
    worlds = rng.normal(size=(400, 3, 2, 8)) + rng.normal(size=(400, 1, 1, 8))  # what a seed does, it does to all
    found = sum(bool(study_of(scores).better(scores)) for scores in worlds)
    assert found <= 0.05 * 400 + 9  # two standard errors


SMALL = {"seeds": 2, "labels": 20, "held_out": 60}


def test_study_is_reproducible_and_random_comes_first() -> None:
    first, second = (study_queries(ENVS, strategies=["variance", "random"], pool=2, **SMALL) for _ in range(2))
    assert first.strategies == ("random", "variance")
    assert first.labels == (5, 10, 15, 20)
    assert first.accuracy.shape == first.best_gold.shape == (2, 4, 2)
    assert np.array_equal(first.accuracy, second.accuracy)
    assert np.array_equal(first.best_gold, second.best_gold)
    assert ((first.accuracy > 0) & (first.accuracy <= 1)).all()
    assert (first.best_gold <= first.highest_gold + 1e-12).all()
    assert (first.label_accuracy > 0.5).all()
    assert first.held_out == "pairs of held-out prompts"


def test_with_nothing_to_choose_from_all_strategies_end_alike() -> None:
    study = study_queries(ENVS, strategies=["round_robin", "information"], pool=1, **SMALL)
    assert np.array_equal(study.accuracy[:, -1], np.repeat(study.accuracy[:1, -1], 3, axis=0))
    assert not np.array_equal(study.accuracy[:, 0], np.repeat(study.accuracy[:1, 0], 3, axis=0))


def test_more_answers_make_better_models() -> None:
    study = study_queries(ENVS, strategies=["random"], seeds=3, labels=800, pool=1, held_out=300, noise=0.2)
    accuracy = study.accuracy[0].mean(axis=1)
    assert accuracy[0] > 0.65
    assert accuracy[-1] > accuracy[0] + 0.03


def test_tasks_without_held_out_prompts_are_tried_on_other_pairs() -> None:
    study = study_queries("TextGen/Proxy-v0", strategies=["random"], pool=1, **SMALL)
    assert study.held_out == "other pairs of the same prompts"


@pytest.mark.parametrize(
    ("env", "settings", "message"),
    [
        (ENVS, {"labels": 10}, "labels=10"),
        (ENVS, {"noise": 0.0}, "noise=0.0"),
        (ENVS, {"strategies": ["varience"]}, "variance"),
        (EnvFactory("TextGen-v0", {"level": "tiny", "max_new_tokens": 1}), {}, "different pairs to choose 20 from"),
        (EnvFactory("TextGen-v0", {"prompts": ["praise the movie"]}), {}, "no gold score"),
    ],
)
def test_studies_that_cannot_be(env: EnvFactory, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigurationError, UnknownNameError), match=message):
        study_queries(env, **{**SMALL, **settings})


def test_the_command_prints_tables_and_says_plainly_that_nothing_beats_random() -> None:
    words = ["label", "queries", "TextGen-v0", "--seeds", "2", "--pairs", "20", "--pool", "2", "--strategy", "variance"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    tables = [line for line in lines if line.startswith("| variance |")]
    assert len(tables) == 2
    assert all(" to " in line for line in tables)
    assert "Held-out accuracy: no strategy beats random." in lines
    assert any("no strategy beats random" in line for line in lines if line.startswith("Gold of the text"))
