"""Draws docs/images/suite.png, an episode of each of four tasks: ``python docs/pictures/make_suite.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from textgym import EnvFactory
from textgym.cli.facts import converse, open_env, step_through
from textgym.rendering import Overlay, rgb_array

TARGET = Path(__file__).resolve().parents[1] / "images" / "suite.png"
WIDTH, HEIGHTS = 448, (176, 216)
TEXTS = (
    ("Translate", "easy", "the small mouse", "la souris petite"),
    ("Story", "easy", "merry tale of a ring : the fox waits", "leaves finds key returns happily"),
    ("Dialogue", "easy", "thai please", None),  # as the oracle has it
    ("Sort", "medium", "d a b e", "a b e d"),
)


def panel(name: str, level: str, prompt: str, text: str | None, *, height: int) -> NDArray[np.uint8]:
    """An episode, with what each token was paid; in a conversation each turn is paid as a whole."""
    env = open_env(EnvFactory(f"TextGen/{name}-v0", {"level": level, "reward_timing": "step" if text else "turn"}))
    row = env.task.prompts.index_of(prompt)
    written = step_through(env, row, text) if text else converse(env, row)
    return rgb_array(
        f"{name}: {prompt}",
        written["tokens"],
        overlay=Overlay("reward", written["token_rewards"]),
        stop_reason=written["stop_reason"],
        reward=written["reward"],
        size=(WIDTH, height),
    )


def main() -> None:
    """Two rows of two."""
    rows = [
        np.concatenate([panel(*text, height=height) for text in pair], axis=1)
        for pair, height in zip((TEXTS[:2], TEXTS[2:]), HEIGHTS, strict=True)
    ]
    Image.fromarray(np.concatenate(rows)).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
