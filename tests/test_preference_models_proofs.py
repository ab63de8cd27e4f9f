"""Long proofs about reward models: how fast they learn, that ensembles help, that alarms are silent without a cause."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judging import TEMPERATURE, flipped, judged, task_of
from numpy.typing import NDArray

from textgym.benchmarks.stats import paired_difference
from textgym.bradley_terry import preference_probability
from textgym.comparisons import Comparison
from textgym.episodes import EpisodeBatch
from textgym.exact import solve
from textgym.preference_models import fit_preferences, read_judgements
from textgym.preference_models.effects import find_effects, measure_features
from textgym.rewards.preference import PreferenceReward
from textgym.task import Task

pytestmark = pytest.mark.slow

BETA = 0.05  # of the tilted policy: near to the best text

Floats = NDArray[np.float64]


def test_an_epoch_of_ten_thousand_pairs_is_far_faster_than_a_loop_over_pairs() -> None:
    pytest.importorskip("torch")
    task, given = task_of("easy"), judged(10_000)
    fit_preferences(given[:100], task, kind="mlp", epochs=1)  # imports torch
    whole = _seconds(task, given, batch_size=32)
    loop = _seconds(task, given[:500], batch_size=1) * 20
    assert whole < 0.25 * loop, f"{whole:.2f} s, pair by pair {loop:.2f} s"


def _seconds(task: Task, given: Sequence[Comparison], *, batch_size: int) -> float:
    """Time of a fit of one epoch, reading and measuring included."""
    began = time.perf_counter()
    model = fit_preferences(given, task, kind="mlp", epochs=1, width=64, holdout=0.0, batch_size=batch_size)
    assert model.card["data"]["judgements"] == len(given)
    return time.perf_counter() - began


# ---- ensembles ------------------------------------------------------------------------------------------------------


def all_texts(level: str) -> list[EpisodeBatch]:
    """Every text there is, for each training prompt."""
    task = task_of(level)
    words, budget = len(task.constraints[0].words), task.budget  # type: ignore[attr-defined]
    end, padding = task.tokenizer.eos_ids[0], task.tokenizer.vocab_size
    groups = []
    for length in range(budget + 1):
        group = np.full((words**length, budget), padding, dtype=np.int32)
        for place in range(length):
            group[:, place] = np.arange(len(group)) // words ** (length - 1 - place) % words
        group[:, length : length + 1] = end
        groups.append(group)
    texts = np.concatenate(groups)
    lengths, codes = (texts != padding).sum(axis=1), np.where((texts == end).any(axis=1), 3, 1).astype(np.uint8)
    keys = np.arange(len(texts), dtype=np.uint64)
    batches = []
    for row in task.prompts.rows("train" if task.prompts.has_splits else "all").tolist():
        rows = np.full(len(texts), row)
        tokens = np.hstack([task.prompts.ids[rows], texts])
        batches.append(EpisodeBatch(tokens, lengths, codes, keys, rows, task.prompts, task.tokenizer, gold=task.gold))
    return batches


def final_gold(batches: Sequence[EpisodeBatch], rewards: Sequence[Floats]) -> float:
    """True score of the policy that is tilted to these rewards as far as it goes, by exact sums over all texts."""
    found = []
    for batch, reward in zip(batches, rewards, strict=True):
        weights, gold = np.exp((reward - reward.max()) / BETA), batch.gold()
        assert gold is not None
        found.append(float((weights * gold).sum() / weights.sum()))
    return float(np.mean(found))


def test_an_ensemble_that_fears_disagreement_ends_better_in_the_worst_case() -> None:
    batches, task = all_texts("easy"), task_of("easy")
    single, cautious = [], []
    for seed in range(10):
        given = flipped(judged(1_000, seed=seed), 0.25, seed)
        one = fit_preferences(given, task, holdout=0.0, seed=seed)
        many = fit_preferences(given, task, holdout=0.0, seed=seed, ensemble=5).combined("mean_minus_variance")
        for model, ends in ((one, single), (many, cautious)):
            ends.append(final_gold(batches, [model.score(batch) for batch in batches]))
    rng = np.random.default_rng(0)
    worst = paired_difference([cautious], [single], rng, statistic=_worst, confidence=0.9)
    average = paired_difference([cautious], [single], rng, statistic=_mean)
    note = f"single {np.round(single, 2)}, cautious {np.round(cautious, 2)}, worst {worst}, mean {average}"
    assert min(cautious) > min(single), note
    assert worst.low > 0.0, note  # one side of 90 %: p < 0.05
    assert average.low > 0.0, note


def _worst(values: Floats) -> Floats:
    return np.asarray(values.min(axis=-1))


def _mean(values: Floats) -> Floats:
    return np.asarray(values.mean(axis=-1))


def test_no_text_is_missing_here(tmp_path: Path) -> None:
    fit_preferences(judged(300, level="tiny"), task_of("tiny"), holdout=0.0).save(tmp_path / "model")
    reward = PreferenceReward(str(tmp_path / "model"))
    batches = all_texts("tiny")
    best = solve("TextGen-v0", level="tiny", reward=str(tmp_path / "model"))
    assert max(float(reward(batch).max()) for batch in batches) == pytest.approx(best.optimal_return, abs=1e-9)


# ---- alarms ---------------------------------------------------------------------------------------------------------


def alarms(given: Sequence[Comparison]) -> list[str]:
    """What is said to drive the judges."""
    judgements = read_judgements(given, task_of("easy"))
    gold = judgements.texts.gold()
    assert gold is not None
    effects = find_effects(judgements, measure_features(judgements.texts), [gold])
    return [effect.feature for effect in effects if effect.is_alarming]


def test_clean_labels_raise_no_alarm_and_length_is_named() -> None:
    task, given = task_of("easy"), judged(1_000)
    judgements = read_judgements(given, task)
    gold, lengths = judgements.texts.gold(), judgements.texts.lengths
    assert gold is not None
    features = measure_features(judgements.texts)
    left, right = gold[judgements.left], gold[judgements.right]
    chances = preference_probability(left, right, temperature=TEMPERATURE)
    longer = np.sign(lengths[judgements.left] - lengths[judgements.right])
    silent = named = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        outcomes = np.where(rng.random(1_000) < chances, 1, -1)
        clean = replace(judgements, outcomes=outcomes)
        silent += not any(effect.is_alarming for effect in find_effects(clean, features, [gold]))
        driven = (rng.random(1_000) < 0.3) & (longer != 0)
        biased = replace(judgements, outcomes=np.where(driven, longer, outcomes))
        effects = {effect.feature: effect for effect in find_effects(biased, features, [gold])}
        named += effects["length"].low > 0.0
    assert silent >= 190, silent  # 95 %
    assert named >= 190, named


def test_reports_of_many_seeds_are_silent_for_simulated_judges() -> None:
    assert sum(not alarms(judged(400, seed=seed)) for seed in range(40)) >= 36
