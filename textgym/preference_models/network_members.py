"""Members of a reward model that are small networks: what they read, how they are fitted, kept and brought back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError
from textgym.preference_models.features import SYMBOLS, Bag, read_sequences
from textgym.preference_models.judgements import Judgements
from textgym.preference_models.judging import Judging
from textgym.preference_models.networks import AttentionNetwork, BagNetwork, RecurrentNetwork
from textgym.preference_models.settings import FitSettings
from textgym.preference_models.training import find_device, score_all, train

Floats = NDArray[np.float64]

LEARNING_RATE = 3e-3


class NetworkMember:
    """A network and what it reads.

    Scores are computed in double precision, so that they do not depend on which texts are scored together.

    Args:
        kind: "mlp", "gru" or "transformer".
        network: In evaluation mode.
        shape: Width and layers.
        bag: The n-grams that an "mlp" reads.
    """

    def __init__(self, kind: str, network: nn.Module, shape: Mapping[str, int], bag: Bag | None = None) -> None:
        self.kind, self.network, self.shape, self.bag = kind, network.double(), dict(shape), bag

    def score(self, batch: EpisodeBatch) -> Floats:
        """``(B,)`` scores on the member's own scale."""
        inputs = read_inputs(batch, self.bag)
        return score_all(self.network, inputs.to(next(self.network.parameters()).device))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that was learned."""
        weights = {name: tensor.float().cpu().numpy() for name, tensor in self.network.state_dict().items()}
        return weights if self.bag is None else {**weights, "bag.keys": self.bag.keys}

    def describe(self) -> dict[str, Any]:
        """What else is needed to bring the member back."""
        return {"shape": self.shape}

    @classmethod
    def restore(
        cls, kind: str, arrays: Mapping[str, NDArray[Any]], description: Mapping[str, Any], vocab_size: int
    ) -> NetworkMember:
        """Reads what :meth:`arrays` and :meth:`describe` gave.

        Raises:
            ConfigurationError: if the arrays do not fit the description.
        """
        keys, shape = arrays.get("bag.keys"), {name: int(value) for name, value in description["shape"].items()}
        bag = None if keys is None else Bag(vocab_size, keys.astype(np.int64))
        try:
            network = _make(kind, vocab_size, shape, bag)
            weights = {name: torch.from_numpy(array) for name, array in arrays.items() if name != "bag.keys"}
            network.load_state_dict(weights, strict=True)
        except (RuntimeError, TypeError, KeyError, ConfigurationError) as error:
            raise ConfigurationError(f"the weights do not fit a model of kind {kind!r}: {error}") from error
        return cls(kind, network.to(find_device("auto")).eval(), shape, bag)


def fit_network(kind: str, judgements: Judgements, settings: FitSettings, seed: int) -> tuple[NetworkMember, Judging]:
    """Fits one network to judgements."""
    texts = judgements.texts
    bag = Bag.of(texts, minimum_count=settings.minimum_count) if kind == "mlp" else None
    shape = {"width": settings.width, "layers": settings.layers}
    make = partial(_make, kind, texts.tokenizer.vocab_size, shape, bag)
    inputs = read_inputs(texts, bag).to(find_device(settings.device))
    network, judging = train(make, inputs, judgements, settings, seed=seed, learning_rate=LEARNING_RATE)
    return NetworkMember(kind, network, shape, bag), judging


def read_inputs(batch: EpisodeBatch, bag: Bag | None) -> Tensor:
    """``(B, L)`` what a network reads: places of n-grams, or ids."""
    return torch.from_numpy(read_sequences(batch) if bag is None else bag.read(batch))


def _make(kind: str, vocab_size: int, shape: Mapping[str, int], bag: Bag | None) -> nn.Module:
    if kind == "mlp":
        if bag is None:
            raise ConfigurationError("an mlp needs its bag of n-grams")
        return BagNetwork(bag.size, shape["width"])
    if kind == "gru":
        return RecurrentNetwork(vocab_size + SYMBOLS, shape["width"])
    if shape["width"] % 4:
        raise ConfigurationError(f"width={shape['width']}: expected a multiple of 4 for a transformer's four heads")
    return AttentionNetwork(vocab_size + SYMBOLS, shape["width"], shape["layers"])
