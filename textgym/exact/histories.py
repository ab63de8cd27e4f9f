"""Exact values of conversations: what a player is worth who sees the replies, and not what the partner keeps to itself.

A node is everything that can be seen: the prompt's ids and all that was said, or what a partner's ``summary`` says
matters of that. Behind it stand the prompts and the chance that would have led to it, with their probabilities
(:mod:`textgym.exact.unfolding`); every action of the agent parts them by what the partner replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from textgym.configuration import EnvConfig
from textgym.episodes import Score
from textgym.errors import SolveError
from textgym.exact.limits import Limits
from textgym.exact.tree import Floats
from textgym.exact.unfolding import Layer, Unfolding
from textgym.exact.values import Optimum, Prefix, PromptIndex, encode_prefix
from textgym.returns import Returns
from textgym.scoring import Scorer
from textgym.task import Task

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ConversationSolution(Optimum):
    """The exact solution of a conversation, for a player who sees no more than the agent does.

    Prefixes are what was said after the prompt, by both sides, as ids.

    Attributes:
        task: The task.
        index: Finds prompts.
        layers: The conversations by the number of the agent's tokens.
        begins: ``(G,)`` where each group of prompts is in the first layer.
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
    begins: Rows = field(repr=False)
    q_values: Sequence[Floats] = field(repr=False)
    values: Sequence[Floats] = field(repr=False)
    random_return: float
    illegal_reward: float
    kind: str
    discount: float

    engine = "histories"

    def _stand(self, prefix: Prefix, prompt: str | int | None) -> tuple[int, int]:
        """The layer and node of a conversation so far."""
        ids = encode_prefix(self.task, prefix)
        found = self._follow(0, int(self.begins[self.index.find(prompt)]), ids)
        if found is None:
            raise SolveError(f"the conversation {ids} has ended, or is none that agent and partner can have")
        return found

    def _follow(self, depth: int, node: int, ids: list[int]) -> tuple[int, int] | None:
        """Where these ids lead from here: the agent's next one, what the partner may reply, and so on."""
        if not ids:
            return depth, node
        layer = self.layers[depth]
        edges = np.flatnonzero((layer.node == node) & (layer.column == ids[0]) & (layer.child >= 0))
        ways = {(layer.child[edge], *layer.reply[edge].tolist()) for edge in edges.tolist()}
        for child, *padded in sorted(ways):
            reply = [index for index in padded if index != self.task.tokenizer.vocab_size]
            if ids[1 : 1 + len(reply)] == reply:
                found = self._follow(depth + 1, int(child), ids[1 + len(reply) :])
                if found is not None:
                    return found
        return None

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
        SolveError: for a partner or reward whose chance is not known.
    """
    layers, begins = Unfolding(config, index, score, limits).expand()
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
        begins,
        q_values[::-1],
        values[:0:-1],
        random_return=float(index.weights @ chances[-1][begins]),
        illegal_reward=Scorer(score, illegal_reward=config.illegal_reward).illegal_reward,
        kind=kind,
        discount=discount,
    )
