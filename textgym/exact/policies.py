"""Policies and tables on a prefix tree: what an agent would do at every prefix, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.configuration import EnvConfig
from textgym.core import GenerationCore
from textgym.errors import ActionError, ConfigurationError, SolveError
from textgym.exact.expansion import core_at
from textgym.exact.tree import Floats, Levels, PrefixTree, chunks
from textgym.observations import ALL, make_observation
from textgym.playing import act_of

Question = Callable[[Any, NDArray[np.bool_], GenerationCore, int], Any]

CHUNK = 1 << 14
"""Observations that an agent is shown at once."""


@dataclass(frozen=True, eq=False)
class TreePolicy:
    """A stochastic policy on a tree.

    Attributes:
        probabilities: ``(G, N, K)`` of each level.
    """

    probabilities: Levels


@dataclass(frozen=True)
class Frame:
    """What is needed to show an agent the prefixes of a tree.

    Attributes:
        config: The environment.
        tree: Its prefixes.
        prompts: For each group of prompts one of its rows.
        paying: Whether illegal ids are allowed and pay what they cost; otherwise they are an error.
        translated: Whether wrappers turn actions into other ids, so that prefixes cannot be shown as observations.
    """

    config: EnvConfig
    tree: PrefixTree
    prompts: tuple[int, ...]
    paying: bool = False
    translated: bool = False

    def ask(self, question: Question) -> list[Floats]:
        """Asks something at every prefix of every group.

        Args:
            question: ``(observations, masks (N, V), core, level) -> (N, ...)``.

        Returns:
            For each level ``(G, N, ...)``.
        """
        if self.translated:
            raise SolveError("a wrapper changes the actions, so that no agent can be asked here; solve env.unwrapped")
        answers = []
        for depth, level in enumerate(self.tree.levels):
            parts = list(chunks(len(level), CHUNK))
            groups = [
                np.concatenate([self._ask(question, prompt, level.tokens[part], depth) for part in parts])
                for prompt in self.prompts
            ]
            answers.append(np.array(groups))
        return answers

    def _ask(self, question: Question, prompt: int, tokens: NDArray[np.int32], depth: int) -> Any:
        core = core_at(self.config, prompt, tokens)
        observation = make_observation(self.config.observation, core, include_mask=self.config.include_mask)
        return question(observation.observe(core, ALL), core.masks(), core, depth)


def read_policy(policy: Any, frame: Frame) -> list[Floats]:
    """The probability ``(G, N, K + 1)`` of each id at each prefix; the last column is that of all illegal ids.

    Args:
        policy: An agent with ``log_probs``, a table (:func:`read_table`; its greedy policy, uniform where nothing is
            known), a :class:`TreePolicy`, or an agent, function or stable-baselines3 model that acts
            deterministically.
        frame: The tree that it is read on.

    Raises:
        ActionError: for ids outside the action space or, unless ``frame.paying``, illegal ones.
        SolveError: for log-probabilities that are none, and tables of the wrong shape.
    """
    if isinstance(policy, TreePolicy):
        return _read_tree_policy(policy, frame)
    if is_table(policy):
        return [_greedy(q, level.legal) for q, level in zip(read_table(policy, frame), frame.tree.levels, strict=True)]
    if hasattr(policy, "log_probs") and not isinstance(policy, type):
        return frame.ask(_Probabilities(policy.log_probs, frame.tree.columns))
    try:
        act = act_of(policy)
    except ConfigurationError as error:
        raise SolveError(f"{error}. A policy may also be anything with log_probs, or a table of Q values") from None
    if hasattr(policy, "seed_sampling"):
        policy.seed_sampling(0)
    return frame.ask(_Choices(act, frame))


def _read_tree_policy(policy: TreePolicy, frame: Frame) -> list[Floats]:
    """Probabilities on the tree; what is missing to 1 is that of illegal ids."""
    _check_shapes(policy.probabilities, frame, "a policy")
    answers = []
    for level, p in zip(frame.tree.levels, policy.probabilities, strict=True):
        if not ((p >= 0.0).all() and (p.sum(axis=2) <= 1.0 + 1e-6).all() and (p[:, ~level.legal] == 0.0).all()):
            raise SolveError("a policy whose probabilities are negative, add up to more than 1 or fall on illegal ids")
        answers.append(_with_illegal(p))
    return answers


def _check_shapes(arrays: Sequence[NDArray[Any]], frame: Frame, what: str) -> None:
    expected = [(len(frame.prompts), *level.legal.shape) for level in frame.tree.levels]
    if [array.shape for array in arrays] != expected:
        raise SolveError(
            f"{what} of the shapes {[array.shape for array in arrays]}; expected {expected}: for each length of prefix "
            "(groups of prompts, prefixes, ids that may be written)"
        )


def renormalise(policy: Sequence[Floats]) -> Levels:
    """Probabilities among the legal ids alone; zeros where they have none."""
    totals = [level.sum(axis=2, keepdims=True) for level in policy]
    return tuple(p / np.where(total > 0, total, 1.0) for p, total in zip(policy, totals, strict=True))


@dataclass(frozen=True)
class _Probabilities:
    """Asks for log-probabilities, and believes them once they add up."""

    log_probs: Any
    columns: NDArray[np.int64]

    def __call__(self, observations: Any, masks: NDArray[np.bool_], core: GenerationCore, level: int) -> Floats:
        answer = np.asarray(self.log_probs(observations, masks), dtype=np.float64)
        if answer.shape != masks.shape:
            raise SolveError(f"log_probs() returned shape {answer.shape}; expected {masks.shape}, an id a column")
        probabilities = np.exp(answer)
        totals = probabilities.sum(axis=1, keepdims=True)
        if not np.allclose(totals, 1.0, atol=1e-3):
            worst = float(totals[np.abs(totals - 1.0).argmax(), 0])
            raise SolveError(f"log_probs() are no log-probabilities: their exponentials add up to {worst:g}, not to 1")
        return _with_illegal(np.where(masks, probabilities / totals, 0.0)[:, self.columns])


@dataclass(frozen=True)
class _Choices:
    """Asks for an action, as a probability of 1."""

    act: Any
    frame: Frame

    def __call__(self, observations: Any, masks: NDArray[np.bool_], core: GenerationCore, level: int) -> Floats:
        starts = np.full(len(masks), level == 0)
        actions, again = (
            np.asarray(self.act(observations, masks, deterministic=True, episode_starts=starts)) for _ in range(2)
        )
        if actions.shape != (len(masks),) or actions.dtype.kind not in "iu":
            raise SolveError(
                f"act() returned shape {actions.shape} of type {actions.dtype}; expected ({len(masks)},) ids"
            )
        if not np.array_equal(actions, again):
            raise SolveError(
                "act() returned other ids when it was asked again: what a policy earns that draws its ids is known "
                "from log_probs(observations, action_masks) alone; textgym.evaluate gives an estimate"
            )
        outside = (actions < 0) | (actions >= masks.shape[1])
        illegal = ~masks[np.arange(len(masks)), np.where(outside, 0, actions)]
        wrong = np.flatnonzero(outside | (illegal & (not self.frame.paying)))
        if wrong.size:
            row = int(wrong[0])
            prefix = core.tokens[row, core.prompt_width : core.cursors[row] - row * core.width].tolist()
            raise ActionError(
                f"the policy returned the illegal id {actions[row]} after the ids {prefix}; a policy has to choose "
                "among action_masks (with illegal='pay' such ids end the text and pay the illegal reward)"
            )
        chosen = actions[:, None] == self.frame.tree.columns
        return _with_illegal((chosen & masks[:, self.frame.tree.columns]).astype(np.float64))


def _with_illegal(probabilities: Floats) -> Floats:
    """``(..., K)`` with one more column, for what is missing to 1."""
    missing = np.maximum(1.0 - probabilities.sum(axis=-1, keepdims=True), 0.0)
    missing[missing < 1e-12] = 0.0  # rounding
    return np.concatenate([probabilities, missing], axis=-1)


def _greedy(q: Floats, legal: NDArray[np.bool_]) -> Floats:
    """The greedy policy of a table: the first best known id; uniform among the legal ids where none is known."""
    known: Floats = np.where(legal & ~np.isnan(q), q, -np.inf)
    first = np.zeros(q.shape)
    np.put_along_axis(first, known.argmax(axis=2)[:, :, None], 1.0, axis=2)
    uniform: Floats = legal / legal.sum(axis=1, keepdims=True)
    some = (known > -np.inf).any(axis=2, keepdims=True)
    probabilities = np.where(some, first, uniform)
    return np.concatenate([probabilities, np.zeros((*q.shape[:2], 1))], axis=2)


def is_table(policy: Any) -> bool:
    """Whether this is a table of Q values: an agent with ``rows`` and ``q``, a mapping, or a list of levels."""
    return isinstance(policy, Mapping | list | tuple) or (hasattr(policy, "rows") and hasattr(policy, "q"))


def read_table(table: Any, frame: Frame) -> list[Floats]:
    """The learned values ``(G, N, K)`` of each level; NaN where the table knows nothing.

    Args:
        table: An agent with ``rows`` (bytes of a token observation -> row), ``q (rows, V)`` and perhaps ``visits`` of
            the same shape (entries never visited count as unknown); a mapping from prefixes (tuples of ids, or text)
            to ``(V,)`` values, for a single prompt; or a list of ``(G, N, K)`` arrays as in ``solution.q_values``.
        frame: The tree that it is read on.

    Raises:
        SolveError: for a table of the wrong shape.
    """
    if not is_table(table):
        raise SolveError(f"{table!r} is no Q-table: expected an agent with rows and q, a mapping or a list of arrays")
    if isinstance(table, Mapping):
        return _read_mapping(table, frame)
    if isinstance(table, list | tuple):
        return _read_levels(table, frame)
    return _read_rows(table, frame)


def _read_levels(table: Sequence[Any], frame: Frame) -> list[Floats]:
    arrays = [np.asarray(array, dtype=np.float64) for array in table]
    _check_shapes(arrays, frame, "a Q-table")
    return arrays


def _read_mapping(table: Mapping[Any, Any], frame: Frame) -> list[Floats]:
    if len(frame.prompts) != 1:
        raise SolveError(
            f"a mapping from prefixes to values is for one prompt, but {len(frame.prompts)} were solved; use prompt="
        )
    tree, encode = frame.tree, frame.config.task.tokenizer.encode
    values = [np.full((1, *level.legal.shape), np.nan) for level in tree.levels]
    for key, row in table.items():
        prefix = encode(key) if isinstance(key, str) else [int(index) for index in key]
        try:
            array = np.asarray(row, dtype=np.float64)
        except (TypeError, ValueError):
            raise SolveError(f"the Q-table has {row!r} at prefix {key!r}; expected a value an id") from None
        if array.shape != (tree.vocab_size,):
            raise SolveError(
                f"the Q-table has shape {array.shape} at prefix {key!r}; expected ({tree.vocab_size},), a value an id"
            )
        depth, node = tree.find(prefix)
        values[depth][0, node] = array[tree.columns]
    return values


def _read_rows(agent: Any, frame: Frame) -> list[Floats]:
    if not agent.rows:
        raise SolveError(f"the Q-table of {agent!r} is empty: it has not learned anything yet")
    q = np.asarray(agent.q, dtype=np.float64)
    width = frame.config.task.prompts.width + frame.config.task.budget
    positions = len(next(iter(agent.rows))) // 4
    if q.ndim != 2 or q.shape[1] != frame.tree.vocab_size or positions != width:
        raise SolveError(
            f"a Q-table of shape {q.shape} over {positions} positions; expected {frame.tree.vocab_size} ids and "
            f"{width} positions: it was learned in another environment"
        )
    visits = np.asarray(getattr(agent, "visits", 1))
    q = np.where(visits > 0, q, np.nan) if visits.shape == q.shape else q
    q = np.vstack([q, np.full(q.shape[1], np.nan)])  # the last row stands for prefixes that it never saw
    return [q[rows][:, :, frame.tree.columns] for rows in frame.ask(_Rows(agent.rows))]


@dataclass(frozen=True)
class _Rows:
    """Looks up the row of each prefix in a table."""

    rows: Mapping[bytes, int]

    def __call__(self, observations: Any, masks: NDArray[np.bool_], core: GenerationCore, level: int) -> Any:
        return np.array([self.rows.get(tokens.tobytes(), -1) for tokens in core.tokens])
