"""What drives choices besides the quality of a text: length, repetition, the first token, the side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from textgym.bradley_terry import sigmoid
from textgym.davidson import TIE
from textgym.episodes import EpisodeBatch
from textgym.preference_models.judgements import Judgements
from textgym.preference_models.measures import correlate

Floats = NDArray[np.float64]

LEAST_SHARE = 0.05  # of the texts that must begin with a token, or not, before it is looked at
MOST_TOKENS = 4
_RIDGE = 1e-3


@dataclass(frozen=True)
class Effect:
    """How much a feature moves the choice, in log-odds for a difference of one standard deviation.

    Attributes:
        feature: "length", "repetition", "first token ..." or "side".
        estimate: Above 0 where more of it wins, or the left side does.
        low: Lower end of the interval, which holds for all features together.
        high: Upper end.
    """

    feature: str
    estimate: float
    low: float
    high: float

    @property
    def is_alarming(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0.0 or self.high < 0.0


def measure_features(batch: EpisodeBatch) -> dict[str, Floats]:
    """Feature -> ``(B,)`` values: tokens, share of tokens that stood in the text before, and frequent first tokens."""
    rows = [[index for index in batch.ids(row) if index not in batch.tokenizer.eos_ids] for row in range(len(batch))]
    found = {
        "length": np.array([float(len(ids)) for ids in rows]),
        "repetition": np.array([1.0 - len(set(ids)) / len(ids) if ids else 0.0 for ids in rows]),
    }
    counts = Counter(ids[0] for ids in rows if ids)
    least, most = LEAST_SHARE * len(rows), (1.0 - LEAST_SHARE) * len(rows)
    for index, count in counts.most_common(MOST_TOKENS):
        if least <= count <= most:
            is_first = np.array([float(bool(ids) and ids[0] == index) for ids in rows])
            found[f"first token {batch.tokenizer.tokens[index]!r}"] = is_first
    return found


def find_effects(
    judgements: Judgements,
    features: Mapping[str, Floats],
    base: Sequence[Floats] = (),
    *,
    confidence: float = 0.99,
) -> list[Effect]:
    """Logistic regression of decided choices on what is known of the texts, and on features that should not matter.

    Intervals are those of Wald with White's (1980) robust errors, and Bonferroni's correction for the number of
    features: where none of them matters, all intervals hold 0 in a share ``confidence`` of cases.

    Args:
        judgements: The choices; ties are left out.
        features: Name -> ``(N,)`` values of the texts. The side is added.
        base: Scores of the texts, each ``(N,)``, that explain the choices.
        confidence: That no interval is wrong.
    """
    chosen = judgements.take(judgements.outcomes != TIE)
    columns = {name: values[chosen.left] - values[chosen.right] for name, values in features.items()}
    columns = {name: column for name, column in columns.items() if column.std() > 1e-9}
    columns["side"] = np.ones(len(chosen))
    if len(chosen) < 5 * (len(columns) + 2 * len(base)):
        return []
    known = [part for values in base for part in _bend(values[chosen.left] - values[chosen.right])]
    scales = [1.0 if name == "side" else float(np.sqrt((column**2).mean())) for name, column in columns.items()]
    shares = [column / scale for column, scale in zip(columns.values(), scales, strict=True)]
    weights, errors = _regress(np.stack([*known, *shares], axis=1), chosen.wins)
    reach = NormalDist().inv_cdf(1.0 - 0.5 * (1.0 - confidence) / len(columns))
    rows = zip(columns, weights[len(known) :].tolist(), errors[len(known) :].tolist(), strict=True)
    return [Effect(name, weight, weight - reach * error, weight + reach * error) for name, weight, error in rows]


def _bend(differences: Floats) -> list[Floats]:
    """The differences, and a curve through them, since large ones may count for less; none where all are equal."""
    scale = float(np.sqrt((differences**2).mean()))
    return [differences / scale, np.tanh(differences / scale)] if scale > 1e-9 else []


def _regress(table: Floats, wins: Floats, *, steps: int = 50) -> tuple[Floats, Floats]:
    """Weights ``(F,)`` and their standard errors, by Newton's method with a slight penalty."""
    weights = np.zeros(table.shape[1])
    ridge = _RIDGE * len(wins) ** 0.5 * np.eye(table.shape[1])
    for _ in range(steps):
        chances = sigmoid(table @ weights)
        curvature = (table * (chances * (1.0 - chances))[:, None]).T @ table + ridge
        step = np.linalg.solve(curvature, table.T @ (wins - chances) - ridge @ weights)
        weights = weights + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    inverse = np.linalg.inv(curvature)
    spread = (table * ((wins - chances) ** 2)[:, None]).T @ table
    return weights, np.sqrt(np.diag(inverse @ spread @ inverse))


def correlate_within_prompts(one: Floats, other: Floats, prompts: NDArray[np.int64]) -> float:
    """Pearson's correlation of two values of texts, each as its distance from the mean of its prompt."""
    return correlate(_center(one, prompts), _center(other, prompts))


def _center(values: Floats, prompts: NDArray[np.int64]) -> Floats:
    _, places = np.unique(prompts, return_inverse=True)
    places = places.ravel()
    return np.asarray(values - (np.bincount(places, values) / np.bincount(places))[places])
