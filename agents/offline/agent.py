"""What the offline agents share: a small network over one-hot tokens, fitted to the steps of a recording."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from textgym.agents.base import make_config, read_card, tokens_of, write_card
from textgym.errors import ConfigurationError, TrainingError, missing_dependency
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.recorder import record_uniform
from textgym.recordings import Recording, Transitions

try:
    import torch
    from safetensors.torch import load_file, save_file
    from torch import Tensor, nn
except ImportError as error:
    raise missing_dependency(error.name or "torch", "minari", "this agent") from error

WEIGHTS = "network.safetensors"


@dataclass(frozen=True, kw_only=True)
class OfflineConfig:
    """Options of both agents."""

    dataset: str | None = None  # a Minari data set: a name, or a folder as ./data/a-v0; by default random play
    steps: int = 2_000  # of the optimiser
    batch_size: int = 256  # tokens a step
    learning_rate: float = 1e-3  # step size of Adam
    hidden: tuple[int, ...] = (128, 128)  # units of the hidden layers

    def __post_init__(self) -> None:
        check_count(self, "steps")
        check_count(self, "batch_size")
        if not self.hidden or any(not isinstance(size, int) or size < 1 for size in self.hidden):
            raise ConfigurationError(f"hidden={self.hidden!r}: expected the sizes of one layer or more")
        check_range(self, "learning_rate", 0.0, 1.0)


def check_count(config: Any, name: str) -> None:
    """Refuses an option that is no whole number of at least 1."""
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name}={value!r}: expected a whole number of at least 1")


def check_range(config: Any, name: str, low: float, high: float) -> None:
    """Refuses an option outside ``(low, high]``."""
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value <= high:
        raise ConfigurationError(f"{name}={value!r}: expected a number above {low} and up to {high}")


class PrefixNetwork(nn.Module):
    """A multilayer perceptron over one-hot tokens: ``(B, W)`` ids to ``(B, V)`` numbers.

    Its first layer adds up one learned vector for each pair of position and id, which is what a linear layer does with
    one-hot input, and needs no one-hot input.

    Args:
        width: W, positions of prompt and answer.
        vocab_size: V; the pad id V is an input like any other.
        hidden: Units of the hidden layers.
    """

    def __init__(self, width: int, vocab_size: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.width, self.vocab_size = width, vocab_size
        self.first = nn.EmbeddingBag(width * (vocab_size + 1), hidden[0], mode="sum")
        nn.init.normal_(self.first.weight, std=width**-0.5)
        sizes = [*hidden, vocab_size]
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.ReLU(), nn.Linear(a, b))]
        self.rest = nn.Sequential(*layers)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(B, W)`` ids from 0 to V to ``(B, V)``."""
        places = torch.arange(self.width) * (self.vocab_size + 1)
        out: Tensor = self.rest(self.first(tokens + places))
        return out


@dataclass(frozen=True)
class Batch:
    """Some steps of a recording as tensors; the fields are those of :class:`~textgym.recordings.Transitions`."""

    tokens: Tensor
    actions: Tensor
    rewards: Tensor
    next_tokens: Tensor
    ended: Tensor
    masks: Tensor
    next_masks: Tensor

    @classmethod
    def of(cls, steps: Transitions, rows: NDArray[np.int64]) -> Batch:
        """These rows of the recording."""
        return cls(
            torch.from_numpy(steps.tokens[rows]).long(),
            torch.from_numpy(steps.actions[rows]),
            torch.from_numpy(steps.rewards[rows]).float(),
            torch.from_numpy(steps.next_tokens[rows]).long(),
            torch.from_numpy(steps.ended[rows]),
            torch.from_numpy(steps.masks[rows]),
            torch.from_numpy(steps.next_masks[rows]),
        )


class OfflineAgent(ABC):
    """Fits a network to a recording; what it makes of the V numbers that the network returns is the subclass's."""

    config_class: ClassVar[type[Any]] = OfflineConfig

    def __init__(self, seed: int = 0, **config: Any) -> None:
        if "hidden" in config:
            config["hidden"] = tuple(config["hidden"])
        self.seed = seed
        self.config = make_config(self.config_class, config)
        self.network: PrefixNetwork | None = None
        self.losses: list[float] = []  # of each optimiser step of the latest training
        self._rng = np.random.default_rng(seed)  # for act

    def learn(self, envs: EnvFactory, total_steps: int) -> None:
        """Learns from the data set of the config; without one, from ``total_steps`` tokens of random play.

        Nothing that the agent writes itself is learned from, in either case.

        Raises:
            ConfigurationError: for a data set of another environment, or too few steps.
        """
        if self.config.dataset is None:
            self.learn_offline(record_uniform(envs, total_steps, seed=spawn_seed(self.seed, "offline")))
            return
        recording = self._read(self.config.dataset)
        recording.check_fits(envs)
        self.learn_offline(recording)

    def learn_offline(self, data: Any) -> None:
        """Learns from a recording, without an environment; goes on from earlier training.

        Args:
            data: A :class:`~textgym.recordings.Recording`, or a Minari data set: its name, folder or object.

        Raises:
            ConfigurationError: for data that cannot be read, or are not of the size of earlier ones.
            TrainingError: for a loss that is no number.
        """
        recording = data if isinstance(data, Recording) else self._read(data)
        steps = self.select(recording)
        network = self._ready(steps.tokens.shape[1], steps.vocab_size)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.config.learning_rate)
        rng = np.random.default_rng(spawn_seed(self.seed, "batches"))
        self.losses = []
        for update in range(self.config.steps):
            loss = self.loss(network, Batch.of(steps, rng.integers(len(steps), size=self.config.batch_size)), update)
            self.losses.append(loss.item())
            if not np.isfinite(self.losses[-1]):
                raise TrainingError(f"step {update}: the loss is {self.losses[-1]}; lower the learning rate")
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimizer.step()

    @staticmethod
    def _read(data: Any) -> Recording:
        from textgym.integrations import minari  # here, since a recording can be had without Minari

        return minari.read(data)

    def select(self, recording: Recording) -> Transitions:
        """The steps to learn from: all of them, unless a subclass chooses."""
        return recording.transitions()

    @abstractmethod
    def loss(self, network: PrefixNetwork, batch: Batch, update: int) -> Tensor:
        """What update number ``update`` makes small, a mean over the batch."""

    @abstractmethod
    def logits(self, outputs: Tensor) -> Tensor:
        """``(B, V)`` logits of the policy that plays."""

    def _ready(self, width: int, vocab_size: int) -> PrefixNetwork:
        if self.network is None:
            with torch.random.fork_rng(devices=[]):  # initial weights come from torch's global generator
                torch.manual_seed(spawn_seed(self.seed, "network"))
                self.network = PrefixNetwork(width, vocab_size, self.config.hidden)
        self._check(width, vocab_size, "the data have")
        return self.network

    def _check(self, width: int, vocab_size: int, seen: str) -> None:
        assert self.network is not None
        known = self.network.width, self.network.vocab_size
        if known != (width, vocab_size):
            raise ConfigurationError(
                f"this agent learned with {known[0]} positions and {known[1]} ids, {seen} {width} and {vocab_size}"
            )

    def act(
        self,
        observations: Any,
        action_masks: NDArray[np.bool_] | None = None,
        *,
        deterministic: bool = True,
        episode_starts: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """The best legal token of each row, or a draw from the policy."""
        log_probs = self.log_probs(observations, action_masks)
        if not deterministic:
            log_probs = log_probs + self._rng.gumbel(size=log_probs.shape)  # the Gumbel-max trick
        return log_probs.argmax(axis=1)

    def log_probs(self, observations: Any, action_masks: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """``(B, V)`` log-probabilities of the policy; minus infinity for illegal tokens."""
        logits = self.logits(self._outputs(observations, action_masks))
        if action_masks is not None:
            logits = logits.masked_fill(torch.from_numpy(~np.asarray(action_masks, bool)), -torch.inf)
        return np.asarray(logits.double().log_softmax(dim=1).numpy())

    def _outputs(self, observations: Any, masks: NDArray[np.bool_] | None) -> Tensor:
        if self.network is None:
            raise ConfigurationError(
                f"this {type(self).__name__} has not learned anything yet; call learn_offline(), learn() or load()"
            )
        tokens = tokens_of(observations)
        vocab_size = max(self.network.vocab_size, int(tokens.max())) if masks is None else np.shape(masks)[1]
        self._check(tokens.shape[1], vocab_size, "the environment has")
        with torch.inference_mode():
            out: Tensor = self.network(torch.from_numpy(np.ascontiguousarray(tokens)).long())
        return out

    def seed_sampling(self, seed: int) -> None:
        """Starts the random numbers of :meth:`act` anew."""
        self._rng = np.random.default_rng(seed)

    def save(self, path: Path) -> None:
        """Writes the card and the network's weights as safetensors."""
        if self.network is None:
            raise ConfigurationError(f"this {type(self).__name__} has learned nothing that could be saved")
        write_card(Path(path), self, width=self.network.width, vocab_size=self.network.vocab_size)
        save_file(self.network.state_dict(), Path(path) / WEIGHTS)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what :meth:`save` wrote; no pickle is opened."""
        card = read_card(path)
        agent = cls(seed=card["seed"], **card["config"])
        agent.network = PrefixNetwork(card["width"], card["vocab_size"], agent.config.hidden)
        agent.network.load_state_dict(load_file(Path(path) / WEIGHTS))
        return agent
