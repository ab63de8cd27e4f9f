"""What a picture shows of one prompt: values, how often each text is written, and what a greedy player chooses."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from textgym.errors import ConfigurationError, SolveError
from textgym.exact import AutomatonSolution, PolicyValue, PrefixTree, TreeSolution
from textgym.exact.policies import is_table
from textgym.exact.tree import Levels
from textgym.pictures import svg
from textgym.pictures.learned import check_tree, read_learned
from textgym.task import Task


@dataclass(frozen=True, eq=False)
class View:
    """The numbers of a picture; arrays ``(N, K)`` for each length of prefix.

    Attributes:
        source: The solution or the policy's values: has the task, the tree and the prompts.
        group: Which of its prompts.
        q: What each id is worth; NaN where that is not known.
        values: ``(N,)`` what each prefix is worth.
        reached: ``(N,)`` how often each prefix is reached: a probability or a count.
        flow: How often each id is written there; NaN where that is not known.
        illegal: ``(N,)`` how often an illegal id is written there; None for never.
        choice: A greedy player takes the id with the largest; NaN is never taken.
        truth: Q*, where it is known and not ``q`` itself.
        value_name: What ``q`` is, such as ``"Q*"``.
        flow_name: What ``flow`` is.
        path_name: What the marked path is.
    """

    source: TreeSolution | PolicyValue
    group: int
    q: Levels = field(repr=False)
    values: Levels = field(repr=False)
    reached: Levels = field(repr=False)
    flow: Levels = field(repr=False)
    illegal: Levels | None = field(repr=False)
    choice: Levels = field(repr=False)
    truth: Levels | None = field(repr=False)
    value_name: str
    flow_name: str
    path_name: str

    @property
    def tree(self) -> PrefixTree:
        """The prefixes."""
        return self.source.tree

    @property
    def task(self) -> Task:
        """What is solved."""
        return self.source.task

    @property
    def prompt(self) -> str:
        """The text of the prompt."""
        return self.task.prompts.texts[self.source.index.representatives[self.group]]

    def broken(self, level: int, row: int) -> float:
        """How often an illegal id is written after a prefix."""
        return 0.0 if self.illegal is None else float(self.illegal[level][row])

    def greedy(self, level: int, row: int) -> int | None:
        """The column of the greedy choice; None where nothing is known or an illegal id is chosen."""
        legal = self.tree.levels[level].legal[row]
        known = np.where(legal & ~np.isnan(self.choice[level][row]), self.choice[level][row], -np.inf)
        if not np.isfinite(known).any() or self.broken(level, row) > np.nanmax(self.flow[level][row], initial=0.0):
            return None
        return int(known.argmax())

    def is_best(self, level: int, row: int, column: int) -> bool:
        """Whether no other id is worth more there than this one, as far as that is known."""
        if self.truth is None:
            return False
        worth = self.truth[level][row]
        top = worth[self.tree.levels[level].legal[row]].max()
        return bool(worth[column] >= top - 1e-12 * max(1.0, abs(top)))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """How each id is written."""
        return spellings(self.source)


def spellings(source: TreeSolution | PolicyValue) -> tuple[str, ...]:
    """How each id is written in a picture; actions of a wrapper that are no token ids are numbered."""
    tokens = source.task.tokenizer.tokens
    if source.tree.vocab_size != len(tokens):
        return tuple(f"action {index}" for index in range(source.tree.vocab_size))
    return tuple(map(svg.spell, tokens))


def read_view(source: Any, *, prompt: str | int | None, solution: Any, policy: Any) -> View:
    """Reads what :func:`textgym.pictures.prefix_tree` draws.

    Raises:
        ConfigurationError: for a table without a solution, and arguments that mean nothing for the source.
        SolveError: for sources that have no tree, or are none.
    """
    if isinstance(source, PolicyValue):
        _refuse("a PolicyValue has its own probabilities", policy=policy)
        return _view_policy(source, prompt, solution)
    if isinstance(source, TreeSolution | AutomatonSolution):
        _refuse("a solution needs no other", solution=solution)
        return _view_solution(check_tree(source), prompt, policy)
    if not is_table(source):
        raise SolveError(
            f"{source!r}: expected a solution of textgym.exact.solve, a PolicyValue (solution.policy_value(agent)), or "
            "a Q-table with solution="
        )
    _refuse("a Q-table is drawn with its own visits", policy=policy)
    return _view_table(source, check_tree(solution), prompt)


def uniform_play(tree: PrefixTree) -> Levels:
    """``(N, K)`` the policy that draws among the legal ids."""
    return tuple(level.legal / level.legal.sum(axis=1, keepdims=True) for level in tree.levels)


def follow(tree: PrefixTree, policy: Levels) -> tuple[Levels, Levels]:
    """How often a policy ``(N, K)`` comes to each prefix ``(N,)`` and writes each id there ``(N, K)``."""
    reached = tuple(level[0] for level in tree.pass_down([level[None] for level in policy]))
    return reached, tuple(at[:, None] * share for at, share in zip(reached, policy, strict=True))


def _view_solution(solution: TreeSolution, prompt: str | int | None, policy: Any) -> View:
    group = solution.index.find(prompt)
    if policy is not None and not isinstance(policy, PolicyValue):
        policy = solution.policy_value(policy)
    if policy is not None:
        _check_match(policy, solution)
    reached, flow = follow(solution.tree, uniform_play(solution.tree) if policy is None else _policy_of(policy, group))
    q = _pick(solution.q_values, group)
    return View(
        source=solution,
        group=group,
        q=q,
        values=_pick(solution.values, group),
        reached=reached,
        flow=flow,
        illegal=None if policy is None else _illegal_of(policy, group),
        choice=q,
        truth=None,
        value_name="Q*",
        flow_name="probability under uniform play" if policy is None else "probability under the policy",
        path_name="a best text",
    )


def _view_policy(value: PolicyValue, prompt: str | int | None, solution: Any) -> View:
    group = value.index.find(prompt)
    policy = _policy_of(value, group)
    reached, flow = follow(value.tree, policy)
    return View(
        source=value,
        group=group,
        q=_pick(value.q_values, group),
        values=_pick(value.values, group),
        reached=reached,
        flow=flow,
        illegal=_illegal_of(value, group),
        choice=policy,
        truth=None if solution is None else _pick(_check_match(value, solution).q_values, group),
        value_name="Q of the policy",
        flow_name="probability under the policy",
        path_name="the policy's greedy text",
    )


def _view_table(table: Any, solution: TreeSolution, prompt: str | int | None) -> View:
    group = solution.index.find(prompt)
    learned = read_learned(table, solution, prompt)
    reached, flow = follow(solution.tree, uniform_play(solution.tree))
    known = [np.where(np.isnan(q), -np.inf, q).max(axis=1) for q in learned.q]
    return View(
        source=solution,
        group=group,
        q=learned.q,
        values=tuple(np.where(np.isfinite(best), best, np.nan) for best in known),
        reached=learned.visits or reached,
        flow=learned.choices or flow,
        illegal=None,
        choice=learned.q,
        truth=_pick(solution.q_values, group),
        value_name="learned Q",
        flow_name="visits while learning" if learned.choices else "probability under uniform play",
        path_name="the table's greedy text",
    )


def _check_match(value: PolicyValue, solution: Any) -> TreeSolution:
    if value.tree is not check_tree(solution).tree:
        raise ConfigurationError("the PolicyValue belongs to another solution; use solution.policy_value(agent)")
    return check_tree(solution)


def _pick(levels: Levels, group: int) -> Levels:
    return tuple(level[group] for level in levels)


def _policy_of(value: PolicyValue, group: int) -> Levels:
    return _pick(value.policy.probabilities, group)


def _illegal_of(value: PolicyValue, group: int) -> Levels:
    """``(N,)`` the probability that a text ends there with an illegal id."""
    levels = zip(value.visits, _policy_of(value, group), strict=True)
    return tuple(at[group] * np.maximum(1.0 - policy.sum(axis=1), 0.0).round(12) for at, policy in levels)


def _refuse(why: str, **arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise ConfigurationError(f"{name}=: {why}; leave it out")
