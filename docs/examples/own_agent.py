"""An agent of one's own on three tasks of the suite: normalised scores, with an interval over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

import textgym
from textgym.agents.base import sample_uniform
from textgym.benchmarks.stats import bootstrap_interval, mean

TASKS, SEEDS, STEPS, LANES = ("Noise", "Add", "Summarize"), (0, 1, 2), 40_000, 32


class MonteCarlo:
    """Writes, mostly, the token after which texts have earned most so far; learns from whole texts."""

    def __init__(self, seed: int, vocab_size: int) -> None:
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.visits = defaultdict(lambda: np.zeros(vocab_size))  # prefix -> how often each token was written
        self.means = defaultdict(lambda: np.zeros(vocab_size))  # prefix -> mean return of the texts that went on so

    def learn(self, envs: textgym.EnvFactory, total_steps: int) -> None:
        """Averages the returns of every token of every text."""
        env = envs.vector(LANES, autoreset_mode="SameStep")
        observations, _ = env.reset(seed=self.seed)
        texts: list[list[tuple[bytes, int]]] = [[] for _ in range(LANES)]
        for _ in range(total_steps // LANES):
            actions = self.act(observations, env.unwrapped.action_masks(), deterministic=False)
            for text, row, action in zip(texts, observations, actions.tolist(), strict=True):
                text.append((row.tobytes(), action))
            observations, rewards, terminated, _, _ = env.step(actions)
            for lane in np.flatnonzero(terminated):
                self.remember(texts[lane], rewards[lane])
                texts[lane].clear()

    def remember(self, text: Iterable[tuple[bytes, int]], earned: float) -> None:
        """The running mean of each token of one text."""
        for prefix, action in text:
            self.visits[prefix][action] += 1
            self.means[prefix][action] += (earned - self.means[prefix][action]) / self.visits[prefix][action]

    def act(
        self,
        observations: NDArray[np.int32],
        action_masks: NDArray[np.bool_],
        *,
        deterministic: bool = True,
        episode_starts: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """The best token so far, and a random one now and then while learning."""
        values = np.array([self.means[row.tobytes()] for row in observations])
        actions = np.where(action_masks, values, -np.inf).argmax(axis=1)
        explore = self.rng.random(len(actions)) < (0.0 if deterministic else 0.3)
        actions[explore] = sample_uniform(action_masks, self.rng)[explore]
        return actions


def score(task: str, seed: int) -> float:
    """Trains on a task and returns the score of greedy play: 0 is random play, 1 the best there is."""
    envs = textgym.EnvFactory(f"TextGen/{task}-v0", {"level": "easy"})
    agent = MonteCarlo(seed, envs.task().tokenizer.vocab_size)
    agent.learn(envs, STEPS)
    normalized = textgym.evaluate(agent, envs, episodes=100, seed=seed).normalized
    assert normalized is not None  # every task of the suite knows what random play and the best text earn
    return normalized


def main() -> None:
    """Prints a line for each task, then one for all."""
    scores = {task: [score(task, seed) for seed in SEEDS] for task in TASKS}
    rng = np.random.default_rng(0)
    for task in TASKS:
        found = bootstrap_interval([scores[task]], rng, statistic=mean, replicates=2000)
        print(f"{task:<12} {found.estimate:.2f}  [{found.low:.2f}, {found.high:.2f}]")
    found = bootstrap_interval([scores[task] for task in TASKS], rng, statistic=mean, replicates=2000)
    print(f"mean return {found.estimate:.2f} of 1, 95 % interval {found.low:.2f} to {found.high:.2f}, {found.n} runs")


if __name__ == "__main__":
    main()
