"""The report on a reward model: its measures, calibration, ceiling, alarms and best of four."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from judging import TEMPERATURE, judged, oracle, task_of

from textgym.bradley_terry import preference_probability
from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError
from textgym.pictures.calibration import draw_calibration
from textgym.preference_models import Judging, RewardModel, fit_preferences, read_judgements
from textgym.preference_models.effects import correlate_within_prompts, find_effects, measure_features
from textgym.preference_models.measures import brier_score, calibrate, correlate_ranks, hits, log_loss
from textgym.preference_models.model import Place
from textgym.preference_models.report import Report, make_report
from textgym.preference_models.report_text import write_lines

TABLE = np.array([[0.7, 0.1, 0.2], [0.4, 0.4, 0.2], [1 / 3, 1 / 3, 1 / 3]])
OUTCOMES = np.array([1, 0, -1])


def test_measures_equal_their_definitions() -> None:
    assert log_loss(TABLE, OUTCOMES) == pytest.approx(-np.log([0.7, 0.4, 1 / 3]).mean())
    expected = [0.3**2 + 0.1**2 + 0.2**2, 0.4**2 + 0.6**2 + 0.2**2, 2 / 3]
    assert brier_score(TABLE, OUTCOMES) == pytest.approx(np.mean(expected))
    assert hits(TABLE, OUTCOMES).tolist() == pytest.approx([1.0, 0.5, 1 / 3])


def test_a_tie_may_be_the_likeliest_choice() -> None:
    table = np.array([[0.3, 0.5, 0.2]])
    assert hits(table, np.array([0])).tolist() == [1.0]
    assert hits(table, np.array([1])).tolist() == [0.0]


def test_calibration_counts_the_favoured_side() -> None:
    table = np.array([[0.8, 0.0, 0.2], [0.2, 0.0, 0.8]] * 20)
    outcomes = np.array([1, -1] * 15 + [-1, 1] * 5)
    found = calibrate(table, outcomes, bins=1)
    assert (found.predicted, found.observed, found.counts) == ((pytest.approx(0.8),), (0.75,), (40,))
    assert found.error == pytest.approx(0.05)
    halves = calibrate(np.tile([0.25, 0.5, 0.25], (20, 1)), np.zeros(20, dtype=int))
    assert halves.error == 0.0


def test_rank_correlation_equals_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 5, size=(2, 60)).astype(float)
    assert correlate_ranks(one, other) == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-12)
    assert correlate_ranks(np.ones(5), np.arange(5.0)) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_an_oracle_is_calibrated_and_threefold_logits_are_not(seed: int) -> None:
    judgements = read_judgements(judged(5_000), task_of("easy"))
    gold = judgements.texts.gold()
    assert gold is not None
    left, right = gold[judgements.left], gold[judgements.right]
    chances = preference_probability(left, right, temperature=1.0)
    outcomes = np.where(np.random.default_rng(seed).random(5_000) < chances, 1, -1)
    honest, loud = (
        calibrate(Judging(sharpness=sharpness).probabilities(left, right), outcomes).error for sharpness in (1.0, 3.0)
    )
    assert honest < 0.02
    assert loud > 0.1


# ---- the whole report -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fresh() -> Report:
    """An ensemble on comparisons that it has not seen."""
    model = fit_preferences(judged(600), task_of("easy"), ensemble=3)
    return make_report(model, judged(600, seed=1), task_of("easy"))


def test_the_ceiling_is_that_of_the_oracle(fresh: Report) -> None:
    report = make_report(oracle(task_of("easy")), judged(5_000), task_of("easy"))
    judgements = read_judgements(judged(5_000), task_of("easy"))
    gold = judgements.texts.gold()
    assert gold is not None
    chances = preference_probability(gold[judgements.left], gold[judgements.right], temperature=TEMPERATURE)
    assert report.ceiling == pytest.approx(np.maximum(chances, 1 - chances).mean(), abs=0.01)
    assert report.measures["accuracy"] == pytest.approx(report.ceiling, abs=0.02)
    assert report.measures["ECE"] < 0.02
    assert fresh.ceiling is not None
    assert fresh.measures["accuracy"] < fresh.ceiling


def test_what_a_report_says_of_an_ensemble(fresh: Report) -> None:
    assert fresh.model == {"kind": "ngram", "members": 3, "aggregate": "mean"}
    assert fresh.data["judgements"] == 600
    accuracies = [row["accuracy"] for row in fresh.margins]
    assert accuracies[-1] > accuracies[0] + 0.2
    assert sum(row["judgements"] for row in fresh.margins) == 600
    assert len(fresh.members["accuracy"]) == 3
    assert 0.0 < fresh.members["spread"] < 0.1
    assert set(fresh.disagreement) == {"with the miss of a judgement", "with the error against gold"}
    assert fresh.correlations["true score"]["reward"] > 0.6
    assert fresh.best_of["average"] < fresh.best_of["pick"] <= fresh.best_of["best"]
    assert len(fresh.judges) == 3
    assert fresh.remarks == []


def test_a_report_is_text_json_and_a_picture(fresh: Report) -> None:
    lines = "\n".join(write_lines(fresh))
    for words in ("reward model: ngram of 3 members", "accuracy at most", "first token", "no alarm", "best of four"):
        assert words in lines
    read = json.loads(json.dumps(fresh.as_json()))
    assert read["measures"]["ECE"] == pytest.approx(fresh.calibration.error)
    assert read["alarms"] == fresh.alarms
    shown = fresh.calibration
    svg = draw_calibration(shown.predicted, shown.observed, shown.counts)
    assert svg.count("<circle") == len(shown.counts)
    assert svg.startswith("<svg")
    with pytest.raises(ConfigurationError, match="as many of each"):
        draw_calibration([0.5], [], [])


def test_the_oracle_picks_the_best_of_four_and_its_opposite_the_worst() -> None:
    task, given = task_of("easy"), judged(300)
    found = make_report(oracle(task), given, task).best_of
    assert found["pick"] == found["best"]
    assert found["share of the way"] == pytest.approx(1.0)
    assert make_report(oracle(task, sharpness=-1.0), given, task).best_of["pick"] == found["pick"]
    place = oracle(task).places[0]
    wrong = replace(oracle(task), places=(Place(place.member, 0.0, -1.0, place.judging, 0),))
    assert make_report(wrong, given, task).best_of["share of the way"] < -0.5


def test_the_model_is_not_measured_on_what_it_was_fitted_to() -> None:
    task, given = task_of("easy"), judged(400)
    kept = fit_preferences(given, task, refit=False)
    report = make_report(kept, given, task)
    held = set(kept.card["split"]["held_out"])
    assert report.data["judgements"] == sum(item.prompt in held for item in given)
    assert report.data["prompts"] == len(held)
    assert report.measures["log loss"] == pytest.approx(kept.card["metrics"]["held out"]["log loss"])
    assert "held-out" in report.remarks[0]
    again = make_report(fit_preferences(given, task), given, task)
    assert again.data["judgements"] == 400
    assert "too good" in again.remarks[0]
    assert make_report(kept, given[:-1], task).data["judgements"] == 399


def test_without_a_true_score_repeats_give_the_ceiling() -> None:
    task = _Untrue()
    given = [replace(item, annotator="ann") for item in judged(200)]
    model = fit_preferences(given, task, holdout=0.0)
    once = make_report(model, given[:150], task)
    assert (once.ceiling, once.best_of) == (None, {})
    assert "no pair was judged twice" in once.ceiling_from
    assert any("true score" in remark for remark in once.remarks)
    other: dict[str, Any] = {"left": "right", "right": "left"}
    changed = [replace(item, choice=other[item.choice]) for item in given[:40]]
    twice = [*given, *(item.mirrored() for item in [*given[40:], *changed])]
    again = make_report(model, twice, task)
    agreement = 160 / 200
    assert again.ceiling == pytest.approx((1 + (2 * agreement - 1) ** 0.5) / 2, abs=0.02)
    assert "agree in 80" in again.ceiling_from or "agree in 79" in again.ceiling_from
    assert "what drives the judges (log-odds)" in "\n".join(write_lines(again))


class _Untrue:
    """Vocabulary and prompts of a task whose true score nobody knows."""

    tokenizer = task_of("easy").tokenizer
    prompts = task_of("easy").prompts


# ---- alarms ---------------------------------------------------------------------------------------------------------


def driven_by_length(given: list[Comparison], share: float, seed: int) -> list[Comparison]:
    """Some of the choices fall on the longer text."""
    driven = np.random.default_rng(seed).random(len(given)) < share
    longer = ("left" if len(item.left_ids) >= len(item.right_ids) else "right" for item in given)
    rows = zip(given, longer, driven.tolist(), strict=True)
    return [replace(item, choice=side) if one else item for item, side, one in rows]  # type: ignore[arg-type]


def test_judges_who_follow_length_are_found_out() -> None:
    task = task_of("easy")
    given = driven_by_length(list(judged(1_500)), 0.3, 0)
    report = make_report(fit_preferences(given, task), judged(1_500, seed=1), task)
    assert report.alarms == []
    biased = make_report(oracle(task), given, task)
    assert "length" in biased.alarms
    effect = next(effect for effect in biased.drivers if effect.feature == "length")
    assert 0.0 < effect.low < effect.estimate < effect.high
    assert "ALARM: length" in "\n".join(write_lines(biased))
    leftover = next(effect for effect in report.leftovers if effect.feature == "length")
    assert leftover.high < 0.0  # the model pays for length, these judges do not


def test_judges_who_favour_a_side_are_found_out() -> None:
    rng = np.random.default_rng(0)
    given = [replace(item, choice="left") if rng.random() < 0.2 else item for item in judged(1_000)]
    report = make_report(oracle(task_of("easy")), given, task_of("easy"))
    assert report.alarms == ["side"]


def test_features_of_texts() -> None:
    given = [Comparison(prompt="praise the movie", left="was was great", right="", choice="left")]
    found = measure_features(read_judgements(given, task_of("easy")).texts)
    assert found["length"].tolist() == [3.0, 0.0]
    assert found["repetition"].tolist() == pytest.approx([1 / 3, 0.0])
    assert found["first token 'was'"].tolist() == [1.0, 0.0]


def test_effects_equal_a_known_regression() -> None:
    judgements = read_judgements(judged(2_000), task_of("easy"))
    gold = judgements.texts.gold()
    assert gold is not None
    effects = find_effects(judgements, {"gold": gold})
    differences = gold[judgements.left] - gold[judgements.right]
    scale = float(np.sqrt((differences**2).mean()))
    assert effects[0].estimate == pytest.approx(scale / TEMPERATURE, rel=0.15)
    assert effects[0].low < scale / TEMPERATURE < effects[0].high
    assert [effect.feature for effect in effects] == ["gold", "side"]
    assert not effects[1].is_alarming
    assert find_effects(judgements.take(np.arange(4)), {"gold": gold}) == []


def test_correlation_within_prompts_forgets_what_prompts_differ_in() -> None:
    prompts = np.array([0, 0, 1, 1])
    one, other = np.array([0.0, 1.0, 100.0, 101.0]), np.array([5.0, 4.0, 9.0, 8.0])
    assert correlate_within_prompts(one, other, prompts) == pytest.approx(-1.0)


def test_reports_need_something_to_measure() -> None:
    model = fit_preferences(judged(200), task_of("easy"), refit=False)
    card = {**model.card, "split": {**model.card["split"], "held_out": ["another prompt"]}}
    changed = RewardModel(model.kind, model.places, card)
    with pytest.raises(ConfigurationError, match="none of the held-out prompts"):
        make_report(changed, judged(200), task_of("easy"))
