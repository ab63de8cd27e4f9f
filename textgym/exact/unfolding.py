"""Unfolds conversations: every legal id and every reply, parted by what can be seen of them.

What is hidden stands behind each conversation that can be seen: the prompts that look alike, with the secrets that
their metadata hold, and the keys by which a partner chooses for the whole conversation (``cases``). Chance that is
drawn anew at every reply (``outcomes``) parts the conversations further. The probabilities of all of them are carried
along, so that nobody who reads a value knows more than the agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.configuration import EnvConfig
from textgym.core import GenerationCore
from textgym.episodes import Score
from textgym.errors import SolveError
from textgym.exact.chances import Listener, Script, pay_nothing, read_cases, read_outcomes
from textgym.exact.expansion import as_function
from textgym.exact.limits import Limits
from textgym.exact.merging import Frontier, State, take
from textgym.exact.tree import Floats
from textgym.exact.values import PromptIndex
from textgym.scoring import Scorer

Rows = NDArray[np.int64]

_PLACES = ("cursors", "turn_begins")
_PAIRS_A_SECOND, _FORKS_A_SECOND = 200_000.0, 80_000.0
_BYTES_A_TOKEN, _BYTES_AN_EDGE = 16.0, 80.0


@dataclass(frozen=True, eq=False)
class Layer:
    """All conversations of one number of the agent's tokens that can be seen and have not ended.

    An edge is a legal id, written in one of them, and what may follow: a hidden prompt and key, and a reply.

    Attributes:
        node: ``(E,)`` the conversation of each edge.
        column: ``(E,)`` the id.
        share: ``(E,)`` the edge's probability, given conversation and id.
        reward: ``(E,)`` paid for writing the id.
        child: ``(E,)`` conversation of the next layer, -1 where it ends.
        reply: ``(E, R)`` what the partner says, padded with V.
        legal: ``(N, V)`` which ids may be written in each conversation.
    """

    node: Rows
    column: Rows
    share: Floats
    reward: Floats
    child: Rows
    reply: NDArray[np.int32]
    legal: NDArray[np.bool_]

    def back_up(self, values: Floats, discount: float) -> Floats:
        """``(N, V)`` Q of the layer, given V of the next one."""
        after = np.where(self.child >= 0, values[np.maximum(self.child, 0)], 0.0) if len(values) else 0.0
        q = np.zeros(self.legal.shape)
        np.add.at(q, (self.node, self.column), self.share * (self.reward + discount * after))
        return q


class Unfolding:
    """Steps all conversations of all prompts at once, and parts them by what can be seen.

    Args:
        config: The environment.
        index: The prompts, in groups that look alike at the beginning.
        score: The reward or the true score.
        limits: What it may take.

    Raises:
        SolveError: for a partner or score whose chance is not known.
    """

    def __init__(self, config: EnvConfig, index: PromptIndex, score: Score, limits: Limits) -> None:
        self.config, self.index, self.limits = config, index, limits
        self.partner: Any = config.task.partner
        self.cases = read_cases(config.task)
        self.is_random = hasattr(self.partner, "outcomes") and getattr(self.partner, "stochastic", False)
        self.scorer = Scorer(as_function(score), illegal_reward=config.illegal_reward)
        self.done, self.depth = 0, 0

    def expand(self) -> tuple[list[Layer], Rows]:
        """All layers, the shortest conversations first, and where each group of prompts ``(G,)`` is in the first."""
        frontier, begins = self._begin()
        layers: list[Layer] = []
        while len(frontier.weights):
            layer, frontier = self._step(frontier)
            layers.append(layer)
            self.depth += 1
        return layers, begins

    def _begin(self) -> tuple[Frontier, Rows]:
        chances, keys = self.cases
        prompts = np.concatenate([np.asarray(group) for group in self.index.groups])
        rows = np.repeat(prompts, len(keys))
        core = self._core(len(rows))
        core.reset(np.arange(len(rows)), rows)
        core.keys[:] = np.tile(keys, len(prompts))
        frontier, node = self._gather(_relative(core), np.tile(chances, len(prompts)) / len(prompts))
        sizes = [len(group) * len(keys) for group in self.index.groups]
        return frontier, node[np.cumsum([0, *sizes[:-1]])]

    def _core(self, size: int) -> GenerationCore:
        timing = self.config.reward_timing
        return GenerationCore(self.config.task, size, split="all", scorer=self.scorer, timing=timing)

    def _gather(self, state: State, weights: Floats) -> tuple[Frontier, Rows]:
        """The frontier of these rows, and the number ``(M,)`` of what can be seen in each."""
        frontier, node = Frontier.gather(state, weights, self._summarise)
        if len(frontier.twins[0]["tokens"]):
            self._compare(*frontier.twins)
        return frontier, node

    def _step(self, frontier: Frontier) -> tuple[Layer, Frontier]:
        """Writes every legal id in every conversation, for all that may stand behind it."""
        legal = self._restore(take(frontier.state, frontier.first)).masks()
        member, column = np.nonzero(legal[frontier.node])
        self._check(len(member), frontier.state["tokens"].shape[1])
        which, chance, reply = self._fork(frontier.state, member, column)
        member, column = member[which], column[which]
        core, rewards = self._say(take(frontier.state, member), column, reply)
        going = np.flatnonzero(~core.over)
        share = frontier.shares[member] * chance
        after, node = self._gather(take(_relative(core), going), (frontier.weights[member] * chance)[going])
        child = np.full(len(member), -1)
        child[going] = node
        heard = _heard(core, frontier.state["cursors"][member], self.partner.max_reply_tokens)
        return Layer(frontier.node[member], column, share, rewards, child, heard, legal), after

    def _fork(self, state: State, member: Rows, column: Rows) -> tuple[Rows, Floats, NDArray[np.int32] | None]:
        """All that the partner may reply: rows of ``member``, each once for each reply, its chance, the replies."""
        if not self.is_random:
            return np.arange(len(member)), np.ones(len(member)), None
        listener = Listener()
        core = self._restore(take(state, member), listener)
        assert core.talk is not None
        core.scorer, turns = Scorer(pay_nothing, illegal_reward=0.0), core.talk.turns.copy()
        core.step(column)
        waiting = np.flatnonzero((core.talk.turns > turns) & ~core.over)
        if not len(waiting):
            return np.arange(len(member)), np.ones(len(member)), None
        chances, replies = read_outcomes(self.partner, listener.batch)
        table = np.zeros((len(member), chances.shape[1]))
        table[:, 0] = 1.0
        table[waiting] = chances
        which, number = np.nonzero(table)
        self._check(len(which) - len(member), state["tokens"].shape[1])
        of_waiting = np.full(len(member), -1)
        of_waiting[waiting] = np.arange(len(waiting))
        heard = of_waiting[which] >= 0
        return which, table[which, number], replies[of_waiting[which[heard]], number[heard]]

    def _say(
        self, state: State, column: Rows, reply: NDArray[np.int32] | None
    ) -> tuple[GenerationCore, NDArray[np.float64]]:
        core = self._restore(state, None if reply is None else Script(reply, self.partner.max_reply_tokens))
        rewards, _ = core.step(column)
        return core, rewards

    def _restore(self, state: State, partner: Any = None) -> GenerationCore:
        """A core whose rows stand at these conversations; another partner may speak for the task's own."""
        core = self._core(len(state["tokens"]))
        core.set_state({name: state[name] + core.begins if name in _PLACES else state[name] for name in state})
        if core.talk is not None and partner is not None:
            core.talk.partner = partner
        return core

    def _summarise(self, state: State) -> NDArray[np.int64] | None:
        """``(M, W)`` what matters of all that can be seen; None where that is everything."""
        if not hasattr(self.partner, "summary"):
            return None
        if not len(state["tokens"]):
            return np.zeros((0, 1), dtype=np.int64)
        core, width = self._restore(state), self.config.task.prompts.width
        assert core.talk is not None
        begun = core.talk.turn_begins - core.begins
        places = np.arange(core.width - width)
        said = np.where(places < begun[:, None], core.vocab_size, core.tokens[:, width:])
        core.tokens[:, width:][places >= begun[:, None]] = core.vocab_size
        core.cursors[:] = core.talk.turn_begins
        batch = core.batch(np.arange(core.size), np.zeros(core.size, dtype=np.uint8))
        present = _flush_left(said, begun, self.config.task.turn_tokens, core.vocab_size)
        known = self.partner.summary(batch)
        return np.column_stack([core.tokens[:, :width], core.talk.turns, present, known]).astype(np.int64)

    def _compare(self, one: State, other: State) -> None:
        """Writes every legal id in conversations that are said to be alike, and sees whether they are."""
        if not all(np.array_equal(*pair) for pair in zip(self._futures(one), self._futures(other), strict=True)):
            raise SolveError(
                f"the partner {self.partner!r} gives two conversations the same summary that go on differently; let "
                "summary(batch) tell all that replies, masks, ends and scores depend on"
            )

    def _futures(self, state: State) -> Sequence[NDArray[Any]]:
        """What may happen next: who writes what, with which chance, what it pays, whether it ends, and what follows."""
        member, column = np.nonzero(self._restore(state).masks())
        which, chance, reply = self._fork(state, member, column)
        member, column = member[which], column[which]
        core, rewards = self._say(take(state, member), column, reply)
        after = self._summarise(take(_relative(core), np.flatnonzero(~core.over)))
        heard = _heard(core, state["cursors"][member], self.partner.max_reply_tokens)
        assert after is not None
        return member, column, chance.round(9), rewards.round(9), core.over, heard, after

    def _check(self, pairs: int, width: int) -> None:
        """Refuses what would take too much: what is known to come, or where a summary keeps layers alike, all."""
        self.done += pairs
        task, merges = self.config.task, hasattr(self.partner, "summary")
        ahead = pairs * (task.turns * task.turn_tokens - self.depth - 1) if merges else 0
        edges = self.done + ahead
        self.limits.check(
            f"{task!r} would be solved by having all conversations",
            work=f"{edges:,} tokens",
            seconds=edges / (_FORKS_A_SECOND if self.is_random else _PAIRS_A_SECOND),
            gigabytes=(pairs * width * _BYTES_A_TOKEN + edges * _BYTES_AN_EDGE) / 1e9,
            least=not merges,
            help_with="a smaller level, fewer turns, a smaller vocabulary, fewer prompts (prompt=)",
        )


# ---- rows ---------------------------------------------------------------------------------------------------------


def _relative(core: GenerationCore) -> State:
    """The core's state, with places counted from each row's begin."""
    state = core.get_state()
    return {name: value - core.begins if name in _PLACES else value for name, value in state.items()}


def _heard(core: GenerationCore, before: Rows, width: int) -> NDArray[np.int32]:
    """``(B, R)`` what the partner said after the id that was written at ``before``."""
    return _flush_left(core.tokens[:, core.prompt_width :], before + 1, width, core.vocab_size)


def _flush_left(ids: NDArray[np.int32], begins: Rows, width: int, pad: int) -> NDArray[np.int32]:
    """``(B, width)`` the ids from each row's begin on, padded."""
    padded = np.column_stack([ids, np.full((len(ids), width), pad, dtype=np.int32)])
    return np.take_along_axis(padded, begins[:, None] + np.arange(width), axis=1)
