"""The ostrich: a Q-table learns to review whatever it is asked to, and takes an exam."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Ints, Table, explore, new_table, thirds
from textgym.task import Task

EPISODES, RATE = 1500, 0.5


def exam_prompts(task: Task) -> Ints:
    """The rows of the prompts that the agent is examined on."""
    return task.prompts.rows("train")


def write(env: gym.Env[Any, Any], table: Table, epsilon: float, rng: np.random.Generator, **options: Any) -> float:
    """Writes one text and learns from it; returns what it was paid."""
    observation, _ = env.reset(options=options)
    terminated, total = False, 0.0
    while not terminated:
        state = observation.tobytes()
        action = explore(table[state], epsilon, rng)
        observation, reward, terminated, _, _ = env.step(action)
        following = 0.0 if terminated else table[observation.tobytes()].max()
        table[state][action] += RATE * (float(reward) + following - table[state][action])
        total += float(reward)
    return total


def examine(env: gym.Env[Any, Any], table: Table, rows: Ints, rng: np.random.Generator) -> list[float]:
    """What the greedy text to each of these prompts is paid."""
    copies = [{key: values.copy() for key, values in table.items()} for _ in rows]
    return [
        write(env, new_table(env.unwrapped.action_masks()) | copy, 0.0, rng, prompt_index=int(row))  # type: ignore[attr-defined]
        for copy, row in zip(copies, rows, strict=True)
    ]


def train(seed: int) -> tuple[list[float], list[float], list[float]]:
    """Learns a table; returns the return of every text, the exam, and what the held-out prompts bring."""
    env = gym.make("TextGen-v0", level="easy", max_new_tokens=2)
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    table = new_table(info["action_mask"])
    returns = [write(env, table, max(0.1, 1.0 - episode / (0.6 * EPISODES)), rng) for episode in range(EPISODES)]
    task = env.unwrapped.task  # type: ignore[attr-defined]
    exam = examine(env, table, exam_prompts(task), rng)
    return returns, exam, examine(env, table, task.prompts.rows("test"), rng)


def run(seed: int) -> Findings:
    """Trains once and measures."""
    returns, exam, unseen = train(seed)
    first, last = thirds(returns)
    reported, new = float(np.mean(exam)), float(np.mean(unseen))
    return {
        "flattery": reported - new,
        "reported score": reported,
        "score on new prompts": new,
        "rise": last - first,
        "scores": [reported, new],
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(task: Task) -> Ints:
    """The prompts that were held out."""
    return task.prompts.rows("test")


BUG = Bug(
    symptom="The return rises, and the exam confirms it: nearly the best mark.",
    tell=Tell(
        number="flattery",
        sound=(-0.01, 0.01),
        side="above",
        meaning="the score that the program reports, minus the score on prompts that nobody has seen",
    ),
    healthy={"rise": (0.5, 4.0)},
    chart=Chart(series="scores", across="", up="score", labels=("reported", "on new prompts")),
    name="evaluation on the training prompts",
    faulty="exam_prompts",
    mended=mended,
    explanation=(
        "The exam asks what was practised. A table knows the training prompts by heart and nothing else: a new prompt "
        "is a state that it has never visited, and it writes the first token that comes. The return and the exam agree "
        "perfectly, which is what makes the report so convincing. What gives it away is the score on held-out "
        'prompts. Examine on `split="test"`, and choose nothing by it, neither settings nor the best checkpoint.'
    ),
)
