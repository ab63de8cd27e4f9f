"""Draws the pictures of docs/pictures.md: ``python docs/pictures/make_values.py``, then look at them."""

from __future__ import annotations

from pathlib import Path

import textgym
from textgym.agents.q_learning import QLearning
from textgym.exact import solve
from textgym.pictures import prefix_tree, q_table

FOLDER = Path(__file__).resolve().parents[1] / "images"


def draw() -> dict[str, str]:
    """Name -> SVG of every picture on the page."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})
    solution = solve(envs)
    early = QLearning(seed=0)
    early.learn(envs, 600)
    return {
        "tree-best": prefix_tree(solution),
        "tree-learned": prefix_tree(early, solution=solution),
        "tree-policy": prefix_tree(solution.policy_value(early), solution=solution, colour="advantage"),
        "table-learned": q_table(early, solution),
    }


def main() -> None:
    """Writes the files."""
    for name, picture in draw().items():
        (FOLDER / f"{name}.svg").write_text(picture, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
