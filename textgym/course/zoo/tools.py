"""Sound parts that several programs of the zoo share; no bug stands here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.factory import EnvFactory
from textgym.returns import Returns
from textgym.writing import score

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Texts:
    """A batch of B texts of at most T tokens.

    A state is a number that stands for the position and the token before it: enough to write a short review.

    Attributes:
        states: ``(B, T)`` where the agent was.
        tokens: ``(B, T)`` what it wrote there.
        alive: ``(B, T)`` False after the end of the text.
        rewards: ``(B, T)`` what each token was paid.
        prompts: ``(B,)`` the row of each text's prompt.
    """

    states: Ints
    tokens: Ints
    alive: Flags
    rewards: Floats
    prompts: Ints

    @property
    def returns(self) -> Floats:
        """``(B,)`` what each text was paid in all."""
        return self.rewards.sum(axis=1)

    @property
    def lengths(self) -> Ints:
        """``(B,)`` tokens of each text, its end token included."""
        return self.alive.sum(axis=1)


def count_states(envs: Any) -> int:
    """How many states :func:`write` knows."""
    return int(envs.unwrapped.task.budget) * (int(envs.single_action_space.n) + 1)


def new_logits(envs: Any) -> Floats:
    """The logits ``(S, V)`` of a policy that writes anything and seldom ends: all 0, those of the end token -2.

    From equal logits most runs soon fall silent: the empty text is poor, and better than most others.
    """
    logits = np.zeros((count_states(envs), int(envs.single_action_space.n)))
    logits[:, envs.unwrapped.eos_id] = -2.0
    return logits


def write(envs: Any, policy: Floats, rng: np.random.Generator) -> Texts:
    """Has a policy write one text in each lane.

    Args:
        envs: A vector environment in the mode NEXT_STEP.
        policy: ``(S, V)`` the probabilities of tokens in each state; what is masked has none.
        rng: Where the chance comes from.
    """
    envs.reset()
    prompts = envs.unwrapped.prompt_indices
    alive = np.ones(envs.num_envs, dtype=bool)
    previous = np.full(envs.num_envs, policy.shape[1])
    columns = []
    for position in range(envs.unwrapped.task.budget):
        states = position * (policy.shape[1] + 1) + previous
        tokens = draw(policy[states], rng)
        _, rewards, terminated, _, _ = envs.step(tokens)
        columns.append((states, tokens, alive, rewards * alive))
        alive, previous = alive & ~terminated, tokens
    states, tokens, written, paid = (np.stack(column, axis=1) for column in zip(*columns, strict=True))
    return Texts(states, tokens, written, paid, prompts)


def draw(probabilities: Floats, rng: np.random.Generator) -> Ints:
    """One id for each row of ``(B, V)`` probabilities."""
    heights = probabilities.cumsum(axis=1)
    return (rng.random((len(heights), 1)) * heights[:, -1:] >= heights).sum(axis=1)


def masked_softmax(logits: Floats, mask: Flags) -> Floats:
    """Probabilities among the ids that may be written."""
    shifted = np.where(mask, logits, -np.inf)
    weights = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


Table = dict[bytes, Floats]

TINY = EnvFactory("TextGen-v0", {"level": "tiny"})
"""Reviews of at most four words, to one prompt."""


def tiny_returns() -> Returns:
    """What random play and the best text earn on the level "tiny", exactly."""
    return TINY.task().returns()


def new_table(mask: Any) -> Table:
    """A Q-table that begins at 0 wherever a token may be written, and at minus infinity elsewhere."""
    fresh = np.where(np.asarray(mask, dtype=bool), 0.0, -np.inf)
    return defaultdict(fresh.copy)


def explore(values: Floats, epsilon: float, rng: np.random.Generator) -> int:
    """The best token as far as is known; with probability epsilon any token that may be written."""
    if rng.random() >= epsilon:
        return int(values.argmax())
    legal = np.flatnonzero(values > -np.inf)
    return int(legal[int(rng.random() * len(legal))])


def thirds(returns: Sequence[float]) -> tuple[float, float]:
    """The mean return of the first third of the training, and of the last."""
    third = max(1, len(returns) // 3)
    return float(np.mean(returns[:third])), float(np.mean(returns[-third:]))


def smooth(values: Sequence[float], pieces: int = 40) -> list[float]:
    """The means of so many pieces of a long list, for a picture."""
    return [float(np.mean(piece)) for piece in np.array_split(np.asarray(values, dtype=float), pieces)]


def policy_gradient(policy: Floats, texts: Texts, credit: Floats) -> Floats:
    """The gradient of the mean of credit times log-probability, by the logits of a softmax policy.

    Args:
        policy: ``(S, V)`` the probabilities with which the texts were written.
        texts: What was written.
        credit: ``(B, T)`` how good each token was; 0 where it should not count.

    Returns:
        ``(S, V)``: REINFORCE (Williams 1992).
    """
    states, tokens, weights = texts.states.ravel(), texts.tokens.ravel(), credit.ravel() / len(credit)
    total = np.bincount(states, weights, minlength=len(policy))
    gradient = -total[:, None] * policy
    np.add.at(gradient, (states, tokens), weights)
    return gradient


def entropy(policy: Floats, states: Ints) -> float:
    """The mean entropy, in nats, of a policy over the states that it visited."""
    rows = policy[states.ravel()]
    return float(-(rows * np.log(np.where(rows > 0.0, rows, 1.0))).sum(axis=1).mean())


def all_texts() -> tuple[list[tuple[int, ...]], Floats]:
    """Every text of the level "tiny" as token ids, and the reward of each."""
    task, envs = TINY.task(), TINY.vector(1)
    words, end = np.flatnonzero(envs.unwrapped.action_masks()[0]).tolist(), task.tokenizer.eos_ids[0]  # type: ignore[attr-defined]
    texts: list[tuple[int, ...]] = [()]
    for _ in range(task.budget):
        texts = [longer for text in texts for longer in _lengthen(text, words, end)]
    return texts, score(TINY, [task.prompts.texts[0]] * len(texts), texts)


def _lengthen(text: tuple[int, ...], words: Sequence[int], end: int) -> list[tuple[int, ...]]:
    return [text] if end in text else [(*text, word) for word in words]
