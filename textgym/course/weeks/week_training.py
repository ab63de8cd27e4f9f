"""A training of a submission in week 3, and how far what it learned is from the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.course.models import model_of
from textgym.course.problems import Problem
from textgym.course.sandbox import Raised, Student
from textgym.course.training import MeteredEnv
from textgym.course.wire import Handle
from textgym.exact import TreeSolution, solve
from textgym.exact.tree import best


@dataclass(frozen=True)
class Trained:
    """What is left of a training.

    Attributes:
        agent: The submission's learner.
        env: What it did.
        solution: The truth.
        student: Where the learner lives.
    """

    agent: Handle
    env: MeteredEnv
    solution: TreeSolution
    student: Student

    @property
    def range(self) -> float:
        """From the mean return of random play to the best one: the scale of errors."""
        return self.solution.optimal_return - self.solution.returns.random

    def act(self, observations: Any, action_masks: Any, **_: Any) -> NDArray[np.int64]:
        """The learner's choices, row by row."""
        chosen = [
            self.student.on(self.agent, "act", np.asarray(row, dtype=np.int32), mask)
            for row, mask in zip(observations, action_masks, strict=True)
        ]
        return np.array(chosen)

    def q_errors(self) -> tuple[float, float]:
        """Mean error of Q over the steps taken, and the largest one of max Q before the first word, over the range."""
        frame, counts = self.solution.frame(), self.env.counts()
        learned, keys = frame.ask(self._ask), frame.ask(_keys)
        total = steps = 0.0
        levels = zip(learned, self.solution.q_values, self.solution.tree.levels, keys, strict=True)
        for found, truth, level, seen in levels:
            for group, node, column in np.argwhere(np.broadcast_to(level.legal, truth.shape)).tolist():
                action = int(self.solution.tree.columns[column])
                visits = counts.get((seen[group, node].tobytes(), action), 0)
                total += visits * abs(found[group, node, column] - truth[group, node, column])
                steps += visits
        first = [best(q[0], self.solution.tree.levels[0].legal, 0) for q in (learned, self.solution.q_values)]
        mean = total / steps if steps else np.inf
        return mean / self.range, float(np.abs(first[0] - first[1]).max()) / self.range

    def _ask(self, observations: Any, masks: NDArray[np.bool_], core: Any, level: int) -> Any:
        columns = self.solution.tree.columns.tolist()
        values = np.zeros((len(masks), len(columns)))
        for row, mask in enumerate(masks):
            for place, action in enumerate(columns):
                if mask[action]:
                    observation = np.asarray(observations[row], dtype=np.int32)
                    values[row, place] = float(self.student.on(self.agent, "value", observation, action))
        return values


def _keys(observations: Any, masks: NDArray[np.bool_], core: Any, level: int) -> Any:
    return np.asarray(observations, dtype=np.int32)


def train(problem: Problem, seed: int, student: Student, steps: int, *, learner_seed: int | None = None) -> Trained:
    """Lets a submission learn in an environment of ours; the same training is not done twice in a process.

    Args:
        problem: What to learn.
        seed: Of the environment.
        student: The submission.
        steps: The budget.
        learner_seed: Of the learner; by default the environment's.
    """
    own_seed = seed if learner_seed is None else learner_seed
    key = (problem, seed, steps, own_seed)
    if key not in student.memory:
        task = model_of(problem).task()
        env = MeteredEnv(task, steps, seed)
        agent = student.new("Learner", own_seed)
        try:
            student.on(agent, "learn", env.served(), steps)
        except Raised:
            if not env.refused:  # else the end of the budget was let pass, and what was learned until then counts
                raise
        solution = solve(task, engine="tree")
        assert isinstance(solution, TreeSolution)
        student.memory[key] = Trained(agent, env, solution, student)
    trained: Trained = student.memory[key]
    return trained
