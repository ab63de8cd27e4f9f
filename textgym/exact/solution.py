"""What the prefix tree of an environment says, and how policies and tables compare with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.configuration import EnvConfig
from textgym.errors import SolveError
from textgym.exact.policies import Frame, TreePolicy, read_policy, read_table, renormalise
from textgym.exact.soft import SoftOptimum, diverge
from textgym.exact.tree import Floats, Levels, average, best
from textgym.exact.values import Optimum, Prefix, Values
from textgym.task import Returns


@dataclass(frozen=True, eq=False)
class PolicyValue(Values):
    """What a policy earns, exactly.

    Attributes:
        policy: ``(G, N, K)`` its probabilities at each length of prefix.
        visits: ``(G, N)`` the probability that a text of the policy passes through each prefix.
        returns: Mean return of each prompt.
        mean_return: Mean return, averaged over the prompts.
        regret: The optimal return minus the mean return.
        kl: Divergence from the reference in nats a text, the policy's illegal ids left aside.
        illegal: The probability that a text ends with an illegal id.
    """

    policy: TreePolicy = field(repr=False)
    visits: Levels = field(repr=False)
    returns: dict[str, float]
    mean_return: float
    regret: float
    kl: float
    illegal: float


@dataclass(frozen=True, eq=False)
class TableError:
    """How far a learned table is from Q*.

    Attributes:
        errors: ``(G, N, K)`` learned minus exact values; NaN where nothing is known.
        known: Number of values that are known.
        largest: Largest absolute error.
        mean: Mean absolute error.
    """

    errors: Levels = field(repr=False)
    known: int
    largest: float
    mean: float


@dataclass(frozen=True, eq=False)
class TreeSolution(Values, Optimum):
    """The exact solution of an environment, found by trying all texts.

    Besides V* and Q* by prefix, it has the arrays of :class:`~textgym.exact.values.Values` and the best texts of
    :class:`~textgym.exact.values.Optimum`.

    Attributes:
        config: The environment that was solved.
        discount: Gamma.
        kind: ``"reward"`` or ``"gold"``.
        reference: ``(G, N, K)`` probabilities of the reference policy, uniform by default.
        soft: The soft optimum, where a temperature was given.
        replay: (row of the prompt, actions) -> the text that they write, where wrappers turn actions into other ids.
    """

    config: EnvConfig
    discount: float
    kind: str
    reference: Levels = field(repr=False)
    soft: SoftOptimum | None
    replay: Callable[[int, list[int]], str] | None = field(default=None, repr=False)

    engine = "tree"

    def text_of(self, row: int, ids: list[int]) -> str:
        """The text that these ids write to the prompt in this row."""
        return super().text_of(row, ids) if self.replay is None else self.replay(row, ids)

    def _find(self, prefix: Prefix, prompt: str | int | None) -> tuple[int, int, int]:
        if isinstance(prefix, str) and self.replay is not None:
            raise SolveError(f"prefix={prefix!r}: wrappers turn actions into other ids; name it by its actions")
        return super()._find(prefix, prompt)

    def _ends(self, ids: list[int]) -> bool:
        depth, row = self.tree.find(ids[:-1])
        return bool(self.tree.levels[depth].child[row, self.tree.column_of[ids[-1]]] < 0)

    @cached_property
    def returns(self) -> Returns:
        """The exact random, blind and best return: averages over the prompts."""
        weights = self.index.weights
        values, _ = self.tree.back_up(self.discount, average)
        together = [np.tensordot(weights, level.rewards, 1)[None] for level in self.tree.levels]
        blind, _ = self.tree.back_up(self.discount, best, together)
        return Returns(float(weights @ values[0][:, 0]), float(blind[0][0, 0]), self.optimal_return)

    def policy_value(self, policy: Any, *, illegal: str = "raise") -> PolicyValue:
        """What a policy earns, exactly: V, Q and A at every prefix, its return, regret and divergence.

        Args:
            policy: An agent with ``log_probs(observations, action_masks)``, an agent or function that acts
                deterministically, a Q-table (its greedy policy; see :func:`textgym.exact.policies.read_table`), or a
                :class:`~textgym.exact.policies.TreePolicy`.
            illegal: ``"raise"`` where a deterministic policy chooses an illegal id, or ``"pay"`` what it costs. The
                illegal ids of a policy with ``log_probs`` are always paid.

        Raises:
            ActionError: for an illegal id.
            SolveError: for what is no policy, and tables of the wrong shape.
        """
        if illegal not in ("raise", "pay"):
            raise SolveError(f"illegal={illegal!r}: expected 'raise' or 'pay'")
        answers = read_policy(policy, self.frame(paying=illegal == "pay"))
        costs = [p[:, :, -1] * np.where(p[:, :, -1] > 0, level.illegal, 0.0) for p, level in self._with_levels(answers)]
        chosen = tuple(p[:, :, :-1] for p in answers)

        def weigh(q: Floats, legal: NDArray[np.bool_], level: int) -> Floats:
            return np.where(chosen[level] > 0, chosen[level] * q, 0.0).sum(axis=2) + costs[level]

        values, q_values = self.tree.back_up(self.discount, weigh)
        visits = self.tree.pass_down(chosen)
        broken = [(reached * p[:, :, -1]).sum(axis=1) for reached, p in zip(visits, answers, strict=True)]
        mean_return = float(self.index.weights @ values[0][:, 0])
        return PolicyValue(
            self.task,
            self.tree,
            self.index,
            values,
            q_values,
            policy=TreePolicy(chosen),
            visits=visits,
            returns=self.index.by_prompt(values[0][:, 0].tolist()),
            mean_return=mean_return,
            regret=self.optimal_return - mean_return,
            kl=float(self.index.weights @ diverge(self.tree, renormalise(chosen), self.reference)),
            illegal=float(self.index.weights @ np.sum(broken, axis=0)),
        )

    def _with_levels(self, arrays: Sequence[Floats]) -> Any:
        return zip(arrays, self.tree.levels, strict=True)

    def frame(self, *, paying: bool = False) -> Frame:
        """What is needed to show an agent the prefixes."""
        return Frame(self.config, self.tree, self.index.representatives, paying, self.replay is not None)

    def table_error(self, table: Any) -> TableError:
        """How far a learned Q-table is from Q*, at the entries that it knows.

        Args:
            table: See :func:`textgym.exact.policies.read_table`.

        Raises:
            SolveError: for a table of the wrong shape, or one that knows nothing.
        """
        learned = read_table(table, self.frame())
        errors = tuple(
            np.where(level.legal, known - exact, np.nan)
            for known, exact, level in zip(learned, self.q_values, self.tree.levels, strict=True)
        )
        sizes = np.concatenate([np.abs(error[~np.isnan(error)]) for error in errors])
        if not sizes.size:
            raise SolveError("the Q-table knows none of these prefixes: it was learned in another environment")
        return TableError(errors, int(sizes.size), float(sizes.max()), float(sizes.mean()))
