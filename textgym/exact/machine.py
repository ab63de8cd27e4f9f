"""Dynamic programming over a task's automaton: exact at any vocabulary and length.

The sum of what a text earns is maximised for every number of tokens that are still to come, which leaves room for
discounting and for scores that are clipped: both depend on nothing but that number and the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.automata import Automaton
from textgym.configuration import EnvConfig
from textgym.core import Ending, GenerationCore
from textgym.episodes import Score
from textgym.errors import SolveError, TaskError
from textgym.exact.expansion import core_at
from textgym.exact.limits import Limits
from textgym.exact.tree import Floats
from textgym.exact.values import Optimum, Prefix, PromptIndex, encode_prefix
from textgym.scoring import Scorer
from textgym.task import Returns, Task

_SECONDS_A_CELL = 1e-8
"""To back up one (state, id) by one token, on one core."""
_BYTES_A_CELL, _SCRATCH_A_CELL = 26, 40
"""What stays of each (state, id) of each prompt, and what is needed besides while one of them is solved."""


class Machine:
    """The best sums of one prompt's automaton.

    Args:
        automaton: The score.
        core: Says which ids are legal and which end a text.
        budget: T.
        discount: Gamma.

    Attributes:
        legal: ``(S, V)`` which ids may be written in each state.
        ending: ``(S, V)`` which of them end the text there and then.
    """

    def __init__(self, automaton: Automaton, core: GenerationCore, *, budget: int, discount: float) -> None:
        self.automaton, self.budget, self.discount = automaton, budget, discount
        states, size = automaton.transitions.shape
        if size != core.vocab_size:
            raise TaskError(f"the automaton reads {size} ids, the vocabulary has {core.vocab_size}")
        self.legal = np.repeat(core.fixed_mask[None], states, axis=0) if automaton.legal is None else automaton.legal
        self.ending = np.zeros((states, size), dtype=bool)
        self.ending[:, list(core.tokenizer.eos_ids)] = True
        self.stops = np.zeros(states, dtype=bool) if automaton.stops is None else automaton.stops
        stopping = self.stops[automaton.transitions] & ~self.ending
        self.paid = automaton.rewards + np.where(stopping, automaton.cut_off[automaton.transitions], 0.0)
        self.ending |= stopping

    @cached_property
    def sums(self) -> tuple[Floats, Floats]:
        """``(T + 1, S)`` best sums of texts that end by themselves after so many more tokens, or are cut off."""
        states = len(self.legal)
        ended, cut = (np.full((self.budget + 1, states), -np.inf) for _ in range(2))
        over = np.where(self.legal & self.ending, self.paid, -np.inf)
        going = np.where(self.legal & ~self.ending, self.automaton.rewards, -np.inf)
        ended[1], cut[0] = over.max(axis=1), self.automaton.cut_off
        scratch = np.empty_like(going)
        for tokens in range(1, self.budget + 1):
            if tokens > 1:
                np.add(going, ended[tokens - 1][self.automaton.transitions], out=scratch)
                ended[tokens] = scratch.max(axis=1)
            np.add(going, cut[tokens - 1][self.automaton.transitions], out=scratch)
            cut[tokens] = scratch.max(axis=1)
        return ended, cut

    def value(self, state: int, written: int, earned: float) -> float:
        """V* in a state, after so many tokens that earned so much."""
        return float(self._values(np.array([state]), written, np.array([earned]))[0])

    def _values(self, states: NDArray[np.int64], written: int, earned: Floats) -> Floats:
        """``(N,)`` V* in these states, all after as many tokens, which earned ``(N,)``."""
        left = self.budget - written
        ended, cut = self.sums
        sums = np.concatenate([ended[1 : left + 1, states], cut[left, states][None]]) + earned
        later = np.append(np.arange(left), left - 1)
        reachable = np.isfinite(sums)
        worth = self._clip(np.where(reachable, sums, 0.0)) * self.discount ** later[:, None]
        return np.where(reachable, worth, -np.inf).max(axis=0)

    def q(self, state: int, written: int, earned: float, illegal_reward: float) -> Floats:
        """``(V,)`` Q* in a state, after so many tokens that earned so much."""
        following = self.automaton.transitions[state]
        sums = earned + self.automaton.rewards[state]
        if written + 1 == self.budget:
            worth = self._clip(sums + self.automaton.cut_off[following])
        else:
            worth = self.discount * self._values(following, written + 1, sums)
        worth = np.where(self.ending[state], self._clip(earned + self.paid[state]), worth)
        return np.where(self.legal[state], worth, illegal_reward)

    def _clip(self, sums: Floats) -> Floats:
        return np.clip(sums, *self.automaton.clip)


@dataclass(frozen=True, eq=False)
class AutomatonSolution(Optimum):
    """The exact solution of an environment whose reward is an :class:`~textgym.automata.Automaton`.

    It knows the values of every prefix, but keeps no arrays of them: there are too many.

    Attributes:
        task: The task.
        index: Finds prompts.
        machines: One for each group of prompts.
        illegal_reward: What an illegal text is worth.
        discount: Gamma.
        kind: ``"reward"`` or ``"gold"``.
    """

    task: Task
    index: PromptIndex = field(repr=False)
    machines: Sequence[Machine] = field(repr=False)
    illegal_reward: float
    discount: float
    kind: str

    engine = "automaton"

    def _stand(self, prefix: Prefix, prompt: str | int | None) -> tuple[Machine, int, int, float]:
        machine = self.machines[self.index.find(prompt)]
        ids = encode_prefix(self.task, prefix)
        state, earned = machine.automaton.start, 0.0
        for place, index in enumerate(ids):
            if not 0 <= index < machine.legal.shape[1] or not machine.legal[state, index]:
                raise SolveError(f"id {index} may not be written after {ids[:place]}")
            if machine.ending[state, index] or place + 1 == machine.budget:
                raise SolveError(
                    f"the text {ids[: place + 1]} has ended and has no values; prefixes are texts that go on"
                )
            earned += float(machine.automaton.rewards[state, index])
            state = int(machine.automaton.transitions[state, index])
        return machine, state, len(ids), earned

    def value(self, prefix: Prefix = (), prompt: str | int | None = None) -> float:
        """V*: what the best player earns from this prefix on."""
        machine, state, written, earned = self._stand(prefix, prompt)
        return machine.value(state, written, earned)

    def q(self, prefix: Prefix = (), prompt: str | int | None = None) -> Floats:
        """Q*: ``(V,)`` what the best player earns after writing each id; illegal ids pay the illegal reward."""
        machine, state, written, earned = self._stand(prefix, prompt)
        return machine.q(state, written, earned, self.illegal_reward)

    def legal(self, prefix: Prefix = (), prompt: str | int | None = None) -> NDArray[np.bool_]:
        """``(V,)`` which ids may be written after this prefix."""
        machine, state, _, _ = self._stand(prefix, prompt)
        return machine.legal[state].copy()

    def _ends(self, ids: list[int]) -> bool:
        machine = self.machines[0]  # what ends a text is the same for every prompt
        return len(ids) == machine.budget or bool(machine.ending[machine.automaton.read(ids[:-1])[0], ids[-1]])

    @property
    def returns(self) -> Returns:
        """Not known here: what random play earns takes the whole tree of texts."""
        raise SolveError(
            f"{self.task!r} was solved by its automaton, which knows the best return ({self.optimal_return:g}) but not "
            "that of random play or of one fixed text; a level small enough to try all texts knows them"
        )

    def policy_value(self, policy: object, **options: object) -> None:
        """Not possible here: an agent would have to be asked at every prefix."""
        raise SolveError(
            f"{self.task!r} was solved by its automaton, and has too many prefixes to ask a policy at each; use "
            "textgym.evaluate for an estimate, or a smaller level"
        )

    table_error = policy_value


def check_size(automaton: Automaton, task: Task, prompts: int, limits: Limits) -> None:
    """Refuses automata, as many as there are prompts, that would take more than the limits.

    Raises:
        TooLargeError: with the estimate and what would help.
    """
    states, ids = automaton.transitions.shape
    cells = float(states * ids)
    limits.check(
        f"{task!r} with {prompts} prompt(s) is too large to solve by its automaton",
        work=f"{states:,} states, {ids:,} ids and {task.budget:,} tokens",
        seconds=_SECONDS_A_CELL * cells * task.budget * prompts,
        gigabytes=cells * (_BYTES_A_CELL * prompts + _SCRATCH_A_CELL) / 1e9,
        help_with="fewer tokens (max_new_tokens=), a smaller vocabulary, one prompt (prompt=)",
    )


def check_automaton(automaton: Automaton, config: EnvConfig, score: Score, prompt: int, *, texts: int = 64) -> None:
    """Writes random texts with the environment's own rules and compares what they earn.

    Raises:
        TaskError: if the automaton says otherwise than the score or the masks.
    """
    rng, eos_ids = np.random.default_rng(0), list(config.task.tokenizer.eos_ids)
    tokens = np.zeros((texts, 0), dtype=np.int32)
    scorer = Scorer(score, illegal_reward=config.illegal_reward)
    machine = Machine(automaton, core_at(config, prompt, tokens), budget=config.task.budget, discount=1.0)
    while len(tokens):
        core = core_at(config, prompt, tokens, scorer=scorer)
        states = np.array([automaton.read(row)[0] for row in tokens.tolist()])
        masks = core.masks()
        if not np.array_equal(masks, machine.legal[states]):
            raise TaskError("the automaton and the constraints disagree on which ids are legal; let it say legal=")
        draws = rng.random(masks.shape)
        draws[:, eos_ids] += rng.random((len(masks), 1)) < 0.2  # by chance alone, few of many words are ends
        actions = (draws * masks).argmax(axis=1)
        _, ending = core.step(actions)
        if ending is not None:
            _compare(automaton, ending, tuple(eos_ids))
        tokens = np.column_stack([tokens, actions])[~core.over].astype(np.int32)


def _compare(automaton: Automaton, ending: Ending, eos_ids: tuple[int, ...]) -> None:
    for row, expected in enumerate(ending.scores.values.tolist()):
        ids = ending.episodes.ids(row)
        said = automaton.score(ids, eos_ids=eos_ids)
        if abs(expected - said) > 1e-9 * max(1.0, abs(expected)):
            raise TaskError(f"the automaton scores the text {ids} {said:g}, the reward {expected:g}: one is wrong")


def solve_automaton(
    config: EnvConfig,
    index: PromptIndex,
    score: Score,
    limits: Limits,
    *,
    discount: float,
    temperature: float | None,
    reference: Any,
    kind: str,
) -> AutomatonSolution:
    """Solves each prompt by its automaton; see :func:`textgym.exact.solve`."""
    task = config.task
    if task.automaton(index.representatives[0], kind) is None:
        raise SolveError(f"{score!r} offers no automaton; use engine='tree' or give it one (textgym.automata)")
    if temperature is not None or reference is not None or config.reward_timing != "end":
        raise SolveError(
            "the automaton engine knows neither temperatures, references nor reward_timing='step'; use engine='tree'"
        )
    core = core_at(config, 0, np.zeros((1, 0), dtype=np.int32))
    machines = []
    for group in index.groups:
        if len(group) > 1:
            raise SolveError(
                f"the prompts in rows {group.tolist()} have equal ids; use engine='tree' or one of them (prompt=ROW)"
            )
        automaton = task.automaton(int(group[0]), kind)
        assert automaton is not None
        check_size(automaton, task, len(index.groups), limits)
        if (core.rules and automaton.legal is None) or (task.stop is not None and automaton.stops is None):
            raise SolveError("the task has rules that depend on the text; its automaton must say legal= and stops=")
        check_automaton(automaton, config, score, int(group[0]))
        machines.append(Machine(automaton, core, budget=task.budget, discount=discount))
    illegal_reward = Scorer(score, illegal_reward=config.illegal_reward).illegal_reward
    return AutomatonSolution(task, index, machines, illegal_reward, discount, kind)
