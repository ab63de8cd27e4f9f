"""The exact return of a policy and its exact divergence from the reference, where the task is small enough to solve."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textgym.agents.base import tokens_of
from textgym.agents.lm.health import HealthWarning
from textgym.agents.lm.model import LMPolicy
from textgym.agents.lm.sampling import masked_log_probs, top_p_mask
from textgym.errors import SolveError
from textgym.exact import TreeSolution, solve
from textgym.factory import EnvFactory


class Distribution:
    """A policy as :mod:`textgym.exact` asks it: an agent with ``log_probs`` alone.

    Args:
        policy: A language model.
        mask_policy: Only its likeliest tokens, which together have ``top_p``, are written.
        top_p: See ``mask_policy``.
    """

    def __init__(self, policy: LMPolicy, mask_policy: LMPolicy | None = None, top_p: float = 1.0) -> None:
        self._policy, self._mask_policy, self._top_p = policy, mask_policy, top_p

    @torch.inference_mode()
    def log_probs(self, observations: Any, action_masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """``(B, V)`` log-probabilities of the next token."""
        tokens = tokens_of(observations)
        found = self._policy.next_log_probs(tokens, action_masks)
        if self._mask_policy is not None:
            likely = top_p_mask(self._mask_policy.next_log_probs(tokens, action_masks), self._top_p)
            found = masked_log_probs(found, likely)
        return np.asarray(found.cpu().numpy(), dtype=np.float64)


class ExactTruth:
    """Measures a policy exactly, every so many updates.

    Args:
        envs: The environments; what is computed here costs none of their budget.
        reference: What the policy is compared with; None for uniform play.
        every: Updates between two measurements; 0 measures nothing.
    """

    def __init__(self, envs: EnvFactory, reference: LMPolicy | None, *, every: int) -> None:
        self._envs = EnvFactory(envs.env_id, {**envs.kwargs, "observation": "tokens"})
        self._reference, self._every = reference, every
        self._solution: TreeSolution | None = None

    def measure(
        self, policy: LMPolicy, update: int, *, mask_policy: LMPolicy | None = None, top_p: float = 1.0
    ) -> dict[str, float]:
        """``exact_reward`` and ``exact_kl`` of the policy as it is, where it is this update's turn."""
        if not self._every or update % self._every:
            return {}
        if self._solution is None:
            self._solution = self._solve()
        if self._solution is None:
            return {}
        found = self._solution.policy_value(Distribution(policy, mask_policy, top_p))
        return {"exact_reward": found.mean_return, "exact_kl": found.kl}

    def _solve(self) -> TreeSolution | None:
        reference = None if self._reference is None else Distribution(self._reference)
        try:
            solution = solve(self._envs, reference=reference, engine="tree")
            if isinstance(solution, TreeSolution):
                return solution
            reason = "conversations have no divergence from a reference here"
        except SolveError as error:
            reason = str(error)
        self._every = 0
        warnings.warn(f"exact_every: this task is not solved exactly ({reason})", HealthWarning, stacklevel=2)
        return None
