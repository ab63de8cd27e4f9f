"""PromptWriter: puts prompts into the rows of a buffer of tokens, which is most of what a reset costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import as_items
from textgym.prompts import PromptTable

SMALL = 1 << 20
"""Bytes up to which all rows that an episode can begin with are kept ready."""


class PromptWriter:
    """Writes prompts into ``(B, P + T)`` tokens.

    Args:
        prompts: The table of N prompts, P wide.
        tokens: The buffer; this object writes into it.
        pad: The id that stands where nothing is written.
    """

    def __init__(self, prompts: PromptTable, tokens: NDArray[np.int32], *, pad: int) -> None:
        width = prompts.width
        self._rows, self._ready = as_items(tokens), None
        self._shown, self._answers = as_items(tokens[:, :width]), as_items(tokens[:, width:])
        self._no_answer = as_items(np.full_like(tokens[:1, width:], pad))[0]
        self._prompts = as_items(np.asarray(prompts.ids))  # it may be a file
        if len(prompts) * tokens.strides[0] <= SMALL:
            ready = np.full((len(prompts), tokens.shape[1]), pad, dtype=tokens.dtype)
            ready[:, :width] = prompts.ids
            self._ready = as_items(ready)

    def begin(self, rows: NDArray[np.int64], prompt_indices: NDArray[np.int64]) -> None:
        """Writes these prompts into these rows, and nothing behind them."""
        if self._ready is not None:
            self._rows[rows] = self._ready.take(prompt_indices)
        else:
            self._shown[rows] = self._prompts.take(prompt_indices)
            self._answers[rows] = self._no_answer

    def replace(self, prompt_indices: NDArray[np.int64]) -> None:
        """Writes a prompt into every row ``(B,)`` and leaves what is behind them."""
        self._shown[...] = self._prompts.take(prompt_indices)
