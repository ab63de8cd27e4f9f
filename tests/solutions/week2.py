"""Week 2: exact values."""

from __future__ import annotations

import math
from typing import Any

State = tuple[int, ...]


def optimal_values(game: Any, gamma: float) -> dict[State, float]:
    values: dict[State, float] = {}

    def visit(state: State) -> float:
        best = -math.inf
        for action in game.legal(state):
            following, reward, over = game.step(state, action)
            future = 0.0 if over else visit(following)
            best = max(best, reward + gamma * future)
        values[state] = best
        return best

    visit(())
    return values


def action_values(game: Any, gamma: float) -> dict[State, dict[int, float]]:
    table: dict[State, dict[int, float]] = {}

    def visit(state: State) -> float:
        row = {}
        for action in game.legal(state):
            following, reward, over = game.step(state, action)
            row[action] = reward if over else reward + gamma * visit(following)
        table[state] = row
        return max(row.values())

    visit(())
    return table


def greedy_text(game: Any, q: dict[State, dict[int, float]]) -> list[int]:
    state: State = ()
    over = False
    while not over:
        row = q[state]
        action = min(a for a in row if row[a] == max(row.values()))
        state, _, over = game.step(state, action)
    return list(state)


def regret(game: Any, policy: dict[State, dict[int, float]]) -> float:
    def value(state: State) -> float:
        total = 0.0
        for action, probability in policy[state].items():
            if probability == 0.0:
                continue
            following, reward, over = game.step(state, action)
            total += probability * (reward if over else reward + value(following))
        return total

    def best(state: State) -> float:
        steps = [game.step(state, action) for action in game.legal(state)]
        return max(reward if over else reward + best(following) for following, reward, over in steps)

    return best(()) - value(())


def soft_value(game: Any, temperature: float) -> float:
    def value(state: State) -> float:
        scaled = []
        for action in game.legal(state):
            following, reward, over = game.step(state, action)
            scaled.append((reward if over else reward + value(following)) / temperature)
        top = max(scaled)
        mean = sum(math.exp(x - top) for x in scaled) / len(scaled)
        return temperature * (top + math.log(mean))

    return value(())
