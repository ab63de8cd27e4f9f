"""Exact values of conversations: what a player is worth who sees the replies, and not what the partner keeps to itself.

A node is everything that can be seen: the prompt's ids and all that was said. Behind it stand the prompts that would
have led to it, with their probabilities; every action of the agent parts them by what the partner replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.configuration import EnvConfig
from textgym.core import GenerationCore
from textgym.episodes import Score
from textgym.errors import SolveError
from textgym.exact.limits import Limits
from textgym.exact.tree import Floats
from textgym.exact.values import Optimum, Prefix, PromptIndex
from textgym.returns import Returns
from textgym.scoring import Scorer
from textgym.task import Task

Rows = NDArray[np.int64]

State = dict[str, NDArray[Any]]

_PLACES = ("cursors", "turn_begins")
_PAIRS_A_SECOND = 200_000.0
_BYTES_A_TOKEN = 16.0


@dataclass(frozen=True, eq=False)
class Layer:
    """All conversations of one number of the agent's tokens that can be seen and have not ended.

    Attributes:
        node: ``(E,)`` for each pair of a hidden prompt and a legal id, the node it belongs to.
        column: ``(E,)`` the id.
        share: ``(E,)`` the prompt's probability at its node.
        reward: ``(E,)`` paid for writing the id.
        child: ``(E,)`` node of the next layer, -1 where the conversation ends.
        legal: ``(N, V)`` which ids may be written at each node.
        names: What can be seen at each node (prompt and tokens as bytes) -> its number.
    """

    node: Rows
    column: Rows
    share: Floats
    reward: Floats
    child: Rows
    legal: NDArray[np.bool_]
    names: dict[bytes, int] = field(repr=False)

    def back_up(self, values: Floats, discount: float) -> Floats:
        """``(N, V)`` Q of the layer, given V of the next one."""
        after = np.where(self.child >= 0, values[np.maximum(self.child, 0)], 0.0) if len(values) else 0.0
        q = np.zeros(self.legal.shape)
        np.add.at(q, (self.node, self.column), self.share * (self.reward + discount * after))
        return q


@dataclass(frozen=True, eq=False)
class ConversationSolution(Optimum):
    """The exact solution of a conversation, for a player who sees no more than the agent does.

    Prefixes are what was said after the prompt, by both sides, as ids.

    Attributes:
        task: The task.
        index: Finds prompts.
        layers: The conversations by the number of the agent's tokens.
        q_values: Q* of each layer, ``(N, V)``.
        values: V* of each layer, ``(N,)``.
        random_return: Mean return of writing uniformly among the legal ids.
        illegal_reward: What an illegal text is worth.
        kind: ``"reward"`` or ``"gold"``.
        discount: Gamma.
    """

    task: Task
    index: PromptIndex = field(repr=False)
    layers: Sequence[Layer] = field(repr=False)
    q_values: Sequence[Floats] = field(repr=False)
    values: Sequence[Floats] = field(repr=False)
    random_return: float
    illegal_reward: float
    kind: str
    discount: float

    engine = "histories"

    def _stand(self, prefix: Prefix, prompt: str | int | None) -> tuple[int, int]:
        """The layer and node of a conversation so far."""
        ids = self.task.tokenizer.encode(prefix) if isinstance(prefix, str) else [int(index) for index in prefix]
        row = self.index.representatives[self.index.find(prompt)]
        tokens = np.full(self.task.prompts.width + self.task.budget, self.task.tokenizer.vocab_size, dtype=np.int32)
        tokens[: self.task.prompts.width] = self.task.prompts.ids[row]
        tokens[self.task.prompts.width : self.task.prompts.width + len(ids)] = ids
        for depth, layer in enumerate(self.layers):
            if tokens.tobytes() in layer.names:
                return depth, layer.names[tokens.tobytes()]
        raise SolveError(f"the conversation {ids} has ended, or is none that agent and partner can have")

    def value(self, prefix: Prefix = (), prompt: str | int | None = None) -> float:
        """V*: what the best player earns from here on."""
        depth, node = self._stand(prefix, prompt)
        return float(self.values[depth][node])

    def q(self, prefix: Prefix = (), prompt: str | int | None = None) -> Floats:
        """Q*: ``(V,)`` what the best player earns after writing each id; illegal ids have what they pay."""
        depth, node = self._stand(prefix, prompt)
        return np.where(self.layers[depth].legal[node], self.q_values[depth][node], self.illegal_reward)

    def legal(self, prefix: Prefix = (), prompt: str | int | None = None) -> NDArray[np.bool_]:
        """``(V,)`` which ids may be written here."""
        depth, node = self._stand(prefix, prompt)
        return self.layers[depth].legal[node].copy()

    def best_id(self, prefix: Prefix, prompt: str | int | None = None) -> int:
        """The best id to write next, the smallest of equally good ones."""
        values = np.where(self.legal(prefix, prompt), self.q(prefix, prompt), -np.inf)
        return int(values.argmax())

    @property
    def returns(self) -> Returns:
        """Not known here: one fixed conversation, whatever is replied, would have to be found."""
        raise SolveError(
            f"a conversation's best ({self.optimal_return:g}) and random ({self.random_return:g}) return are known, "
            "but not that of one fixed text"
        )

    def policy_value(self, policy: object, **options: object) -> None:
        """Not possible here: an agent would have to be asked at every history."""
        raise SolveError("policies are not valued in conversations; use textgym.evaluate for an estimate")

    table_error = policy_value

    def _ends(self, ids: list[int]) -> bool:
        raise SolveError("what ends a conversation depends on the replies; ask best_id turn by turn")

    @cached_property
    def optimal_texts(self) -> dict[str, tuple[str, ...]]:
        """Not fixed texts: what is best depends on the replies."""
        raise SolveError("the best conversation depends on the replies; ask best_id(prefix, prompt) turn by turn")


def solve_conversation(
    config: EnvConfig, index: PromptIndex, score: Score, *, discount: float, kind: str, limits: Limits
) -> ConversationSolution:
    """Tries all conversations, layer by layer of the agent's tokens.

    Raises:
        TooLargeError: if that would take more than the limits.
        SolveError: for a partner or reward that is not a function of prompt and tokens.
    """
    layers = Histories(config, index, score, limits).expand()
    values: list[Floats] = [np.zeros(0)]
    chances: list[Floats] = [np.zeros(0)]
    q_values: list[Floats] = []
    for layer in reversed(layers):
        q = layer.back_up(values[-1], discount)
        q_values.append(q)
        values.append(np.where(layer.legal, q, -np.inf).max(axis=1))
        random = layer.back_up(chances[-1], discount)
        chances.append(np.where(layer.legal, random, 0.0).sum(axis=1) / layer.legal.sum(axis=1))
    return ConversationSolution(
        config.task,
        index,
        layers,
        q_values[::-1],
        values[:0:-1],
        random_return=float(index.weights @ chances[-1]),
        illegal_reward=Scorer(score, illegal_reward=config.illegal_reward).illegal_reward,
        kind=kind,
        discount=discount,
    )


class Histories:
    """Steps all conversations of all prompts at once, and parts them by what can be seen.

    Args:
        config: The environment.
        index: The prompts, in groups that look alike at the beginning.
        score: The reward or the true score.
        limits: What it may take.
    """

    def __init__(self, config: EnvConfig, index: PromptIndex, score: Score, limits: Limits) -> None:
        if getattr(score, "stochastic", False) or getattr(config.task.partner, "stochastic", False):
            raise SolveError(
                f"{config.task!r} is random beyond its prompts; only conversations that are not are solved"
            )
        self.config, self.index, self.limits = config, index, limits
        self.scorer = Scorer(score, illegal_reward=config.illegal_reward)
        self.done = 0

    def expand(self) -> list[Layer]:
        """All layers, the shortest conversations first."""
        prompts = np.concatenate([np.asarray(group) for group in self.index.groups])
        core = self._core(len(prompts))
        core.reset(np.arange(len(prompts)), prompts)
        frontier = _Frontier(_relative(core), np.full(len(prompts), 1.0 / len(prompts)))
        layers: list[Layer] = []
        while len(frontier.weights):
            layer, frontier = self._step(frontier)
            layers.append(layer)
        return layers

    def _core(self, size: int) -> GenerationCore:
        timing = self.config.reward_timing
        return GenerationCore(self.config.task, size, split="all", scorer=self.scorer, timing=timing)

    def _step(self, frontier: _Frontier) -> tuple[Layer, _Frontier]:
        """Writes every legal id in every conversation, for every prompt that may stand behind it."""
        legal = self._restore(frontier.take(frontier.first)).masks()
        member, column = np.nonzero(legal[frontier.node])
        self._check(len(member), frontier.state["tokens"].shape[1])
        core = self._restore(frontier.take(member))
        rewards, _ = core.step(column)
        going = np.flatnonzero(~core.over)
        after = _Frontier(_rows(_relative(core), going), frontier.weights[member][going])
        child = np.full(len(member), -1)
        child[going] = after.node
        share = frontier.weights[member] / np.bincount(frontier.node, frontier.weights)[frontier.node[member]]
        return Layer(frontier.node[member], column, share, rewards, child, legal, frontier.names), after

    def _restore(self, state: State) -> GenerationCore:
        """A core whose rows stand at these conversations."""
        core = self._core(len(state["tokens"]))
        moved = {name: state[name] + core.begins if name in _PLACES else state[name] for name in state}
        core.set_state(moved)
        return core

    def _check(self, pairs: int, width: int) -> None:
        self.done += pairs
        self.limits.check(
            f"{self.config.task!r} would be solved by having all conversations",
            work=f"{self.done:,} tokens",
            seconds=self.done / _PAIRS_A_SECOND,
            gigabytes=self.done * width * _BYTES_A_TOKEN / 1e9,
            least=True,
            help_with="a smaller level, fewer turns, a smaller vocabulary, fewer prompts",
        )


class _Frontier:
    """The conversations that have not ended, one row for each prompt that may stand behind them.

    Attributes:
        state: The core's state, with places counted from each row's begin.
        weights: ``(M,)`` the probability of each row.
        node: ``(M,)`` number of what can be seen in each row.
        first: A row for each node.
        names: What can be seen at each node -> its number.
    """

    def __init__(self, state: State, weights: Floats) -> None:
        self.state, self.weights = state, weights
        seen, self.first, node = np.unique(state["tokens"], axis=0, return_index=True, return_inverse=True)
        self.node = node.reshape(-1)
        self.names = {row.tobytes(): number for number, row in enumerate(seen)}

    def take(self, rows: Rows) -> State:
        """The state in these rows."""
        return _rows(self.state, rows)


def _relative(core: GenerationCore) -> State:
    state = core.get_state()
    return {name: value - core.begins if name in _PLACES else value for name, value in state.items()}


def _rows(state: State, rows: Rows) -> State:
    return {name: value[rows] for name, value in state.items()}
