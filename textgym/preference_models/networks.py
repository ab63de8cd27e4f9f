"""Small networks that score a text: each reads whole batches of ids and gives one number a row."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class BagNetwork(nn.Module):
    """A multilayer perceptron on a bag of n-grams: its first layer is the sum of one row for each of them.

    Args:
        size: Number of places; the last is padding.
        width: Of both hidden layers.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.rows = nn.EmbeddingBag(size, width, mode="sum", padding_idx=size - 1)
        nn.init.normal_(self.rows.weight, std=0.1)
        with torch.no_grad():
            self.rows.weight[size - 1] = 0.0
        self.shift = nn.Parameter(torch.zeros(width))
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, 1)

    def forward(self, ids: Tensor) -> Tensor:
        """Scores ``(B, W)`` places as ``(B,)``."""
        hidden = torch.relu(self.rows(ids) + self.shift)
        score: Tensor = self.head(torch.relu(self.hidden(hidden)))[:, 0]
        return score


class RecurrentNetwork(nn.Module):
    """A GRU that reads prompt and text and scores what it remembers at the end.

    Args:
        size: Number of ids; the last three are padding and signs, padding first.
        width: Of embedding and memory.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.padding = size - 3
        self.embed = nn.Embedding(size, width)
        self.read = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, 1)

    def forward(self, ids: Tensor) -> Tensor:
        """Scores ``(B, L)`` ids as ``(B,)``."""
        ids = _trim(ids, self.padding)
        last = (ids != self.padding).sum(dim=1) - 1
        states, _ = self.read(self.embed(ids))
        score: Tensor = self.head(states[torch.arange(len(ids), device=ids.device), last])[:, 0]
        return score


class AttentionNetwork(nn.Module):
    """A transformer encoder of a few layers; the mean of its last states is scored.

    Args:
        size: Number of ids; the last three are padding and signs, padding first.
        width: Of all states, a multiple of 4 (the number of heads).
        layers: Number of blocks.
    """

    def __init__(self, size: int, width: int, layers: int = 2) -> None:
        super().__init__()
        self.padding = size - 3
        self.embed = nn.Embedding(size, width)
        nn.init.normal_(self.embed.weight, std=0.5)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1)

    def forward(self, ids: Tensor) -> Tensor:
        """Scores ``(B, L)`` ids as ``(B,)``."""
        ids = _trim(ids, self.padding)
        real = ids != self.padding
        states = self.embed(ids)
        states = states + _positions(ids.shape[1], states)
        for block in self.blocks:
            states = block(states, real[:, None, None])
        share = real[:, :, None].to(states.dtype)
        mean = (self.norm(states) * share).sum(dim=1) / share.sum(dim=1)
        score: Tensor = self.head(mean)[:, 0]
        return score


class _Block(nn.Module):
    """Attention and a layer of its own for each place, both added to what came in."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.answer = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, states: Tensor, real: Tensor) -> Tensor:
        batch, length, width = states.shape
        parts = self.ask(self.first(states)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=real)
        states = states + self.answer(seen.transpose(1, 2).reshape(batch, length, width))
        return states + self.narrow(functional.gelu(self.widen(self.second(states))))


def _trim(ids: Tensor, padding: int) -> Tensor:
    """Without the columns in which nothing stands."""
    return ids[:, : int((ids != padding).sum(dim=1).max())]


def _positions(length: int, like: Tensor) -> Tensor:
    """``(L, D)`` sines and cosines of each place, which exist at any length."""
    width = like.shape[2]
    places = torch.arange(length, device=like.device, dtype=like.dtype)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, device=like.device, dtype=like.dtype) * (-math.log(1e4) / width))
    return torch.cat([torch.sin(places * rates), torch.cos(places * rates)], dim=1)
