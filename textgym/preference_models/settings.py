"""Settings of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from textgym.errors import ConfigurationError, check_names

KINDS = ("ngram", "mlp", "gru", "transformer")
AGGREGATES = ("mean", "worst", "mean_minus_variance")


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a reward model is fitted.

    Attributes:
        penalty: Weight of the squared norm of the weights of an n-gram model, against the sum of the losses.
        minimum_count: N-grams seen less often have no weight of their own.
        width: Of the hidden layers of a network.
        layers: Blocks of a transformer.
        epochs: How often a network sees all judgements; None for 3 to 8, the fewer there are the more.
        batch_size: Judgements in one update.
        learning_rate: Of Adam; None for 3e-3, and 2e-5 for a Hugging Face model.
        weight_decay: Of Adam.
        centering: Weight of the squared sum of both scores, which keeps a network's scores around 0 while it learns.
        margin: By how much the better text must win for each grade of strength, where strengths were asked.
        reliability_penalty: Weight of the squared log-reliability of an annotator: those of whom little is known stay
            near 1.
        max_length: Most tokens that a Hugging Face model reads of a text.
        device: "auto" (cuda where there is one, else cpu) or a torch device.
        limit: Rewards are clipped to minus and plus so many standard deviations.
    """

    penalty: float = 2.0
    minimum_count: int = 2
    width: int = 64
    layers: int = 2
    epochs: int | None = None
    batch_size: int = 32
    learning_rate: float | None = None
    weight_decay: float = 0.1
    centering: float = 0.0
    margin: float = 0.0
    reliability_penalty: float = 1.0
    max_length: int = 512
    device: str = "auto"
    limit: float = 10.0

    def __post_init__(self) -> None:
        for name in ("penalty", "limit", "reliability_penalty", "learning_rate"):
            _check(name, getattr(self, name), float, above=0.0, optional=name == "learning_rate")
        for name in ("weight_decay", "centering", "margin"):
            _check(name, getattr(self, name), float, above=-1e-300)
        for name in ("minimum_count", "width", "layers", "epochs", "batch_size", "max_length"):
            _check(name, getattr(self, name), int, above=0.0, optional=name == "epochs")

    def count_epochs(self, judgements: int) -> int:
        """How often all judgements are seen."""
        if self.epochs is not None:
            return self.epochs
        updates = max(1, judgements // self.batch_size)
        return min(8, max(3, round(120 / updates)))


def make_settings(values: Mapping[str, Any], base: FitSettings | None = None) -> FitSettings:
    """Settings that differ from others, or from the defaults.

    Raises:
        UnknownNameError: for a name that is none of a setting.
        ConfigurationError: for a value that cannot work.
    """
    check_names("setting of a reward model", values, [field.name for field in fields(FitSettings)])
    return replace(base or FitSettings(), **values)


def _check(name: str, value: Any, kind: type, *, above: float, optional: bool = False) -> None:
    if value is None and optional:
        return
    numeric = isinstance(value, int) if kind is int else isinstance(value, int | float)
    if isinstance(value, bool) or not numeric or not above < value < 1e300:
        what = "whole number" if kind is int else "number"
        least = "above 0" if above == 0.0 else "of 0 or more"
        raise ConfigurationError(f"{name}={value!r}: expected a {what} {least}")
