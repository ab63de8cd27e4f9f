"""Reward models: what they read, their loss against a loop, splits, fits, scores alone and together, ensembles."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judging import TEMPERATURE, judged, oracle, task_of

from textgym.annotators import BoltzmannAnnotator
from textgym.comparisons import Comparison
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError, UnknownNameError
from textgym.preference_models import FitSettings, RewardModel, Texts, fit_preferences, read_judgements, split_by_prompt
from textgym.preference_models.features import Bag, read_sequences
from textgym.preference_models.fitting import quick_measures
from textgym.prompts import PromptTable
from textgym.tokenizers import WordTokenizer

NETWORKS = ("mlp", "gru", "transformer")
WORDS = WordTokenizer(["a", "b", "c"])
A, B, C, EOS = range(4)
PAD, SEP, END = 5, 6, 7
TABLE = PromptTable([Prompt("a"), Prompt("b c")], WORDS)
QUICK: dict[str, Any] = {"epochs": 1, "width": 16}


def batch(prompts: list[int], texts: list[list[int]], *, width: int = 1) -> EpisodeBatch:
    return EpisodeBatch.from_ids(TABLE, WORDS, prompts, texts, max_new_tokens=width)


# ---- what networks read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 9])
def test_sequences_are_prompt_sign_text_and_sign(width: int) -> None:
    found = read_sequences(batch([0, 1, 1, 0], [[B, EOS], [A, B], [EOS], []], width=width)).tolist()
    assert found == [
        [A, SEP, B, END, PAD, PAD],
        [B, C, SEP, A, B, END],
        [B, C, SEP, END, PAD, PAD],
        [A, SEP, END, PAD, PAD, PAD],
    ]


def test_ends_of_turns_inside_a_text_stay() -> None:
    assert read_sequences(batch([0], [[A, EOS, B, EOS]])).tolist() == [[A, SEP, A, EOS, B, END]]


def count_slowly(prompt: int, ids: list[int]) -> Counter[Any]:
    """The definition, n-gram by n-gram."""
    words = [*(index for index in ids if index != EOS), END]
    prompt_words = [("prompt", index) for index in TABLE.ids[prompt].tolist() if index != PAD]
    return Counter([*prompt_words, *(("word", word) for word in words), *pairwise([SEP, *words])])


def test_bags_hold_the_n_grams() -> None:
    texts = batch([0, 1, 1], [[A, B, EOS], [A, B], [C, C, C, EOS]])
    bag = Bag.of(texts, minimum_count=1)
    found = bag.read(texts)
    slow = [count_slowly(row, ids) for row, ids in zip([0, 1, 1], [[A, B], [A, B], [C, C, C]], strict=True)]
    assert bag.size == len(set().union(*slow)) + 2
    padding = bag.size - 1
    counts = [Counter(place for place in row if place != padding) for row in found.tolist()]
    assert [sorted(row.values()) for row in counts] == [sorted(row.values()) for row in slow]
    assert len(set(counts[0]) & set(counts[1])) == len(set(slow[0]) & set(slow[1]))
    assert [row.count(padding) for row in bag.read(texts.take([0])).tolist()] == [found[0].tolist().count(padding)]


def test_seldom_and_unknown_n_grams_share_a_place() -> None:
    texts = batch([0, 0, 0], [[A, EOS], [A, EOS], [B, EOS]])
    bag = Bag.of(texts, minimum_count=2)
    others = bag.size - 2
    assert (bag.read(texts)[:2] != others).all()
    assert (bag.read(texts)[2] == others).sum() == 3  # b, its beginning, and its end
    assert Bag.of(texts, minimum_count=99).read(texts).max() == 1


# ---- judgements and their split -------------------------------------------------------------------------------------


def said(prompt: str, left: str, right: str, choice: Any, **more: Any) -> Comparison:
    return Comparison(prompt=prompt, left=left, right=right, choice=choice, **more)


def test_judgements_are_arrays_over_distinct_texts() -> None:
    given = [
        said("a", "b", "c", "left", annotator="ann", strength=2),
        said("a", "c", "b", "tie", annotator="bob"),
        said("b c", "b", "a", "both_bad", left_ids=(B, EOS), right_ids=(A, EOS)),
        said("a", "b", "c", "skip"),
        said("a", "b", "", "right"),
    ]
    found = read_judgements(given, Texts(WORDS, TABLE))
    assert [found.texts.ids(row) for row in range(len(found.texts))] == [[B, EOS], [C, EOS], [B, EOS], [A, EOS], [EOS]]
    assert found.texts.prompt_texts == ["a", "a", "b c", "b c", "a"]
    assert (found.left.tolist(), found.right.tolist()) == ([0, 1, 2, 0], [1, 0, 3, 4])
    assert found.outcomes.tolist() == [1, 0, 0, -1]
    assert found.wins.tolist() == [1.0, 0.5, 0.5, 0.0]
    assert found.strengths.tolist() == [2, 0, 0, 0]
    assert [found.names[place] for place in found.annotators.tolist()] == ["ann", "bob", "", ""]
    assert found.pairs[0] == found.pairs[1]
    assert len(set(found.pairs.tolist())) == 3
    assert found.skipped == 1


def test_prompts_of_others_make_a_table_of_their_own() -> None:
    with pytest.warns(UserWarning, match="outside the vocabulary"):
        found = read_judgements([said("c", "was", "great", "left")], task_of("tiny"))
    assert found.texts.prompts.texts == ("c",)
    assert not found.texts.has_gold


def test_ids_of_another_vocabulary_and_nothing_at_all_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="do not belong"):
        read_judgements([said("a", "a", "b", "left", left_ids=(99,), right_ids=(1,))], Texts(WORDS, TABLE))
    with pytest.raises(ConfigurationError, match="all 1 comparisons were skipped: expected"):
        read_judgements([said("a", "a", "b", "skip")], Texts(WORDS, TABLE))
    with pytest.raises(ConfigurationError, match="there are no comparisons"):
        read_judgements([], Texts(WORDS, TABLE))


def test_ids_that_spell_another_text_are_refused() -> None:
    right = said("a", "b", "c", "left", left_ids=(B, EOS), right_ids=(C,))
    assert len(read_judgements([right, said("a", "b", "zzz", "left")], Texts(WORDS, TABLE))) == 2
    wrong = said("a", "b", "great", "left", left_ids=(B, EOS), right_ids=(C, EOS))
    with pytest.raises(ConfigurationError, match=r"the token ids \[2, 3\] of 'great' spell 'c' in .*name the"):
        read_judgements([right, wrong], Texts(WORDS, TABLE))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_no_prompt_and_no_text_is_on_both_sides(seed: int, share: float) -> None:
    judgements = read_judgements(judged(300), task_of("easy"))
    split = split_by_prompt(judgements, np.random.default_rng(seed), share=share)
    sides = [judgements.take(rows) for rows in (split.train, split.test)]
    assert all(len(side) for side in sides)
    assert (split.train ^ split.test).all()
    prompts, texts = ([set(values(side)) for side in sides] for values in (_prompts, _texts))
    assert not prompts[0] & prompts[1]
    assert not texts[0] & texts[1]
    assert set(split.held_out) == {judgements.texts.prompts.texts[row] for row in prompts[1]}


def _prompts(side: Any) -> list[int]:
    return side.prompts.tolist()


def _texts(side: Any) -> list[int]:
    return [*side.left.tolist(), *side.right.tolist()]


def test_one_prompt_alone_is_split_by_text() -> None:
    judgements = read_judgements(judged(300, level="tiny"), task_of("tiny"))
    split = split_by_prompt(judgements, np.random.default_rng(0), share=0.3)
    train, test = (set(_texts(judgements.take(rows))) for rows in (split.train, split.test))
    assert split.unit == "text"
    assert train
    assert test
    assert not train & test
    assert not (split.train | split.test).all()


def test_what_is_held_out_is_not_learned_from() -> None:
    given = judged(400)
    card = fit_preferences(given, task_of("easy"), refit=False).card
    held = set(card["split"]["held_out"])
    assert held
    assert card["metrics"]["held out"]["judgements"] == sum(item.prompt in held for item in given)
    without = [item for item in given if item.prompt not in held]
    kept = fit_preferences(given, task_of("easy"), refit=False).score(read_judgements(given, task_of("easy")).texts)
    blind = fit_preferences(without, task_of("easy"), holdout=0.0).score(read_judgements(given, task_of("easy")).texts)
    assert np.array_equal(kept, blind)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_cannot_be_is_refused(share: float) -> None:
    with pytest.raises(ConfigurationError, match="holdout"):
        fit_preferences(judged(50), task_of("easy"), holdout=share)


# ---- the loss, against a loop ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [0.0, 0.7])
def test_the_loss_of_a_batch_is_that_of_a_loop_over_pairs(ties: float) -> None:
    torch = pytest.importorskip("torch")
    from textgym.preference_models.networks import BagNetwork
    from textgym.preference_models.training import Batch, Judges, batch_loss

    given = [replace(item, annotator=f"judge {number % 3}") for number, item in enumerate(judged(120, ties=ties))]
    given = [replace(item, strength=1 + number % 3) if item.is_decided else item for number, item in enumerate(given)]
    judgements = read_judgements(given, task_of("easy"))
    settings = FitSettings(margin=0.3, device="cpu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bag = Bag.of(judgements.texts, minimum_count=2)
        network, judges = BagNetwork(bag.size, 8), Judges(judgements)
        with torch.no_grad():
            judges.side.fill_(0.4)
            judges.reliabilities.copy_(torch.tensor([0.5, -0.2, 0.0]))
    inputs = torch.from_numpy(bag.read(judgements.texts))
    scores = [network(inputs[row : row + 1]).item() for row in range(len(inputs))]
    tie = 0.0 if judges.tie is None else judges.tie.exp().item()
    logs = np.array([0.5, -0.2, 0.0]) - 0.1
    total = 0.0
    for row, item in enumerate(given):
        margin = math.exp(logs[row % 3]) * (scores[judgements.left[row]] - scores[judgements.right[row]]) + 0.4
        margin -= 0.3 * (item.strength or 0) * {"left": 1, "right": -1}.get(item.choice, 0)
        weights = {"left": math.exp(margin / 2), "right": math.exp(-margin / 2), "tie": tie}
        total -= math.log(weights[item.choice] / sum(weights.values()))
    whole = Batch.of(judgements, settings, torch.device("cpu"))
    assert (ties > 0) == (judges.tie is not None)
    assert batch_loss(network, judges, inputs, whole).item() == pytest.approx(total / len(given), abs=1e-5)
    sums = np.array([scores[one] + scores[other] for one, other in zip(judgements.left, judgements.right, strict=True)])
    centred = batch_loss(network, judges, inputs, whole, centering=0.1).item()
    assert centred == pytest.approx(total / len(given) + 0.1 * float((sums**2).mean()), abs=1e-5)


# ---- fits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ngram", *NETWORKS])
def test_every_kind_learns(kind: str) -> None:
    if kind != "ngram":
        pytest.importorskip("torch")
    task = task_of("tiny")
    quick: dict[str, Any] = {} if kind in ("ngram", "mlp") else {"width": 16, "learning_rate": 1e-2}
    model = fit_preferences(judged(500, level="tiny"), task, kind=kind, holdout=0.0, **quick)
    fresh = read_judgements(judged(500, level="tiny", seed=1), task)
    found, best = (quick_measures(one, fresh)["accuracy"] for one in (model, oracle(task)))
    assert found > best - (0.06 if kind in ("ngram", "mlp") else 0.1)
    assert best > 0.75
    ours, gold = model.score(fresh.texts), fresh.texts.gold()
    assert gold is not None
    assert np.corrcoef(ours, gold)[0, 1] > 0.75


@pytest.mark.parametrize("kind", ["ngram", "mlp"])
def test_rewards_have_mean_0_and_spread_1_over_the_training_texts(kind: str) -> None:
    model = fit_preferences(judged(300), task_of("easy"), kind=kind, ensemble=2, **_quick(kind))
    scores = model.member_scores(read_judgements(judged(300), task_of("easy")).texts)
    assert np.allclose(scores.mean(axis=1), 0.0, atol=1e-3)  # the weights of n-grams are rounded
    assert np.allclose(scores.std(axis=1), 1.0, atol=1e-3)


def _quick(kind: str) -> dict[str, Any]:
    return {} if kind == "ngram" else QUICK


@pytest.mark.parametrize("kind", ["ngram", "mlp"])
def test_side_ties_and_reliability_are_learned(kind: str) -> None:
    task = task_of("tiny")
    assert task.gold is not None
    given = _biased(task, side=0.6, tie=0.5)
    more: dict[str, Any] = {} if kind == "ngram" else {"epochs": 4, "batch_size": 64}
    judging = fit_preferences(given, task, kind=kind, holdout=0.0, **more).places[0].judging
    assert judging.side == pytest.approx(0.6, abs=0.1)
    assert judging.tie == pytest.approx(0.5, rel=0.1)
    careful, careless = judging.reliabilities["careful"], judging.reliabilities["careless"]
    assert careful * careless == pytest.approx(1.0, abs=1e-6)
    assert careful / careless == pytest.approx(4.0, rel=0.25)


def _biased(task: Any, *, side: float, tie: float, count: int = 5_000) -> list[Comparison]:
    """Votes of a careful and a careless judge who favour the left side, by the model itself."""
    rng = np.random.default_rng(3)
    given = judged(1_000, level="tiny")
    texts = read_judgements(given, task)
    rows = rng.integers(len(texts), size=count)
    gold = task.gold(texts.texts)
    factors = np.where(np.arange(count) % 2 == 0, 2.0, 0.5)
    half = 0.5 * (factors * (gold[texts.left[rows]] - gold[texts.right[rows]]) + side)
    weights = np.stack([np.exp(half), np.full(count, tie), np.exp(-half)], axis=1)
    chances = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    choices = (rng.random((count, 1)) > chances).sum(axis=1).tolist()
    return [
        replace(
            given[row],
            choice=("left", "tie", "right")[min(choice, 2)],  # type: ignore[arg-type]
            annotator="careful" if number % 2 == 0 else "careless",
        )
        for number, (row, choice) in enumerate(zip(rows.tolist(), choices, strict=True))
    ]


def test_strong_preferences_can_ask_for_more() -> None:
    pytest.importorskip("torch")
    pairs = [("b", "c", 3), ("c", "b", None)]  # b and c win as often
    given = [said("a", one, other, "left", strength=strength) for one, other, strength in pairs * 20]
    given += [item.mirrored() for item in given]
    model = fit_preferences(given, Texts(WORDS, TABLE), kind="mlp", holdout=0.0, margin=1.0, epochs=20, minimum_count=1)
    better, worse = model.score(batch([0, 0], [[B, EOS], [C, EOS]]))
    assert better > worse
    with pytest.raises(ConfigurationError, match="margin"):
        fit_preferences(given, Texts(WORDS, TABLE), holdout=0.0, margin=1.0)


@pytest.mark.parametrize("kind", ["ngram", "mlp"])
def test_a_fit_repeats_bit_for_bit_and_leaves_global_chance_alone(kind: str) -> None:
    texts = read_judgements(judged(200), task_of("easy")).texts
    one, other, third = (
        fit_preferences(judged(200), task_of("easy"), kind=kind, ensemble=2, seed=seed, **_quick(kind)).score(texts)
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one, other)
    assert not np.array_equal(one, third)
    if kind == "mlp":
        import torch

        state = torch.random.get_rng_state()
        fit_preferences(judged(50), task_of("easy"), kind=kind, **QUICK)
        assert torch.equal(state, torch.random.get_rng_state())


# ---- scores ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aggregate", ["mean", "worst", "mean_minus_variance"])
@pytest.mark.parametrize("kind", ["ngram", *NETWORKS])
def test_scores_are_the_same_alone_and_together(kind: str, aggregate: str) -> None:
    if kind != "ngram":
        pytest.importorskip("torch")
    task = task_of("easy")
    model = fit_preferences(judged(60), task, kind=kind, ensemble=2, holdout=0.0, **_quick(kind)).combined(aggregate)
    texts = read_judgements(judged(60), task).texts.take(range(25))
    together = model.score(texts)
    alone = np.concatenate([model.score(texts.take([row])) for row in range(len(texts))])
    wide = EpisodeBatch.from_ids(
        task.prompts, task.tokenizer, texts.prompt_indices.tolist(), [texts.ids(row) for row in range(25)],
        max_new_tokens=40,
    )  # fmt: skip
    for other in (alone, model.score(wide)):
        assert np.array_equal(together, other) if kind == "ngram" else np.allclose(together, other, rtol=0, atol=1e-9)
    assert len(set(together.tolist())) > 5


def test_ensembles_are_made_one_in_three_ways() -> None:
    model = fit_preferences(judged(200), task_of("easy"), ensemble=4)
    texts = read_judgements(judged(200), task_of("easy")).texts
    scores = model.member_scores(texts)
    assert scores.std(axis=0).mean() > 0.05
    assert np.allclose(model.score(texts), scores.mean(axis=0))
    assert np.allclose(model.combined("worst").score(texts), scores.min(axis=0))
    cautious = model.combined("mean_minus_variance", 2.0).score(texts)
    assert np.allclose(cautious, np.maximum(scores.mean(axis=0) - 2.0 * scores.var(axis=0), -10.0))
    assert (model.combined("mean_minus_variance", 1e5).score(texts) >= -10.0).all()


def test_members_predict_with_their_own_view_of_the_judges() -> None:
    model = fit_preferences(judged(200), task_of("easy"), ensemble=2)
    judgements = read_judgements(judged(200), task_of("easy"))
    left, right = (judgements.texts.take(rows) for rows in (judgements.left, judgements.right))
    table = model.probabilities(left, right)
    assert np.allclose(table.sum(axis=1), 1.0)
    margins = [
        place.judging.sharpness * (one - other) + place.judging.side
        for place, one, other in zip(model.places, model.member_scores(left), model.member_scores(right), strict=True)
    ]
    assert np.allclose(table[:, 0], np.mean([1 / (1 + np.exp(-margin)) for margin in margins], axis=0))
    assert (table[:, 1] == 0).all()


def test_rewards_are_clipped() -> None:
    model = fit_preferences(judged(100), task_of("easy"), limit=0.5)
    scores = model.score(read_judgements(judged(100), task_of("easy")).texts)
    assert (model.range, scores.min(), scores.max()) == ((-0.5, 0.5), -0.5, 0.5)


def test_another_vocabulary_is_refused() -> None:
    for kind in ("ngram", "mlp"):
        with pytest.raises(ConfigurationError, match="another vocabulary"):
            fit_preferences(judged(60), task_of("easy"), kind=kind, **_quick(kind)).score(batch([0], [[A, EOS]]))


@pytest.mark.parametrize(
    ("wrong", "error", "what"),
    [
        ({"kind": "mpl"}, UnknownNameError, "Did you mean 'mlp'"),
        ({"ensemble": 0}, ConfigurationError, "ensemble=0"),
        ({"epoch": 2}, UnknownNameError, "Did you mean 'epochs'"),
        ({"epochs": 0}, ConfigurationError, "epochs=0"),
        ({"penalty": 0.0}, ConfigurationError, "penalty=0.0"),
        ({"weight_decay": -1.0}, ConfigurationError, "of 0 or more"),
        ({"width": True}, ConfigurationError, "width=True"),
        ({"kind": "transformer", "width": 6}, ConfigurationError, "multiple of 4"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any], error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        fit_preferences(judged(50), task_of("easy"), **wrong)


def test_nothing_but_ties_teaches_nothing() -> None:
    tied = [replace(item, choice="tie") for item in judged(20)]
    with pytest.raises(ConfigurationError, match="none of which prefers"):
        fit_preferences(tied, task_of("easy"))
    model = fit_preferences([*tied, *judged(50)], task_of("easy"))
    assert model.card["data"]["ties"] == 20
    with pytest.raises(UnknownNameError, match="aggregate"):
        model.combined("median")
    with pytest.raises(ConfigurationError, match="coefficient"):
        model.combined("mean", -1.0)


def test_all_that_is_linear_needs_no_torch(tmp_path: Path) -> None:
    fit_preferences(judged(60), task_of("easy"), ensemble=2).save(tmp_path / "model")
    code = (
        "import sys, gymnasium as gym\n"
        f"env = gym.make('TextGen-v0', reward={str(tmp_path / 'model')!r})\n"
        "env.reset(seed=0); env.step(env.unwrapped.eos_id); print('torch' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", f"import textgym\n{code}"], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


def test_a_model_in_memory_is_a_reward() -> None:
    model = fit_preferences(judged(60), task_of("easy"))
    texts = read_judgements(judged(60), task_of("easy")).texts
    assert isinstance(model, RewardModel)
    assert np.array_equal(model(texts), model.score(texts))
    assert BoltzmannAnnotator(model, TEMPERATURE).score(texts).shape == (len(texts),)
