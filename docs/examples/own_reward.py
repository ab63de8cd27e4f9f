"""A reward of one's own: a plain Python function, maximised by a table in a few seconds."""

from __future__ import annotations

import textgym
from textgym.agents.registry import make_agent
from textgym.rewards import PerText


def alternation(completion: str) -> float:
    """One point for every word that differs from the word before it, and for the first."""
    words = completion.split()
    return float(sum(word != previous for previous, word in zip(["", *words], words, strict=False)))


def main() -> None:
    """Trains on the function instead of the learned reward, and prints what the agent writes."""
    reward = PerText(alternation, range=(0.0, 5.0))
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny", "reward": reward})
    agent = make_agent("q_learning", seed=0)
    agent.learn(envs, 30_000)
    evaluation = textgym.evaluate(agent, envs, episodes=4, seed=1)
    print(f"mean return {evaluation.mean_return:.2f} of {envs.task().budget}")
    for text in evaluation.texts:
        print(f"{text['prompt']} -> {text['completion']}")


if __name__ == "__main__":
    main()
