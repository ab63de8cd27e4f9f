"""The options of the stable-baselines3 agents, with defaults tuned on TextGen-v0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textgym.errors import ConfigurationError


@dataclass(frozen=True)
class OnPolicyConfig:
    """What PPO, A2C and MaskablePPO share; field names are stable-baselines3's."""

    lanes: int = 256  # texts written at the same time
    n_steps: int = 8  # tokens a lane between two updates
    learning_rate: float = 1e-3  # step size of Adam (RMSprop for A2C)
    gamma: float = 1.0  # discount: texts are short and paid at the end
    gae_lambda: float = 0.95  # bias against variance of the advantages
    ent_coef: float = 0.3  # bonus for entropy at first; too little and a policy settles on its first good text
    ent_coef_end: float = 0.0  # the bonus falls to this, so that the policy can settle at last
    vf_coef: float = 0.5  # weight of the value loss
    max_grad_norm: float = 0.5  # gradients are clipped to this norm
    hidden: tuple[int, ...] = (128, 128)  # units of the hidden layers

    def __post_init__(self) -> None:
        _check_sizes(self, "lanes", "n_steps")


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """Defaults tuned on TextGen-v0."""

    batch_size: int = 512  # minibatch of an update
    n_epochs: int = 4  # passes over each rollout
    clip_range: float = 0.2  # how far the policy may move in one update
    normalize_advantage: bool = True  # scale the advantages of each minibatch to variance 1


@dataclass(frozen=True)
class A2CConfig(OnPolicyConfig):
    """Defaults tuned on TextGen-v0."""

    n_steps: int = 8  # tokens a lane between two updates
    gae_lambda: float = 1.0  # plain n-step returns


@dataclass(frozen=True)
class DQNConfig:
    """Defaults tuned on TextGen-v0; field names are stable-baselines3's."""

    lanes: int = 16  # texts written at the same time
    learning_rate: float = 1e-3  # step size of Adam
    buffer_size: int = 100_000  # transitions kept for replay
    learning_starts: int = 2_000  # random tokens before the first update
    batch_size: int = 128  # transitions of an update
    gamma: float = 1.0  # discount: texts are short and paid at the end
    train_freq: int = 2  # steps of all lanes between updates
    gradient_steps: int = 2  # updates each time
    target_update_interval: int = 1_000  # tokens between copies to the target network
    exploration_fraction: float = 0.5  # share of the training in which epsilon falls from 1 ...
    exploration_final_eps: float = 0.05  # ... to this
    hidden: tuple[int, ...] = (128, 128)  # units of the hidden layers

    def __post_init__(self) -> None:
        _check_sizes(self, "lanes", "batch_size", "train_freq", "gradient_steps", "buffer_size")


def _check_sizes(config: Any, *names: str) -> None:
    for name in names:
        if not isinstance(getattr(config, name), int) or getattr(config, name) < 1:
            raise ConfigurationError(f"{name}={getattr(config, name)!r}: expected a whole number of at least 1")
