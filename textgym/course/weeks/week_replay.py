"""What week 4 hands out: every transition of a small task, swept until Q* is there, and rollouts, made up and real."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textgym.course.assignment import Finding, shown
from textgym.course.sandbox import Student
from textgym.course.weeks.week_findings import ask, misfit

if TYPE_CHECKING:
    from textgym.exact import TreeSolution

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

TASK = "TextGen/Brackets-v0"
STEPS = 14  # of a real rollout
LANES = 3


# ---- sweeps over all states -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sweeps:
    """Fitted Q iteration with the student's targets on every state of a prompt.

    Attributes:
        prompt: A prompt of the task.
        seed: Of what the table says where nobody may look: behind an end, and of illegal ids.
    """

    prompt: str
    seed: int

    def grade(self, student: Student, discount: float, *, points: int) -> Iterator[Finding]:
        """Sweeps as often as texts are long; then the table is Q*."""
        from textgym.exact import solve

        solution: Any = solve(TASK, prompt=self.prompt, discount=discount, engine="tree")
        moves = Moves.of(solution)
        rng = np.random.default_rng(self.seed)
        table = np.zeros(moves.legal.shape)
        asked = f"{len(solution.tree.levels)} sweeps of q_targets over the {len(table):,} states of {self.prompt!r}"
        for _ in solution.tree.levels:
            answer = ask(student, "q_targets", *moves.batch(table, rng), discount)
            if came := misfit(answer, len(moves.rewards)):
                yield Finding(points, False, asked, came)
                return
            table[moves.legal] = np.asarray(answer, dtype=np.float64)
        yield self._compare(points, asked, solution, moves, table)

    def _compare(self, points: int, asked: str, solution: TreeSolution, moves: Moves, table: Floats) -> Finding:
        exact = np.concatenate([q[0] for q in solution.q_values])
        error = float(np.abs(table - exact)[moves.legal].max())
        value = solution.policy_value([level[None] for level in np.split(table, moves.starts)])
        came = (
            f"the table is up to {shown(error)} away from Q*, and its greedy policy earns {shown(value.mean_return)} "
            f"where {shown(solution.optimal_return)} is possible: a regret of {shown(max(value.regret, 0.0))}"
        )
        look = "Targets that are right in each sweep come to Q* within as many sweeps as a text has tokens."
        return Finding(points, error < 1e-6, asked, came, look)


@dataclass(frozen=True, eq=False)
class Moves:
    """Every legal id in every state of a tree with one prompt.

    Attributes:
        rewards: ``(M,)`` of each move.
        following: ``(M,)`` the state after it; -1 where the text ends.
        legal: ``(S, K)`` of every state.
        starts: Where the states of each level but the first begin.
    """

    rewards: Floats
    following: NDArray[np.int64]
    legal: Mask
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, solution: TreeSolution) -> Moves:
        """The moves of a solution, level after level."""
        levels = solution.tree.levels
        starts = np.cumsum([len(level) for level in levels])
        children = [
            np.where(level.child >= 0, level.child + start, -1) for level, start in zip(levels, starts, strict=True)
        ]
        return cls(
            np.concatenate([level.rewards[0][level.legal] for level in levels]),
            np.concatenate([child[level.legal] for child, level in zip(children, levels, strict=True)]),
            np.concatenate([level.legal for level in levels]),
            starts[:-1],
        )

    def batch(self, table: Floats, rng: np.random.Generator) -> tuple[Any, ...]:
        """Rewards, ends, cuts, next values and next masks, as a replay buffer would have them."""
        ended = self.following < 0
        next_q, masks = table[self.following], self.legal[self.following] | ended[:, None]
        next_q = np.where(masks, next_q, rng.uniform(2.0, 5.0, size=next_q.shape).round(2))
        next_q = np.where(ended[:, None], rng.uniform(1.0, 5.0, size=next_q.shape).round(2), next_q)
        return self.rewards, ended, np.zeros(len(ended), dtype=bool), next_q, masks


def draw_sweeps(rng: np.random.Generator) -> Sweeps:
    """A prompt of one's own."""
    from textgym.tasks import get

    prompts = get("Brackets").prompts
    row = int(rng.choice(prompts.rows("train")))
    return Sweeps(prompts.texts[row], int(rng.integers(2**31)))


# ---- rollouts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Rollout:
    """Steps of several lanes.

    Attributes:
        rewards: ``(T, N)``.
        values: ``(T, N)`` of the states before the steps.
        last_values: ``(N,)`` of the states after the last step.
        terminated: ``(T, N)`` whether a text ended.
        resets: ``(T, N)`` steps that only started the next text.
        source: The environment of a real rollout.
    """

    rewards: Floats
    values: Floats
    last_values: Floats
    terminated: Mask
    resets: Mask
    source: str = ""

    @property
    def lanes(self) -> int:
        """N."""
        return self.rewards.shape[1]

    @property
    def arguments(self) -> tuple[Floats, Floats, Floats, Mask, Mask]:
        """The arrays in the order of the functions."""
        return self.rewards, self.values, self.last_values, self.terminated, self.resets

    @classmethod
    def of_one_text(cls, rng: np.random.Generator) -> Rollout:
        """Lanes with one text each, which the rollout just holds; nothing is said to be behind it."""
        rewards, values, _, terminated = _noise(rng, steps=5)
        terminated[-1] = True
        return cls(rewards, values, np.zeros(LANES), terminated, np.zeros_like(terminated))

    @classmethod
    def of_several(cls, rng: np.random.Generator) -> Rollout:
        """Lanes that start the next text at once, with an end in the middle and one in the last step."""
        rewards, values, last_values, terminated = _noise(rng, steps=8)
        terminated[rng.integers(1, 6, size=LANES), np.arange(LANES)] = True
        terminated[-1] = True
        return cls(rewards, values, last_values, terminated, np.zeros_like(terminated))

    @classmethod
    def unfinished(cls, rng: np.random.Generator) -> Rollout:
        """Lanes without any end."""
        rewards, values, last_values, terminated = _noise(rng, steps=4)
        return cls(rewards, values, last_values, terminated, np.zeros_like(terminated))


def _noise(rng: np.random.Generator, *, steps: int) -> tuple[Floats, Floats, Floats, Mask]:
    rewards, values = rng.normal(size=(2, steps, LANES)).round(2)
    last_values = rng.uniform(1.0, 2.0, size=LANES).round(2)  # never near 0, so that it matters
    return rewards, values, last_values, np.zeros((steps, LANES), dtype=bool)


def draw_rollout(rng: np.random.Generator) -> Rollout:
    """A rollout of random play in the smallest Reviews, with the exact values of random play.

    It has restarts, and at least one lane whose text is not finished: another seed is tried until it has.
    """
    while True:
        rollout = _play(int(rng.integers(2**31)))
        if rollout.resets.any() and not (rollout.terminated | rollout.resets)[-1].all():
            return rollout


def _play(seed: int) -> Rollout:
    from textgym.exact import TreePolicy, solve
    from textgym.factory import EnvFactory

    factory = EnvFactory("TextGen-v0", {"level": "tiny"})
    solution: Any = solve(factory)
    worth = solution.policy_value(TreePolicy(solution.reference))
    width, pad = solution.task.prompts.width, solution.tree.vocab_size
    rng = np.random.default_rng(seed)

    def values(observations: Any, ended: Mask) -> Floats:
        texts = [[index for index in row[width:] if index != pad] for row in observations.tolist()]
        opinions = rng.uniform(1.0, 3.0, size=len(texts))  # of a state behind an end a network says anything
        known = [0.0 if over else worth.value(text) for text, over in zip(texts, ended.tolist(), strict=True)]
        return np.where(ended, opinions, known).round(3)

    envs: Any = factory.vector(LANES)
    observations, _ = envs.reset(seed=seed)
    columns: dict[str, list[Any]] = {name: [] for name in ("rewards", "values", "terminated", "resets")}
    ended = np.zeros(LANES, dtype=bool)
    for _ in range(STEPS):
        columns["values"].append(values(observations, ended))
        columns["resets"].append(ended)
        observations, rewards, ended, _, _ = envs.step(rng.integers(pad, size=LANES))
        columns["rewards"].append(np.round(rewards, 3))
        columns["terminated"].append(np.array(ended))
    envs.close()
    stacked = {name: np.array(column) for name, column in columns.items()}
    return Rollout(**stacked, last_values=values(observations, ended), source="TextGen-v0 (tiny)")
