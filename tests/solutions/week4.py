"""A teacher's solution of week 4."""

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
    best = np.where(next_masks, next_q, -np.inf).max(axis=1)
    return np.where(terminated, rewards, rewards + discount * best)


def double_q_targets(
    rewards: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    next_online: np.ndarray,
    next_target: np.ndarray,
    next_masks: np.ndarray,
    discount: float,
) -> np.ndarray:
    chosen = np.where(next_masks, next_online, -np.inf).argmax(axis=1)
    worth = next_target[np.arange(len(chosen)), chosen]
    return np.where(terminated, rewards, rewards + discount * worth)


def advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    last_values: np.ndarray,
    terminated: np.ndarray,
    resets: np.ndarray,
    discount: float,
    decay: float,
) -> np.ndarray:
    found = np.zeros(rewards.shape)
    following, carried = last_values, np.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        error = rewards[t] + discount * np.where(terminated[t], 0.0, following) - values[t]
        carried = error + discount * decay * np.where(terminated[t], 0.0, carried)
        found[t] = np.where(resets[t], 0.0, carried)
        following = values[t]
    return found


def masked_policy(logits: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    barred = np.where(masks, logits, -np.inf)
    weights = np.exp(barred - barred.max(axis=1, keepdims=True))
    chances = weights / weights.sum(axis=1, keepdims=True)
    surprise = -np.log(np.where(chances > 0, chances, 1.0))
    return chances, (chances * surprise).sum(axis=1)


def clipped_objective(
    logits: np.ndarray,
    masks: np.ndarray,
    actions: np.ndarray,
    old_log_probs: np.ndarray,
    advantages: np.ndarray,
    clip: float,
) -> tuple[float, np.ndarray]:
    rows = np.arange(len(actions))
    chances, _ = masked_policy(logits, masks)
    ratios = chances[rows, actions] * np.exp(-old_log_probs)
    clipped = np.clip(ratios, 1 - clip, 1 + clip)
    gains = np.minimum(ratios * advantages, clipped * advantages)
    moving = np.where(ratios * advantages <= clipped * advantages, ratios * advantages, 0.0)
    slope = -chances * moving[:, None]
    slope[rows, actions] += moving
    return gains.mean(), slope / len(actions)
