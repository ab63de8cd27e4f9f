"""Week 1: text as a decision process."""

from __future__ import annotations

from collections.abc import Callable

from textgym.course.problems import Problem

State = tuple[int, ...]


def episode_return(rewards: list[float], gamma: float) -> float:
    total = 0.0
    for reward in reversed(rewards):
        total = reward + gamma * total
    return total


def legal_actions(problem: Problem, state: State) -> list[int]:
    if len(state) >= problem.budget or problem.eos in state:
        return []
    ids = list(range(len(problem.words)))
    if not state:
        ids.remove(problem.booster)
    elif not problem.repeats:
        ids.remove(state[-1])
    if len(state) >= problem.shortest:
        ids.append(problem.eos)
    return ids


def transition(problem: Problem, state: State, action: int) -> tuple[State, float, bool]:
    following = (*state, action)
    over = action == problem.eos or len(following) == problem.budget
    reward = problem.score(problem.text(following)) if over else 0.0
    return following, reward, over


def uniform_return(
    legal: Callable[[State], list[int]], step: Callable[[State, int], tuple[State, float, bool]], gamma: float
) -> float:
    def value(state: State) -> float:
        total = 0.0
        actions = legal(state)
        for action in actions:
            following, reward, over = step(state, action)
            total += reward if over else reward + gamma * value(following)
        return total / len(actions)

    return value(())
