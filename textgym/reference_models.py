"""Language models as references: fixed distributions over the next token that agents are guided by or held against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError, RewardError
from textgym.language_models import (
    HuggingFaceLanguageModel,
    LanguageModel,
    NGramLanguageModel,
    check_log_probs,
    renormalize,
)

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


def as_language_model(reference: LanguageModel | str | Path) -> LanguageModel:
    """Turns what a user may hand in as a reference into a language model.

    Args:
        reference: A :class:`~textgym.language_models.LanguageModel`, such as an agent with ``log_probs``; a
            ``.safetensors`` file of an n-gram model; or the folder or hub name of a transformers model.

    Raises:
        ConfigurationError: for anything else, and for a file that is no such model.
    """
    if isinstance(reference, str | Path):
        is_file = str(reference).endswith(".safetensors")
        return NGramLanguageModel.load(reference) if is_file else HuggingFaceLanguageModel(str(reference))
    if isinstance(reference, type) or not isinstance(reference, LanguageModel):
        raise ConfigurationError(
            f"reference={reference!r}: expected a language model with log_probs(tokens, action_masks), a .safetensors "
            "file of an n-gram model, or the folder or hub name of a transformers model"
        )
    return reference


def reference_over(reference: LanguageModel | str | Path, vocab_size: int) -> LanguageModel:
    """:func:`as_language_model`, refused where the model has another number of ids than the environment.

    Raises:
        ConfigurationError: for what is no language model, or one over other ids.
    """
    model = as_language_model(reference)
    size = getattr(model, "vocab_size", vocab_size)
    if size != vocab_size:
        raise ConfigurationError(
            f"the reference has {size} ids, the environment {vocab_size}: they must share a vocabulary; fit the "
            "reference on texts of this environment's tokenizer, or pass tokenizer="
        )
    return model


def next_log_probs(model: LanguageModel, tokens: NDArray[np.int32], masks: Mask) -> Floats:
    """``(B, V)`` log-probabilities of the next token among the legal ones, minus infinity for the others.

    Args:
        model: The language model.
        tokens: ``(B, W)`` prompts and texts so far, as in :class:`~textgym.episodes.EpisodeBatch`.
        masks: ``(B, V)`` the legal ids.

    Raises:
        ConfigurationError: if the model returns another shape, or NaN.
    """
    log_probs = np.asarray(model.log_probs(tokens, masks), dtype=np.float64)
    check_log_probs(log_probs, masks.shape)
    return renormalize(log_probs, masks)


def token_log_probs(model: LanguageModel, tokens: NDArray[np.int32], masks: Mask, chosen: Ids) -> Floats:
    """``(B,)`` log-probability of the tokens that were chosen; 0 for illegal ones, which the model knows nothing of.

    Args:
        model: The language model.
        tokens: ``(B, W)`` prompts and texts before the choice.
        masks: ``(B, V)`` what was legal.
        chosen: ``(B,)`` ids.

    Raises:
        RewardError: if a legal token has no probability at all, since the logarithm of 0 is no reward.
    """
    rows = np.arange(len(chosen))
    legal = masks[rows, chosen]
    values: Floats = np.where(legal, next_log_probs(model, tokens, masks)[rows, chosen], 0.0)
    if not np.isfinite(values).all():
        barred = int(chosen[~np.isfinite(values)][0])
        raise RewardError(
            f"the reference gives the legal id {barred} no probability, and the logarithm of 0 is no reward; use a "
            "reference that leaves every legal id some, or a constraint that forbids what the reference never writes"
        )
    return values


def check_count(k: object, vocab_size: int) -> int:
    """A number of candidates.

    Raises:
        ConfigurationError: unless it is a whole number from 1 to V.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= vocab_size:
        raise ConfigurationError(f"k={k!r}: expected a whole number from 1 to {vocab_size}, the number of tokens")
    return int(k)


def likeliest(log_probs: Floats, k: int) -> Ids:
    """``(B, k)`` the ids of the k greatest values of each row, the greatest first; of equal ones the lower id.

    Example:
        >>> likeliest(np.log([[0.1, 0.4, 0.1, 0.4]]), 3).tolist()
        [[1, 3, 0]]
    """
    costs = -log_probs
    limits = np.partition(costs, k - 1, axis=1)[:, k - 1 : k]
    better, equal = costs < limits, costs == limits
    room = k - better.sum(axis=1, keepdims=True)
    ids = np.nonzero(better | (equal & (np.cumsum(equal, axis=1) <= room)))[1].reshape(-1, k)
    order = np.argsort(np.take_along_axis(costs, ids, axis=1), axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1)


class Candidates:
    """The k likeliest legal tokens of each text, remembered until a text changes.

    Args:
        model: The language model that ranks them.
        k: How many.
        eos_id: Stands k times where the text has ended and there is nothing to choose.

    Attributes:
        ids: ``(B, k)`` the candidates after :meth:`update`.
        masks: ``(B, k)`` whether each is legal: False for the last where fewer than k tokens are.
    """

    def __init__(self, model: LanguageModel, *, k: int, eos_id: int) -> None:
        self.model, self.k, self.eos_id = model, k, eos_id
        self.ids = np.zeros((0, self.k), dtype=np.int64)
        self.masks = np.ones((0, self.k), dtype=bool)
        self._tokens = np.zeros((0, 0), dtype=np.int32)
        self._over = np.zeros(0, dtype=bool)

    def update(self, tokens: NDArray[np.int32], masks: Mask, over: Mask) -> None:
        """Asks the model, unless all texts are as they were.

        Args:
            tokens: ``(B, W)`` prompts and texts.
            masks: ``(B, V)`` the legal ids.
            over: ``(B,)`` which texts have ended; the model is not asked of them.
        """
        if np.array_equal(tokens, self._tokens) and np.array_equal(over, self._over):
            return
        self.ids = np.full((len(tokens), self.k), self.eos_id, dtype=np.int64)
        self.masks = np.ones((len(tokens), self.k), dtype=bool)
        going = np.flatnonzero(~over)
        if going.size:
            self.ids[going] = likeliest(next_log_probs(self.model, tokens[going], masks[going]), self.k)
            self.masks[going] = np.take_along_axis(masks[going], self.ids[going], axis=1)
        self._tokens, self._over = tokens.copy(), over.copy()

    def info(self) -> dict[str, Any]:
        """Fresh arrays for infos: ``candidates`` and the ``action_mask`` over them."""
        return {"candidates": self.ids.copy(), "action_mask": self.masks.astype(np.int8)}
