"""Reference policies: where optimisation begins, and how far a policy has moved away, token by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.configuration import EnvConfig
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.language_models import renormalize
from textgym.playing import play

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

NAMES = ("uniform", "demonstrations")


class UniformReference:
    """Every legal token is equally likely."""

    def log_probs(self, tokens: Any, action_masks: Mask) -> Floats:
        """``(B, V)`` the logarithms of equal shares, minus infinity for illegal ids."""
        return renormalize(np.zeros(action_masks.shape), action_masks)


def find_reference(reference: Any, config: EnvConfig) -> Any:
    """Turns what a user may hand in as the reference into something with ``log_probs(observations, masks)``.

    Args:
        reference: ``"uniform"`` over the legal tokens, ``"demonstrations"`` (the task's n-gram model of them), or
            anything with ``log_probs``, such as an agent or a language model.
        config: The environment.

    Raises:
        ConfigurationError: for anything else, and where the task has no demonstrations.
    """
    if reference == "uniform":
        return UniformReference()
    if reference == "demonstrations":
        if config.task.language_model is None:
            raise ConfigurationError(
                f"reference='demonstrations': {config.task!r} has no demonstrations to fit a model to; use 'uniform', "
                "or a policy with log_probs"
            )
        return config.task.language_model
    if not hasattr(reference, "log_probs") or isinstance(reference, type):
        raise ConfigurationError(
            f"reference={reference!r}: expected {' or '.join(map(repr, NAMES))}, or something with "
            "log_probs(observations, action_masks), such as an agent that samples"
        )
    return reference


def read_tokens(observations: Any, vocab_size: int) -> NDArray[np.int32]:
    """The ``(B, P + T)`` ids in a batch of "tokens", "dict" or "one_hot" observations.

    Raises:
        ConfigurationError: for texts, which say no ids.
    """
    tokens = observations["tokens"] if isinstance(observations, Mapping) else observations
    array = np.asarray(tokens)
    if array.ndim == 2 and array.dtype.kind == "f":
        array = array.reshape(len(array), -1, vocab_size + 1).argmax(axis=2)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise ConfigurationError(
            "observation='text' says no token ids, which the reference needs; use 'tokens', 'dict' or 'one_hot'"
        )
    return array.astype(np.int32)


class Tracker:
    """Draws tokens from a policy and adds up how much likelier they were than under the reference.

    Args:
        policy: Has ``log_probs(observations, action_masks)``; draws among legal ids alone.
        reference: Reads the rows of the "tokens" observation.
        rng: The source of all chance.

    Attributes:
        totals: ``(B,)`` log-ratio of each lane's first text, for each chunk of lanes.
    """

    def __init__(self, policy: Any, reference: Any, rng: np.random.Generator) -> None:
        self.policy, self.reference, self.rng = policy, reference, rng
        self.totals: list[Floats] = []
        self._going: Mask = np.zeros(0, dtype=bool)

    def act(
        self, observations: Any, action_masks: Mask, *, deterministic: bool = False, episode_starts: Mask
    ) -> NDArray[np.int64]:
        """One id for each row; rows whose first text is over are no longer counted."""
        if episode_starts.all():  # later on, all lanes end together only where nobody is waited for any more
            self.totals.append(np.zeros(len(action_masks)))
            self._going = np.ones(len(action_masks), dtype=bool)
        else:
            self._going &= ~episode_starts
        log_probs = renormalize(np.asarray(self.policy.log_probs(observations, action_masks), float), action_masks)
        cumulative = np.cumsum(np.exp(log_probs), axis=1)
        thresholds = self.rng.random(len(cumulative)) * cumulative[:, -1]
        actions = (cumulative > thresholds[:, None]).argmax(axis=1)
        if self.reference is not self.policy:
            tokens = read_tokens(observations, action_masks.shape[1])
            base = renormalize(np.asarray(self.reference.log_probs(tokens, action_masks), float), action_masks)
            rows = np.arange(len(actions))
            self.totals[-1] += np.where(self._going, log_probs[rows, actions] - base[rows, actions], 0.0)
        return actions


def sample(
    policy: Any, factory: EnvFactory, prompt_indices: Sequence[int] | NDArray[np.int64], *, seed: int, reference: Any
) -> tuple[EpisodeBatch, Floats]:
    """Lets a policy write one text to each prompt.

    Returns:
        The texts, and ``(N,)`` the log-ratio ``log policy - log reference`` of each, whose mean estimates the
        Kullback-Leibler divergence; zeros where policy and reference are one.
    """
    tracker = Tracker(policy, reference, np.random.default_rng(seed))
    batch, _ = play(
        tracker,
        factory,
        episodes=len(prompt_indices),
        seed=seed % 2**31,
        deterministic=False,
        prompt_indices=np.asarray(prompt_indices),
    )
    return batch, np.concatenate(tracker.totals)
