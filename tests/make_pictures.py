"""Draws the pictures that test_raster.py compares with: ``python tests/make_pictures.py``, then look at them.

Pillow's own face draws them, so they hold ASCII only; other fonts differ from machine to machine.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textgym.rendering import Overlay, rgb_array

FOLDER = Path(__file__).parent / "golden"
WORDS = "the plot was not really very great and the movie was bad <eos>".split()
VALUES = [0.4, -0.1, None, -1.0, 0.25, 0.8, 1.6, 0.0, -0.3, -0.6, 0.05, -1.6, -12.0]

PICTURES: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "plain": lambda: rgb_array("praise the movie", WORDS, stop_reason="eos", reward=1.25, size=(448, 160), fonts=()),
    "overlay": lambda: rgb_array(
        "praise the movie",
        WORDS,
        stop_reason="illegal",
        reward=-2.0,
        overlay=Overlay("advantage", VALUES, scale=1.6),
        size=(448, 224),
        fonts=(),
    ),
    "boxes": lambda: rgb_array("\u5938", ["\u597d", "\U0001f600", "\x1b[2J"], size=(224, 96), fonts=()),
}

if __name__ == "__main__":
    from PIL import Image

    for name, draw in PICTURES.items():
        Image.fromarray(draw()).save(FOLDER / f"{name}.png", optimize=True)
