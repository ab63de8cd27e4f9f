"""What is to be known of a reward model before an agent is trained on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.bradley_terry import SparseRows
from textgym.comparisons import Comparison
from textgym.davidson import LEFT, RIGHT, TIE, davidson_probabilities, fit_davidson
from textgym.errors import ConfigurationError
from textgym.preference_models.effects import Effect, correlate_within_prompts, find_effects, measure_features
from textgym.preference_models.judgements import Judgements, Problem, hash_comparisons, read_judgements
from textgym.preference_models.measures import (
    Calibration,
    brier_score,
    calibrate,
    correlate_ranks,
    error_of_mean,
    hits,
    log_loss,
)
from textgym.preference_models.model import RewardModel

Floats = NDArray[np.float64]

GROUP = 4  # texts of which the model picks one
GROUPS = 400
MARGIN_BINS = 5


@dataclass(frozen=True)
class Report:
    """What :func:`make_report` has found; every number is of the judgements named in ``data``.

    Attributes:
        model: Kind, members and how they are joined.
        data: Judgements, ties, texts, prompts.
        measures: Log-loss, Brier score, accuracy, ECE.
        ceiling: The accuracy of whoever knew every probability, as far as it is known; else None.
        ceiling_from: What it was computed from.
        calibration: Predicted and observed shares.
        margins: Size of the difference in reward -> accuracy.
        drivers: What moves the judges, given the true score where that is known: an alarm.
        leftovers: What moves the judges in ways that the model does not explain.
        correlations: Feature -> correlation with the reward (and the true score) among texts of one prompt.
        members: Accuracy of each member, and their standard deviation.
        disagreement: Rank correlation of the members' disagreement with the model's error.
        best_of: True score of the model's pick of four texts, of the best and of the average one.
        judges: What the members have learned of the judges.
        remarks: What a reader should know first.
    """

    model: dict[str, Any]
    data: dict[str, int]
    measures: dict[str, float]
    ceiling: float | None
    ceiling_from: str
    calibration: Calibration
    margins: list[dict[str, float]]
    drivers: list[Effect]
    leftovers: list[Effect]
    correlations: dict[str, dict[str, float]]
    members: dict[str, Any]
    disagreement: dict[str, float]
    best_of: dict[str, float]
    judges: list[dict[str, Any]]
    remarks: list[str] = field(default_factory=list)

    @property
    def alarms(self) -> list[str]:
        """The features that drive the judges although they should not matter."""
        return [effect.feature for effect in self.drivers if effect.is_alarming]

    def as_json(self) -> dict[str, Any]:
        """All of it in values that JSON knows."""
        return {**asdict(self), "alarms": self.alarms}


def make_report(model: RewardModel, comparisons: Iterable[Comparison], problem: Problem, *, seed: int = 0) -> Report:
    """Measures a reward model on comparisons.

    Where they are those that it was fitted to, only the held-out prompts count, if the model did not learn from them in
    the end; otherwise a remark says so.

    Args:
        model: What is measured.
        comparisons: What somebody said.
        problem: The task of the texts; its true score is asked where it has one.
        seed: Decides which texts the best of four are chosen from.

    Raises:
        ConfigurationError: if there is nothing to measure.
    """
    given = list(comparisons)
    judgements, remarks = _choose(model, given, read_judgements(given, problem))
    rows = np.unique(np.concatenate([judgements.left, judgements.right]))
    scores, gold = model.member_scores(judgements.texts), judgements.texts.gold()
    rewards = model.join(scores)
    names = [judgements.names[place] for place in judgements.annotators.tolist()]
    table = model.predict(scores[:, judgements.left], scores[:, judgements.right], names)
    features = measure_features(judgements.texts)
    ceiling, ceiling_from = _find_ceiling(judgements, gold)
    if gold is None:
        remarks.append(
            "No true score is known: what drives the judges may be their taste, and only you can tell it from a bias."
        )
    return Report(
        model={"kind": model.kind, "members": len(model.places), "aggregate": model.aggregate},
        data={
            "judgements": len(judgements),
            "ties": int((judgements.outcomes == TIE).sum()),
            "texts": len(rows),
            "prompts": len(np.unique(judgements.prompts)),
        },
        measures=_measure(table, judgements),
        ceiling=ceiling,
        ceiling_from=ceiling_from,
        calibration=calibrate(table, judgements.outcomes),
        margins=_by_margin(rewards, table, judgements),
        drivers=find_effects(judgements, features, [] if gold is None else [gold]),
        leftovers=find_effects(judgements, features, [rewards]),
        correlations=_correlate(judgements, rows, features, rewards, gold),
        members=_compare_members(model, scores, judgements, names),
        disagreement=_relate_disagreement(scores, table, judgements, rewards, gold),
        best_of=_pick(judgements, rows, rewards, gold, np.random.default_rng(seed)),
        judges=[place.judging.as_json() for place in model.places],
        remarks=remarks,
    )


def _choose(model: RewardModel, given: list[Comparison], judgements: Judgements) -> tuple[Judgements, list[str]]:
    """The judgements that may measure the model, and what is to be said of them."""
    card = model.card
    if "data" not in card or card["data"]["hash"] != hash_comparisons(given):
        return judgements, []
    split = card["split"]
    if split["held_out"] and not split["refitted"]:
        texts = judgements.texts.prompts.texts
        held = np.array([texts[row] in split["held_out"] for row in judgements.prompts.tolist()])
        if not held.any():
            raise ConfigurationError("none of the held-out prompts on the model's card stands in these comparisons")
        return judgements.take(held), [f"Only the {len(split['held_out'])} held-out prompts count."]
    return judgements, [
        "The model was fitted to these very comparisons, so the numbers are too good; its card has those of held-out "
        "prompts. For a report on them, fit with --no-refit, or report on fresh comparisons."
    ]


def _measure(table: Floats, judgements: Judgements) -> dict[str, float]:
    right = hits(table, judgements.outcomes)
    return {
        "log loss": log_loss(table, judgements.outcomes),
        "Brier": brier_score(table, judgements.outcomes),
        "accuracy": float(right.mean()),
        "its standard error": error_of_mean(right, judgements.pairs),
        "ECE": calibrate(table, judgements.outcomes).error,
    }


def _find_ceiling(judgements: Judgements, gold: Floats | None) -> tuple[float | None, str]:
    """The highest accuracy that anybody can have."""
    outcomes = judgements.outcomes
    if gold is not None and (outcomes != TIE).any():
        differences = gold[judgements.left] - gold[judgements.right]
        rows = np.arange(len(judgements))
        table = SparseRows(rows, np.zeros(len(rows), dtype=np.int64), differences, (len(rows), 1))
        fit = fit_davidson(table, outcomes, side={LEFT, RIGHT} <= set(outcomes.tolist()), penalty=1e-3, tolerance=1e-6)
        chances = davidson_probabilities(fit.weights[0] * differences + fit.side, fit.tie)
        return float(chances.max(axis=1).mean()), "the true score, and judges as reliable as these were"
    agreement = _agree(judgements)
    if agreement is None:
        return None, "unknown: no true score, and no pair was judged twice"
    kinds = 3 if (outcomes == TIE).any() else 2
    # Of all chances with this sum of squares, those with one large and the rest equal have the largest maximum.
    root = max(0.0, (agreement - 1.0 / kinds) * (kinds - 1.0) * kinds) ** 0.5
    return (1.0 + root) / kinds, f"an upper bound: two judgements of one pair agree in {agreement:.1%} of cases"


def _agree(judgements: Judgements) -> float | None:
    """How often two judgements of one pair agree, over all such two; None where there are none."""
    sides = np.where(judgements.left <= judgements.right, 1, -1) * judgements.outcomes
    counts = np.zeros((int(judgements.pairs.max()) + 1, 3))
    np.add.at(counts, (judgements.pairs, sides + 1), 1.0)
    totals = counts.sum(axis=1)
    both = (totals * (totals - 1)).sum()
    return float((counts * (counts - 1)).sum() / both) if both else None


def _by_margin(rewards: Floats, table: Floats, judgements: Judgements) -> list[dict[str, float]]:
    sizes = np.abs(rewards[judgements.left] - rewards[judgements.right])
    right = hits(table, judgements.outcomes)
    groups = np.array_split(np.argsort(sizes, kind="stable"), min(MARGIN_BINS, len(sizes)))
    return [
        {
            "from": float(sizes[rows].min()),
            "to": float(sizes[rows].max()),
            "judgements": float(len(rows)),
            "accuracy": float(right[rows].mean()),
        }
        for rows in groups
    ]


def _correlate(
    judgements: Judgements, rows: NDArray[np.int64], features: dict[str, Floats], rewards: Floats, gold: Floats | None
) -> dict[str, dict[str, float]]:
    scores = {"reward": rewards} if gold is None else {"reward": rewards, "gold": gold}
    prompts = judgements.texts.prompt_indices[rows]
    found = {
        name: {kind: correlate_within_prompts(score[rows], values[rows], prompts) for kind, score in scores.items()}
        for name, values in features.items()
    }
    if gold is not None:
        found["true score"] = {"reward": correlate_within_prompts(rewards[rows], gold[rows], prompts), "gold": 1.0}
    return found


def _compare_members(model: RewardModel, scores: Floats, judgements: Judgements, names: list[str]) -> dict[str, Any]:
    accuracies = []
    for place, row in zip(model.places, scores, strict=True):
        table = place.judging.probabilities(row[judgements.left], row[judgements.right], names)
        accuracies.append(float(hits(table, judgements.outcomes).mean()))
    return {"accuracy": accuracies, "spread": float(np.std(accuracies))}


def _relate_disagreement(
    scores: Floats, table: Floats, judgements: Judgements, rewards: Floats, gold: Floats | None
) -> dict[str, float]:
    """Whether the model errs more where its members disagree; nothing for a single member."""
    if len(scores) == 1:
        return {}
    doubt = (scores[:, judgements.left] - scores[:, judgements.right]).std(axis=0)
    chances = table[np.arange(len(table)), 1 - judgements.outcomes]
    found = {"with the miss of a judgement": correlate_ranks(doubt, -chances)}
    if gold is not None:
        ours, truth = (score[judgements.left] - score[judgements.right] for score in (rewards, gold))
        slope = float((ours * truth).sum() / max((ours**2).sum(), 1e-12))
        found["with the error against gold"] = correlate_ranks(doubt, np.abs(truth - slope * ours))
    return found


def _pick(
    judgements: Judgements, rows: NDArray[np.int64], rewards: Floats, gold: Floats | None, rng: np.random.Generator
) -> dict[str, float]:
    """True score of what the model picks among four texts of one prompt; nothing where it is not known."""
    prompts = judgements.texts.prompt_indices[rows]
    kinds = [rows[prompts == prompt] for prompt in np.unique(prompts).tolist()]
    kinds = [kind for kind in kinds if len(kind) >= GROUP]
    if gold is None or not kinds:
        return {}
    drawn = [rng.choice(kinds[number % len(kinds)], GROUP, replace=False) for number in range(GROUPS)]
    groups = np.stack(drawn)
    picked = gold[groups[np.arange(GROUPS), rewards[groups].argmax(axis=1)]]
    best, mean = gold[groups].max(axis=1), gold[groups].mean(axis=1)
    gained = float((best - mean).sum())
    return {
        "pick": float(picked.mean()),
        "best": float(best.mean()),
        "average": float(mean.mean()),
        "share of the way": float((picked - mean).sum() / gained) if gained > 0 else 1.0,
        "groups": float(GROUPS),
    }
