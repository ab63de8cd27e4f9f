"""What week 4 compares answers with: targets of Q-learning, advantages, and the clipped objective, from definitions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


def q_targets(rewards: Floats, terminated: Mask, next_q: Floats, next_masks: Mask, discount: float) -> Floats:
    """``r + discount * max over legal ids of Q``, and ``r`` where the text ended (Mnih et al. 2015).

    Args:
        rewards: ``(B,)``.
        terminated: ``(B,)`` whether the text ended. A text that was only cut short has a future.
        next_q: ``(B, V)`` values of the next state.
        next_masks: ``(B, V)`` which ids are legal there.
        discount: Gamma.
    """
    best = np.where(next_masks, next_q, -np.inf).max(axis=1)
    return np.asarray(rewards + np.where(terminated, 0.0, discount * best))


def double_q_targets(
    rewards: Floats, terminated: Mask, next_online: Floats, next_target: Floats, next_masks: Mask, discount: float
) -> Floats:
    """The same with the id chosen by one network and valued by the other (van Hasselt et al. 2016).

    Args:
        rewards: ``(B,)``.
        terminated: ``(B,)``.
        next_online: ``(B, V)`` the network that learns: it chooses.
        next_target: ``(B, V)`` its older copy: it values the choice.
        next_masks: ``(B, V)``.
        discount: Gamma.
    """
    chosen = np.where(next_masks, next_online, -np.inf).argmax(axis=1)
    only = np.zeros_like(next_masks)
    only[np.arange(len(chosen)), chosen] = True
    return q_targets(rewards, terminated, next_target, only, discount)


def advantages(
    rewards: Floats,
    values: Floats,
    last_values: Floats,
    terminated: Mask,
    resets: Mask,
    *,
    discount: float,
    decay: float,
) -> Floats:
    """Generalised advantage estimation (Schulman et al. 2016), summed lane by lane from its definition.

    Args:
        rewards: ``(T, N)`` of a rollout with N lanes that restart in the next step.
        values: ``(T, N)`` of the states before the steps.
        last_values: ``(N,)`` of the states after the last step.
        terminated: ``(T, N)`` whether a text ended in this step.
        resets: ``(T, N)`` steps that only started the next text: nobody acted.
        discount: Gamma.
        decay: Lambda.

    Returns:
        ``(T, N)``, 0 where nobody acted.
    """
    following = np.concatenate([values[1:], last_values[None]])
    errors = rewards + discount * np.where(terminated, 0.0, following) - values
    found = np.zeros_like(rewards)
    steps, lanes = rewards.shape
    for lane in range(lanes):
        for start in np.flatnonzero(~resets[:, lane]).tolist():
            ends = start + np.flatnonzero(terminated[start:, lane])
            last = int(ends[0]) if ends.size else steps - 1
            weights = (discount * decay) ** np.arange(last - start + 1)
            found[start, lane] = weights @ errors[start : last + 1, lane]
    return found


def masked_policy(logits: Floats, masks: Mask) -> tuple[Floats, Floats]:
    """Probabilities ``(B, V)`` of a softmax over the legal ids alone, and its entropy ``(B,)`` in nats."""
    barred = np.where(masks, logits, -np.inf)
    weights = np.exp(barred - barred.max(axis=1, keepdims=True))
    chances = weights / weights.sum(axis=1, keepdims=True)
    logs = np.log(np.where(chances > 0, chances, 1.0))
    return chances, -(chances * logs).sum(axis=1)


def clipped_objective(
    logits: Floats, masks: Mask, actions: Integers, old_log_probs: Floats, gains: Floats, *, clip: float
) -> tuple[float, Floats]:
    """PPO's clipped objective (Schulman et al. 2017), to be maximised, and its gradient with respect to the logits.

    Args:
        logits: ``(B, V)`` of the policy that learns.
        masks: ``(B, V)`` legal ids.
        actions: ``(B,)`` ids that were written.
        old_log_probs: ``(B,)`` of these when they were written.
        gains: ``(B,)`` advantages.
        clip: How far a ratio may pay.

    Returns:
        The mean over the batch, and ``(B, V)``.
    """
    rows = np.arange(len(actions))
    chances, _ = masked_policy(logits, masks)
    ratios = chances[rows, actions] / np.exp(old_log_probs)
    clipped = np.clip(ratios, 1.0 - clip, 1.0 + clip)
    active = ratios * gains <= clipped * gains
    written = np.zeros_like(chances)
    written[rows, actions] = 1.0
    slopes = np.where(active, ratios * gains, 0.0)[:, None] * (written - chances)
    return float(np.minimum(ratios * gains, clipped * gains).mean()), slopes / len(actions)
