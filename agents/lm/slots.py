"""Slots: the keys and values of B texts of different lengths, each in a slot of its own.

The cache of ``transformers`` lets all rows grow together. Here each row has its own length, so that a row whose
text has ended can begin another one at once, and a row whose partner has answered reads more tokens than its
neighbours. Any causal language model whose layers keep keys and values reads into it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from textgym.errors import ConfigurationError


class _Layer(CacheLayerMixin):  # type: ignore[no-untyped-call]  # transformers is typed in parts
    """Keys and values of one layer, ``(B, H, width + 1, D)``; padding is written to the last column."""

    is_sliding = False
    keys: Any
    values: Any

    def __init__(self, slots: Slots) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._slots = slots

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Makes room when the first keys say how many heads there are and how wide they are."""
        _, heads, _, size = key_states.shape
        shape = (self._slots.size, heads, self._slots.width + 1, size)
        self.keys = key_states.new_zeros(shape)
        self.values = value_states.new_zeros((*shape[:3], value_states.shape[-1]))
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Writes the new keys and values and returns those that the present rows may look at."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, places, seen = self._slots.rows, self._slots.places, self._slots.seen
        self.keys[rows[:, None], :, places] = key_states.transpose(1, 2)
        self.values[rows[:, None], :, places] = value_states.transpose(1, 2)
        if rows is self._slots.all_rows:
            return self.keys[:, :, :seen], self.values[:, :, :seen]
        return self.keys[rows, :, :seen], self.values[rows, :, :seen]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns and their offset; the mask is always handed in whole, so nobody asks."""
        return self._slots.seen, 0

    def get_seq_length(self) -> int:
        """Positions are always handed in, so this is never used for them."""
        return 0

    def get_max_length(self) -> int:
        """Tokens a slot has room for."""
        return self._slots.width


class Slots:
    """B slots of ``width`` tokens for one model.

    Args:
        lm: A causal language model of ``transformers``.
        size: B.
        width: The most tokens of a text, its begin token included.

    Attributes:
        lengths: ``(B,)`` tokens that each slot holds.
        cache: What the model is handed as ``past_key_values``.
    """

    def __init__(self, lm: Any, size: int, width: int) -> None:
        self.lm, self.size, self.width = lm, size, width
        self.device: torch.device = lm.device
        config = lm.config.get_text_config()
        window = getattr(config, "sliding_window", None)
        self.kinds = set(
            getattr(config, "layer_types", None) or ["full_attention" if window is None else "sliding_attention"]
        )
        if self.kinds - {"full_attention", "sliding_attention"}:
            raise ConfigurationError(
                f"{type(lm).__name__} has layers of the kinds {sorted(self.kinds)}; only layers that keep keys and "
                "values can be read row by row"
            )
        self.additive = _adds_masks(lm)
        self.window = window if "sliding_attention" in self.kinds else None
        self.cache: Any = Cache(layers=[_Layer(self) for _ in range(config.num_hidden_layers)])
        self.lengths = torch.zeros(size, dtype=torch.long, device=self.device)
        self.columns = torch.arange(width + 1, device=self.device)
        self.all_rows = torch.arange(size, device=self.device)
        self.rows, self.places, self.seen = self.all_rows, self.lengths[:, None], 1

    def read(
        self, ids: Tensor, counts: Tensor, rows: Tensor | None = None, *, longest: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Reads new tokens behind what the slots hold.

        Args:
            ids: ``(R, Q)`` right-aligned: row r's new tokens are its last ``counts[r]``.
            counts: ``(R,)`` from 0 to Q. A row that reads nothing gives meaningless logits.
            rows: ``(R,)`` the slots; all of them by default.
            longest: The greatest length afterwards, where the caller knows it: asking a GPU costs time.

        Returns:
            ``(R, head)`` logits after each row's last token, and ``(R, d)`` the hidden states below them.
        """
        rows = self.all_rows if rows is None else rows
        q = ids.shape[1]
        before = self.lengths[rows]
        offsets = torch.arange(q, device=self.device) - q + counts[:, None]  # (R, Q), negative where there is padding
        positions = (before[:, None] + offsets).clamp_min(0)
        self.places = torch.where(offsets >= 0, positions, self.width)
        self.rows = rows
        self.lengths[rows] = before + counts
        self.seen = min(self.width, int(self.lengths[rows].max()) if longest is None else longest)
        positions = torch.where(offsets >= 0, positions, 0)  # padding looks at the first token: something, and no NaN
        outputs = self.lm(
            input_ids=torch.where(offsets >= 0, ids, 0),
            attention_mask=self._mask(positions),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
            output_hidden_states=True,
        )
        return outputs.logits[:, -1], outputs.hidden_states[-1][:, -1]

    def _mask(self, positions: Tensor) -> Any:
        """``(R, 1, Q, seen)`` True where a token may look, for each kind of layer."""
        columns = self.columns[: self.seen]
        full = (columns <= positions[..., None])[:, None]
        if self.window is None:
            return self._as_read(full)
        near = self._as_read(full & (columns > positions[..., None] - self.window)[:, None])
        if self.kinds == {"sliding_attention"}:
            return near
        return {"full_attention": self._as_read(full), "sliding_attention": near}

    def _as_read(self, mask: Tensor) -> Tensor:
        """The mask in the form that the model's attention takes."""
        if not self.additive:
            return mask
        low = torch.finfo(self.lm.dtype).min
        return torch.zeros_like(mask, dtype=self.lm.dtype).masked_fill(~mask, low)

    def reorder(self, rows: Tensor) -> None:
        """Puts into slot i what slot ``rows[i]`` holds."""
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
        self.lengths = self.lengths[rows]

    def copy_from(self, other: Slots, rows: Tensor, sources: Tensor, columns: int) -> None:
        """Takes what other slots hold, up to ``columns`` tokens, into these rows."""
        for mine, theirs in zip(self.cache.layers, other.cache.layers, strict=True):
            if not mine.is_initialized:
                mine.lazy_initialization(theirs.keys, theirs.values)
            mine.keys[rows, :, :columns] = theirs.keys[sources, :, :columns]
            mine.values[rows, :, :columns] = theirs.values[sources, :, :columns]
        self.lengths[rows] = other.lengths[sources]


def _adds_masks(lm: Any) -> bool:
    """Whether a model adds its masks to attention scores; otherwise they say True or False.

    Raises:
        ConfigurationError: for attention that takes no mask of its own for each row.
    """
    kind = getattr(lm.config.get_text_config(), "_attn_implementation", None) or "eager"
    if kind not in ("eager", "sdpa"):
        raise ConfigurationError(
            f"{type(lm).__name__} runs with attn_implementation={kind!r}, which takes no mask for each row; take "
            "'sdpa' or 'eager'"
        )
    return bool(kind == "eager")
