"""What an agent thinks of the next token, in the form that it has its thoughts in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.agents.base import tokens_of
from textgym.errors import ConfigurationError


@dataclass(frozen=True)
class Opinion:
    """An agent's thoughts about one prefix.

    Attributes:
        choice: The id that it would write.
        name: What ``values`` are: ``"Q"`` or ``"probability"``; None where the agent tells nothing but its choice.
        values: ``(V,)`` numbers; NaN where it has none.
        expected: What its critic expects to earn from here, where it has one.
    """

    choice: int
    name: str | None = None
    values: NDArray[np.float64] | None = None
    expected: float | None = None


def ask(agent: Any, observation: Any, mask: NDArray[np.bool_], *, first: bool) -> Opinion:
    """Shows an agent one observation and asks what it thinks.

    Args:
        agent: Anything with ``act``; a table (``rows`` and ``q``), ``q_values``, ``log_probs`` and ``values`` are used
            where it has them.
        observation: One observation of a single environment.
        mask: ``(V,)`` which ids are legal.
        first: Whether the text is still empty.

    Raises:
        ConfigurationError: for an agent that was trained in another environment.
    """
    batch, masks = _as_batch(observation), mask[None]
    choice = agent.act(batch, masks, deterministic=True, episode_starts=np.array([first]))
    expected = float(agent.values(batch)[0]) if hasattr(agent, "values") else None
    name, values = _values(agent, batch, masks)
    if values is not None and values.shape != mask.shape:
        raise ConfigurationError(f"the agent knows {values.shape[0]} ids, the environment has {len(mask)}")
    return Opinion(int(choice[0]), name, values, expected)


def _values(agent: Any, batch: Any, masks: NDArray[np.bool_]) -> tuple[str | None, NDArray[np.float64] | None]:
    if hasattr(agent, "rows") and hasattr(agent, "q"):
        return "Q", _look_up(agent, tokens_of(batch)[0].tobytes())
    if hasattr(agent, "q_values"):
        return "Q", np.asarray(agent.q_values(batch)[0], dtype=np.float64)
    if hasattr(agent, "log_probs"):
        return "probability", np.exp(np.asarray(agent.log_probs(batch, masks)[0], dtype=np.float64))
    return None, None


def _look_up(agent: Any, state: bytes) -> NDArray[np.float64]:
    """The values that a table has learned here; NaN for what it never tried."""
    row = agent.rows.get(state)
    values = np.full(agent.q.shape[1], np.nan)
    if row is not None:
        tried = getattr(agent, "visits", np.ones_like(agent.q))[row] > 0
        values[tried] = agent.q[row][tried]
    return values


def _as_batch(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {name: part[None] for name, part in observation.items()}
    return observation[None] if isinstance(observation, np.ndarray) else (observation,)
