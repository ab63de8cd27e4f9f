"""Search spaces: which options of each agent are searched, and where.

Ranges hold the agent's defaults and nothing that its config refuses. Options that only buy more computing, such as the
size of a language model or the number of texts that best-of-n writes, are left out: they are not tuned but paid for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from textgym.agents.registry import AGENTS, agent_class
from textgym.errors import ConfigurationError

ATTRIBUTE = "search_space"
"""The class attribute in which an agent of one's own brings its search space."""

NOTHING_TO_TUNE = ("uniform", "frozen_lm", "chat", "pipeline")
"""Registered agents that learn nothing."""

_EXPECTED = '(low, high), (low, high, "log") or a list of choices'


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, whole ones if both ends are; ``log`` spreads them evenly over magnitudes."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf or (self.log and self.low <= 0):
            raise ConfigurationError(
                f"a range from {self.low!r} to {self.high!r}: expected finite numbers in rising order, on a log scale "
                "above 0"
            )

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: Any) -> bool:
        """Whether a value lies in it."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """One of some values, which JSON can hold."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len({json.dumps(value) for value in self.values}) < max(2, len(self.values)):
            raise ConfigurationError(f"choices {list(self.values)!r}: expected at least two different ones")

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return json.dumps(value) in {json.dumps(known) for known in self.values}


Space = Mapping[str, Range | Choice]
"""Name of an option -> where it is searched."""

_SIZES = Choice(((64, 64), (128, 128), (256, 256)))
_ON_POLICY: Space = {
    "lanes": Choice((128, 256)),
    "n_steps": Choice((4, 8, 16)),
    "learning_rate": Range(1e-4, 5e-3, log=True),
    "gae_lambda": Range(0.9, 1.0),
    "ent_coef": Range(0.003, 1.0, log=True),
    "vf_coef": Range(0.25, 1.0),
    "hidden": _SIZES,
}
_PPO: Space = {
    **_ON_POLICY,
    "batch_size": Choice((128, 256, 512)),
    "n_epochs": Range(2, 10),
    "clip_range": Range(0.1, 0.4),
}
_LANGUAGE_MODEL: Space = {
    "texts": Choice((128, 256, 512)),
    "sft_steps": Choice((None, 100, 600)),
    "learning_rate": Range(1e-4, 5e-3, log=True),
    "epochs": Range(1, 4),
    "kl_coefficient": Range(0.0, 0.2),
}
_GRADIENT: Space = {**_LANGUAGE_MODEL, "entropy_coefficient": Range(0.0, 0.05)}
_GROUPS = Choice((4, 8, 16))
_DEMONSTRATIONS: Space = {
    "steps": Choice((100, 300, 600)),
    "batch_size": Choice((32, 64, 128)),
    "learning_rate": Range(2e-4, 1e-2, log=True),
}

_OFFLINE: Space = {
    "steps": Choice((1_000, 2_000, 4_000)),
    "batch_size": Choice((128, 256, 512)),
    "learning_rate": Range(1e-4, 5e-3, log=True),
    "hidden": _SIZES,
}

SPACES: Mapping[str, Space] = {
    "q_learning": {
        "learning_rate": Range(0.05, 1.0, log=True),
        "epsilon_end": Range(0.0, 0.2),
        "exploration": Range(0.3, 0.95),
        "initial_value": Range(-1.0, 1.0),
        "lanes": Choice((8, 16, 32, 64)),
    },
    "dqn": {
        "lanes": Choice((8, 16, 32)),
        "learning_rate": Range(1e-4, 5e-3, log=True),
        "batch_size": Choice((64, 128, 256)),
        "train_freq": Choice((1, 2, 4)),
        "gradient_steps": Choice((1, 2, 4)),
        "target_update_interval": Choice((500, 1_000, 2_000, 4_000)),
        "exploration_fraction": Range(0.2, 0.8),
        "exploration_final_eps": Range(0.01, 0.1),
        "hidden": _SIZES,
    },
    "ppo": _PPO,
    "maskable_ppo": _PPO,
    "a2c": _ON_POLICY,
    "sft": _DEMONSTRATIONS,
    "best_of_n": _DEMONSTRATIONS,
    "beam": {**_DEMONSTRATIONS, "length_penalty": Range(0.0, 1.0)},
    "reinforce": _GRADIENT,
    "rloo": {**_GRADIENT, "group": _GROUPS},
    "grpo": {
        **_GRADIENT,
        "group": _GROUPS,
        "scale": Choice(("group", "batch", "none")),
        "clip_high": Range(0.1, 0.4),
    },
    "lm_ppo": {
        **_GRADIENT,
        "minibatches": Choice((1, 2, 4)),
        "gae_lambda": Range(0.9, 1.0),
        "clip": Range(0.1, 0.4),
        "value_coefficient": Range(0.1, 1.0),
    },
    "dpo": {
        "texts": Choice((128, 256, 512)),
        "sft_steps": Choice((None, 100, 600)),
        "learning_rate": Range(1e-4, 5e-3, log=True),
        "beta": Range(0.01, 1.0, log=True),
        "steps": Choice((100, 300, 600)),
        "label_smoothing": Range(0.0, 0.2),
    },
    "bc": {**_OFFLINE, "best": Range(0.05, 1.0)},
    "cql": {**_OFFLINE, "alpha": Range(0.005, 1.0, log=True)},
}
"""Agent -> its search space; every registered agent that learns something has one."""


def space_of(agent: str) -> Space:
    """The search space of an agent; one of one's own brings it as the class attribute ``search_space``.

    Raises:
        UnknownNameError: for an agent that is neither registered nor "module:Class".
        ConfigurationError: for an agent without a search space, or a space that cannot be read.

    Example:
        >>> space_of("q_learning")["exploration"]
        Range(low=0.3, high=0.95, log=False)
    """
    if agent in SPACES:
        return SPACES[agent]
    if agent in NOTHING_TO_TUNE:
        raise ConfigurationError(f"{agent} learns nothing, so there is nothing to tune; leave it out")
    raw = getattr(agent_class(agent), ATTRIBUTE, None)
    if not isinstance(raw, Mapping) or not raw:
        fix = "" if agent in AGENTS else ', such as search_space = {"learning_rate": (1e-4, 1e-2, "log")}'
        raise ConfigurationError(f"{agent} has no search space; give its class the attribute {ATTRIBUTE}{fix}")
    return {str(name): read_range(str(name), value) for name, value in raw.items()}


def read_range(name: str, value: Any) -> Range | Choice:
    """One option of a search space as people write it.

    Raises:
        ConfigurationError: naming the option.

    Example:
        >>> read_range("learning_rate", (1e-4, 1e-2, "log"))
        Range(low=0.0001, high=0.01, log=True)
        >>> read_range("width", [16, 32])
        Choice(values=(16, 32))
    """
    try:
        if isinstance(value, Range | Choice):
            return value
        if isinstance(value, list):
            return Choice(tuple(value))
        low, high, *rest = value
        if rest not in ([], ["log"]):
            raise ConfigurationError(f"{rest!r} after the two ends")
        return Range(low, high, log=bool(rest))
    except (ConfigurationError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{ATTRIBUTE}, {name}={value!r}: expected {_EXPECTED} ({error})") from None


def describe(space: Space) -> dict[str, Any]:
    """A search space as JSON holds it.

    Example:
        >>> describe({"a": Range(1, 3), "b": Choice((True, False))})
        {'a': {'low': 1, 'high': 3}, 'b': {'choices': [True, False]}}
    """
    found: dict[str, Any] = {}
    for name, option in space.items():
        if isinstance(option, Choice):
            found[name] = {"choices": json.loads(json.dumps(option.values))}
        else:
            found[name] = {"low": option.low, "high": option.high} | ({"log": True} if option.log else {})
    return found
