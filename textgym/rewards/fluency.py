"""What a language model says of a text: how likely it is, or how surprising."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError
from textgym.language_models import LanguageModel, text_log_probs
from textgym.reference_models import as_language_model

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fluency:
    """The mean log-probability of a token under a language model, in nats; 0 is the best.

    The end id counts, so a text that stops where the model would not is less fluent; a text without any token gets 0.
    In a conversation only the agent's tokens count; the partner's are read.

    Args:
        reference: A language model over the environment's vocabulary, a ``.safetensors`` file of an n-gram model, or
            the folder or hub name of a transformers model.
        floor: The least value, also what an illegal text gets. The mean over a text that has a token of probability
            0 would be minus infinity without it.

    Raises:
        ConfigurationError: for what is no language model, one of another vocabulary, or a floor that is not below 0.

    Example:
        >>> from textgym.language_models import NGramLanguageModel
        >>> from textgym.prompts import PromptTable, load_prompts
        >>> from textgym.tokenizers import CharTokenizer
        >>> letters = CharTokenizer("ab")
        >>> model = NGramLanguageModel.fit([[0, 1, 2]], vocab_size=letters.vocab_size)
        >>> prompts = PromptTable(load_prompts(["a"]), letters)
        >>> batch = EpisodeBatch.from_ids(prompts, letters, [0, 0], [[0, 1, 2], [1, 1, 1]])
        >>> Fluency(model)(batch).round(2).tolist()
        [-1.08, -1.58]
    """

    reference: LanguageModel | str | Path
    floor: float = -20.0
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_limit("floor", self.floor, sign=-1.0)
        _check_reference(self.reference)

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest score."""
        return float(self.floor), 0.0

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Returns ``(B,)`` float64 in [floor, 0]."""
        return np.clip(_mean_log_probs(self.reference, self._cache, batch), self.floor, 0.0)

    def __getstate__(self) -> dict[str, Any]:
        return {"reference": self.reference, "floor": self.floor, "_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Fluency:
        return self


@dataclass(frozen=True)
class CrossEntropy:
    """The mean surprise of a token to a language model: minus its log-probability, in nats; 0 is fully expected.

    Alone it pays for what the model would not write. With a negative weight in a
    :class:`~textgym.rewards.combine.WeightedSum` it is a price on leaving the model's ground; unlike
    :class:`~textgym.wrappers.reward.ReferenceLogProb` it is a mean, so longer texts do not cost more.

    Args:
        reference: As in :class:`Fluency`.
        ceiling: The greatest value.

    Raises:
        ConfigurationError: for what is no language model, one of another vocabulary, or a ceiling that is not above 0.
    """

    reference: LanguageModel | str | Path
    ceiling: float = 20.0
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_limit("ceiling", self.ceiling, sign=1.0)
        _check_reference(self.reference)

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest score."""
        return 0.0, float(self.ceiling)

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Returns ``(B,)`` float64 in [0, ceiling]."""
        return np.clip(0.0 - _mean_log_probs(self.reference, self._cache, batch), 0.0, self.ceiling)

    def __getstate__(self) -> dict[str, Any]:
        return {"reference": self.reference, "ceiling": self.ceiling, "_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> CrossEntropy:
        return self


def _mean_log_probs(reference: LanguageModel | str | Path, cache: dict[str, Any], batch: EpisodeBatch) -> Floats:
    """``(B,)`` log-probability of what the agent wrote divided by its number of tokens; the model is loaded once."""
    if "model" not in cache:
        cache["model"] = as_language_model(reference)
    return text_log_probs(cache["model"], batch) / np.maximum(batch.num_tokens, 1)


def _check_reference(reference: object) -> None:
    """Refuses what is no language model at once; files are read on first use."""
    if not isinstance(reference, str | Path):
        as_language_model(reference)  # type: ignore[arg-type]


def _check_limit(name: str, value: object, *, sign: float) -> None:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0.0 < sign * value < math.inf:  # type: ignore[operator]
        raise ConfigurationError(f"{name}={value!r}: expected a finite number {'above' if sign > 0 else 'below'} 0")
