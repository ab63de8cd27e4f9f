"""How good a classifier is on texts that it has not seen: accuracy, F1, confusion, calibration. NumPy alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BINS = 15
TEMPERATURES = (0.5, 20.0)


@dataclass(frozen=True)
class ClassifierQuality:
    """What is known of a classifier from N texts of K labels.

    Attributes:
        texts: N.
        accuracy: Share of the texts with the right label.
        baseline: Accuracy of who always says the commonest label.
        macro_f1: The mean of the labels' F1 scores, each label counting the same.
        loss: Mean cross-entropy.
        calibration_error: :func:`calibration_error`.
        confusion: ``(K, K)`` counts: the label by row, what the classifier says by column.
        f1: F1 score of each label.
        bins: For each bin of confidence that is not empty: mean confidence, accuracy, texts.
    """

    texts: int
    accuracy: float
    baseline: float
    macro_f1: float
    loss: float
    calibration_error: float
    confusion: tuple[tuple[int, ...], ...]
    f1: tuple[float, ...]
    bins: tuple[tuple[float, float, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """For a card, in values that JSON knows."""
        return asdict(self)


def measure(logits: Floats, targets: Integers) -> ClassifierQuality:
    """All that there is to say about ``(N, K)`` logits of texts with known labels.

    Example:
        >>> found = measure(np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 0.0]]), np.array([0, 1, 1]))
        >>> found.confusion, round(found.macro_f1, 3)
        (((1, 0), (1, 1)), 0.667)
    """
    labels = logits.shape[1]
    said = logits.argmax(axis=1)
    confusion = np.zeros((labels, labels), dtype=np.int64)
    np.add.at(confusion, (targets, said), 1)
    right = confusion.diagonal()
    wanted = confusion.sum(axis=0) + confusion.sum(axis=1)
    f1 = np.divide(2 * right, wanted, out=np.zeros(labels), where=wanted > 0)
    probabilities = np.exp(log_softmax(logits))
    bins = reliability(probabilities, targets)
    return ClassifierQuality(
        texts=len(targets),
        accuracy=float((said == targets).mean()),
        baseline=float(np.bincount(targets).max() / len(targets)),
        macro_f1=float(f1.mean()),
        loss=cross_entropy(logits, targets),
        calibration_error=calibration_error(probabilities, targets),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        f1=tuple(f1.tolist()),
        bins=bins,
    )


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities ``(N, K)``."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def cross_entropy(logits: Floats, targets: Integers) -> float:
    """The mean of minus the log-probability of the right label."""
    return float(-log_softmax(logits)[np.arange(len(targets)), targets].mean())


def reliability(probabilities: Floats, targets: Integers) -> tuple[tuple[float, float, int], ...]:
    """For each bin of confidence that is not empty: mean confidence, accuracy and number of texts.

    The confidence is the probability of the label that is said; bins are equally wide.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    places = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return tuple(
        (float(confidence[places == place].mean()), float(right[places == place].mean()), int((places == place).sum()))
        for place in np.unique(places).tolist()
    )


def calibration_error(probabilities: Floats, targets: Integers) -> float:
    """The expected calibration error: the mean distance between confidence and accuracy over 15 bins of confidence.

    Guo et al. 2017, "On calibration of modern neural networks" (https://arxiv.org/abs/1706.04599), equation 3.

    Example:
        >>> always_sure = np.tile([0.99, 0.01], (100, 1))
        >>> round(calibration_error(always_sure, np.repeat([0, 1], 50)), 2)
        0.49
    """
    bins = reliability(probabilities, targets)
    return sum(count * abs(confidence - accuracy) for confidence, accuracy, count in bins) / len(targets)


def fit_temperature(logits: Floats, targets: Integers) -> float:
    """The number that logits are divided by for the lowest cross-entropy, between 0.5 and 20.

    Where every text is classified rightly, that would be 0, and nothing says how sure to be: then it is 1.

    Temperature scaling, after Guo et al. 2017, section 4.2. Cross-entropy is convex in the inverse of the temperature,
    so that a golden-section search finds the one minimum.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> logits = rng.normal(size=(5000, 1)) * np.array([[1.0, -1.0]])
        >>> targets = (rng.random(5000) > 1 / (1 + np.exp(logits[:, 1] - logits[:, 0]))).astype(np.int64)
        >>> 2.8 < fit_temperature(3.0 * logits, targets) < 3.2
        True
    """
    if (logits.argmax(axis=1) == targets).all():
        return 1.0
    low, high = (float(np.log(end)) for end in TEMPERATURES)
    golden = (5.0**0.5 - 1.0) / 2.0
    for _ in range(40):
        one, other = high - golden * (high - low), low + golden * (high - low)
        if cross_entropy(logits / np.exp(one), targets) <= cross_entropy(logits / np.exp(other), targets):
            high = other
        else:
            low = one
    return float(np.exp((low + high) / 2.0))
