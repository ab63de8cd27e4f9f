"""The stages of fitting one classifier, which the learning curve goes through more than once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import missing_dependency
from textgym.labelled_texts.quality import ClassifierQuality, log_softmax, measure
from textgym.labelled_texts.rows import LabelledTexts
from textgym.labelled_texts.settings import ClassifierSettings

try:
    import torch
except ImportError as error:
    raise missing_dependency("torch", "lm", "a classifier of labelled texts") from error

from textgym.huggingface_models import find_device
from textgym.labelled_texts.fitting import Encoded, Epoch, encode, fit, own_randomness, predict
from textgym.labelled_texts.networks import cool, make_classifier, window

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(eq=False)
class Fitted:
    """A classifier that has been fitted, with the texts to try it on.

    Attributes:
        model: Of ``transformers``.
        tokenizer: Its tokenizer.
        length: The most tokens of a text that it reads.
        history: What each epoch brought.
        validation: Encoded texts and their labels.
        test: Others.
    """

    model: Any
    tokenizer: Any
    length: int
    history: list[Epoch]
    validation: tuple[Encoded, Integers]
    test: tuple[Encoded, Integers]

    def measure(self) -> ClassifierQuality:
        """How good it is on the test texts."""
        return measure(self._logits(self.test[0]), self.test[1])

    def validate(self) -> tuple[Floats, Integers]:
        """Logits and labels of the validation texts."""
        return self._logits(self.validation[0]), self.validation[1]

    def cool(self, temperature: float) -> None:
        """Divides the logits by a temperature, for good."""
        if temperature != 1.0:
            cool(self.model, self.model.config.num_labels, temperature)

    def predict(self, texts: Sequence[str]) -> Floats:
        """``(N, K)`` probabilities of the labels."""
        return np.exp(log_softmax(self._logits(encode(self.tokenizer, texts, self.length))))

    def _logits(self, rows: Encoded) -> Floats:
        return predict(self.model, rows, self.tokenizer.pad_token_id)


class Stages:
    """The split of the data, and the fit to a part of it.

    Args:
        data: The texts.
        settings: How to fit.
        seed: Of all that is drawn.
        tell: Is told after each fit how it went.
    """

    def __init__(
        self, data: LabelledTexts, settings: ClassifierSettings, seed: int, tell: Callable[[str], None]
    ) -> None:
        self.data, self.settings, self.seed, self._tell = data, settings, seed, tell
        self.split = data.split(validation=settings.validation, test=settings.test, seed=seed)

    def part(self, share: float) -> Integers:
        """The first rows of each label's training texts; a smaller part lies within a larger one."""
        targets = self.data.targets[self.split.train]
        ranks = np.empty(len(targets))
        for label in np.unique(targets).tolist():
            places = np.flatnonzero(targets == label)
            ranks[places] = np.arange(len(places)) / len(places)
        return self.split.train[ranks < share]

    def fit(self, rows: Integers) -> Fitted:
        """Fits a new classifier to these rows."""
        settings, device = self.settings, find_device(self.settings.device)
        with own_randomness(self.seed, torch.device("cpu"), "weights"):
            model, tokenizer = make_classifier(settings, self._texts(rows), self.data.names)
        model = model.to(device)
        length = window(model, tokenizer, settings)
        sides = [
            (encode(tokenizer, self._texts(side), length), self.data.targets[side])
            for side in (rows, self.split.validation, self.split.test)
        ]
        history = fit(model, sides[0], sides[1], settings, pad=tokenizer.pad_token_id, seed=self.seed)
        best = min(history, key=lambda epoch: epoch.validation_loss)
        self._tell(
            f"fitted to {len(rows):,} texts in {len(history)} epochs; on {len(sides[1][1]):,} validation texts loss "
            f"{best.validation_loss:.3f}, accuracy {best.validation_accuracy:.3f}"
        )
        return Fitted(model, tokenizer, length, history, sides[1], sides[2])

    def _texts(self, rows: Integers) -> list[str]:
        return [self.data.texts[row] for row in rows.tolist()]
