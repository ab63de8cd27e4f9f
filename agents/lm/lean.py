"""A leaner step for models in the shape of GPT-2 on the CPU: the same numbers with less overhead.

``transformers`` spends a good part of a small model's step in Python, and PyTorch's plain matrix product
reads large weights slowly when only a few rows are multiplied. Here a step is written out, and large weights are packed
once per update for oneDNN. The plain path of :class:`~textgym.agents.lm.slots.Slots` is the fallback and the test's
oracle.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention

from textgym.agents.lm.slots import Slots

PACKED_FROM = 2**17
"""Entries of a weight from which on packing pays; a call of oneDNN alone costs as much as a small product."""

SMALL_ATTENTION = 2**20
"""Entries of the keys up to which two plain products are faster than PyTorch's attention."""

Layer = tuple[Tensor, Tensor | None]
"""Weight and bias; the weight is packed or as :func:`torch.nn.functional.linear` takes it."""


def fits(lm: Any) -> bool:
    """Whether a model is GPT-2 as it stands in ``transformers``: CPU, float32, plain attention, no adapters."""
    config = lm.config
    plain = (
        type(lm).__name__ == "GPT2LMHeadModel"
        and config.activation_function == "gelu_new"
        and config.scale_attn_weights
        and not config.scale_attn_by_inverse_layer_idx
        and not config.reorder_and_upcast_attn
        and not config.add_cross_attention
    )
    return bool(
        plain
        and lm.device.type == "cpu"
        and lm.dtype == torch.float32
        and all(type(block.attn.c_attn).__name__ == "Conv1D" for block in lm.transformer.h)
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    )


class LeanGPT2:
    """Steps of one token a row, into the same slots that the plain path reads and writes.

    Args:
        lm: A model for which :func:`fits` is true; its weights are packed now, so make another after an update.
        rows: B, for which the packing is laid out.
    """

    def __init__(self, lm: Any, rows: int) -> None:
        body = lm.transformer
        self.heads = lm.config.n_head
        self.epsilon = lm.config.layer_norm_epsilon
        self.tokens, self.positions = body.wte.weight.detach(), body.wpe.weight.detach()
        self.final = body.ln_f.weight.detach(), body.ln_f.bias.detach()
        self.head = _pack(lm.lm_head.weight, lm.lm_head.bias, rows)
        self.blocks = [self._block(block, rows) for block in body.h]

    @staticmethod
    def _block(block: Any, rows: int) -> tuple[Any, ...]:
        norms = [(norm.weight.detach(), norm.bias.detach()) for norm in (block.ln_1, block.ln_2)]
        layers = (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj)
        return (*norms, *(_pack(layer.weight.t(), layer.bias, rows) for layer in layers))

    def step(
        self, slots: Slots, ids: Tensor, alive: Tensor, longest: int, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Reads one token a row.

        Args:
            slots: With the rows' keys and values so far.
            ids: ``(R,)``.
            alive: ``(R,)`` bool; the others read nothing, and what comes out for them means nothing.
            longest: The greatest length afterwards.
            rows: ``(R,)`` the slots; all of them by default.

        Returns:
            ``(R, head)`` logits and ``(R, d)`` hidden states.
        """
        seen = slice(None) if rows is None else rows
        rows, batch = slots.all_rows if rows is None else rows, len(ids)
        position = slots.lengths[rows]
        places = torch.where(alive, position, slots.width)
        hidden = self.tokens[ids] + self.positions[torch.where(alive, position, 0)]
        size = hidden.shape[-1] // self.heads
        mask = torch.where(slots.columns[:longest] <= position[:, None], 0.0, -torch.inf)
        mask = mask.repeat_interleave(self.heads, dim=0)[:, None]
        heads = rows[:, None] * self.heads + torch.arange(self.heads)
        spots = (heads * (slots.width + 1) + places[:, None]).view(-1)
        for layer, (first, second, attend, project, widen, narrow) in zip(slots.cache.layers, self.blocks, strict=True):
            normed = _norm(hidden, first, self.epsilon)
            queries, keys, values = _linear(normed, attend).view(batch, 3, self.heads, size).unbind(1)
            layer.keys.view(-1, size).index_copy_(0, spots, keys.reshape(-1, size))
            layer.values.view(-1, size).index_copy_(0, spots, values.reshape(-1, size))
            mixed = _attend(queries, layer.keys[seen, :, :longest], layer.values[seen, :, :longest], mask)
            hidden = hidden + _linear(mixed.reshape(batch, -1), project)
            normed = _norm(hidden, second, self.epsilon)
            hidden = hidden + _linear(gelu(_linear(normed, widen), approximate="tanh"), narrow)
        slots.lengths[rows] = position + alive
        hidden = _norm(hidden, self.final, self.epsilon)
        return _linear(hidden, self.head), hidden


def _attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """``(B, H, D)`` what each head takes from ``(B, H, L, D)`` keys and values; the mask ``(B * H, 1, L)`` is added.

    PyTorch's own attention is made for many queries: for one, and little to look at, two products are faster.
    """
    batch, heads, longest, size = keys.shape
    if keys.numel() > SMALL_ATTENTION:
        mask = mask.view(batch, heads, 1, longest)
        return scaled_dot_product_attention(queries[:, :, None], keys, values, attn_mask=mask)[:, :, 0]
    keys, values = keys.flatten(0, 1), values.flatten(0, 1)
    scores = torch.baddbmm(mask, queries.reshape(-1, 1, size), keys.transpose(1, 2), alpha=size**-0.5)
    return torch.bmm(scores.softmax(dim=-1), values).view(batch, heads, size)


def _pack(weight: Tensor, bias: Tensor | None, rows: int) -> Layer:
    weight = weight.detach().contiguous()
    if weight.numel() >= PACKED_FROM:
        weight = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    return weight, None if bias is None else bias.detach()


def _norm(inputs: Tensor, layer: tuple[Tensor, Tensor], epsilon: float) -> Tensor:
    return layer_norm(inputs, inputs.shape[-1:], layer[0], layer[1], epsilon)


def _linear(inputs: Tensor, layer: Layer) -> Tensor:
    weight, bias = layer
    if not weight.is_mkldnn:
        return linear(inputs, weight, bias)
    result: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return result
