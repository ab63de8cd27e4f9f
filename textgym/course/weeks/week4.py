"""Week 4: the arithmetic inside DQN and PPO."""

from __future__ import annotations

from textgym.course.assignment import Assignment
from textgym.course.sandbox import FORBIDDEN
from textgym.course.weeks.week_dqn import DOUBLE, TARGETS
from textgym.course.weeks.week_ppo import CLIPPING, ESTIMATES

TEMPLATE = '''"""Week 4: the arithmetic inside DQN and PPO. Arrays are NumPy arrays."""

from __future__ import annotations

import numpy as np


def q_targets(
    rewards: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    next_q: np.ndarray,
    next_masks: np.ndarray,
    discount: float,
) -> np.ndarray:
    """The targets (B,) of DQN.

    rewards, terminated, truncated (B,): of each transition. next_q (B, V): the target network's values in the next
    states. next_masks (B, V): which ids are legal there.
    """
    raise NotImplementedError


def double_q_targets(
    rewards: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    next_online: np.ndarray,
    next_target: np.ndarray,
    next_masks: np.ndarray,
    discount: float,
) -> np.ndarray:
    """The targets (B,) of double DQN: next_online (B, V) chooses the next id, next_target (B, V) values it."""
    raise NotImplementedError


def advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    last_values: np.ndarray,
    terminated: np.ndarray,
    resets: np.ndarray,
    discount: float,
    decay: float,
) -> np.ndarray:
    """Generalised advantage estimates (T, N) of a rollout.

    rewards, values, terminated, resets (T, N): values of the states before the steps; where resets is True nobody
    acted. last_values (N,): values of the states after the last step. decay is lambda.
    """
    raise NotImplementedError


def masked_policy(logits: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (B, V) over the legal ids, and entropies (B,) in nats."""
    raise NotImplementedError


def clipped_objective(
    logits: np.ndarray,
    masks: np.ndarray,
    actions: np.ndarray,
    old_log_probs: np.ndarray,
    advantages: np.ndarray,
    clip: float,
) -> tuple[float, np.ndarray]:
    """PPO's objective, a mean over the batch to be maximised, and its gradient with respect to the logits, (B, V)."""
    raise NotImplementedError
'''

WEEK = Assignment(
    name="week4",
    title="DQN and PPO",
    goal="Write the few lines in which implementations of DQN and PPO go wrong in silence, and check them by Q*.",
    parts=(TARGETS, DOUBLE, ESTIMATES, CLIPPING),
    template=TEMPLATE,
    forbidden=(*FORBIDDEN, "textgym.agents"),
)
