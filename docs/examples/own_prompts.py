"""Prompts of one's own: a CSV file with references, words as tokens, and an exact match as the reward."""

from __future__ import annotations

import tempfile
from pathlib import Path

import textgym
from textgym.agents.registry import make_agent

ROWS = """prompt,reference
the opposite of hot,cold
the opposite of up,down
two and two,four
the capital of France,Paris
"""


def main() -> None:
    """Writes the file, trains a table on it, and prints its answers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "questions.csv"
        path.write_text(ROWS, encoding="utf-8")
        kwargs = {"prompts": str(path), "tokenizer": "word", "reward": "exact_match", "max_new_tokens": 2}
        envs = textgym.EnvFactory("TextGen-v0", kwargs)
        agent = make_agent("q_learning", seed=0)
        agent.learn(envs, 60_000)
        evaluation = textgym.evaluate(agent, envs, episodes=20, seed=1)
    print(f"mean return {evaluation.mean_return:.2f}")
    for line in sorted({f"{text['prompt']} -> {text['completion']}" for text in evaluation.texts}):
        print(line)


if __name__ == "__main__":
    main()
