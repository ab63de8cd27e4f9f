"""How long a picture of a long text takes, in each form, with and without an overlay."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from textgym.rendering import Overlay, ansi, faces, html, rgb_array
from textgym.rendering.terminal import Typewriter


@dataclass(frozen=True)
class Timing:
    """Milliseconds for one picture.

    Attributes:
        first: The first picture, with nothing remembered (fonts, drawn words) but Pillow imported.
        median: The median of the pictures after it, each of another text.
    """

    first: float
    median: float


def forms(tokens: int) -> dict[str, Callable[[int], object]]:
    """Name of a form -> what draws the text of this number, 500 tokens of 5,000 words."""
    words = [f"{stem}{end}" for stem in _stems() for end in ("", "ed", "ing", "ness", "s")]

    def text(number: int) -> list[str]:
        drawn = np.random.default_rng(number).integers(len(words), size=tokens)
        return [words[position] for position in drawn]

    def overlay(number: int) -> Overlay:
        return Overlay("advantage", np.random.default_rng(number).normal(size=tokens).tolist())

    return {
        "ansi": lambda number: ansi("praise it", text(number), colour=True),
        "ansi, overlay": lambda number: ansi("praise it", text(number), overlay=overlay(number), colour=True),
        "human, two steps": lambda number: _type(text(number)),
        "html": lambda number: html("praise it", text(number)),
        "html, overlay": lambda number: html("praise it", text(number), overlay=overlay(number)),
        "rgb_array": lambda number: rgb_array("praise it", text(number)),
        "rgb_array, overlay": lambda number: rgb_array("praise it", text(number), overlay=overlay(number)),
    }


def _stems() -> list[str]:
    return [f"{first}{vowel}{last}" for first in "bcdfghklmn" for vowel in "aeiou" for last in "bdfgklmnprstvxyzcqwhj"]


def _type(tokens: list[str]) -> str:
    """The last step of mode "human": finds what is new in a text that has grown by one token."""
    typewriter = Typewriter()
    typewriter.advance("praise it", tokens[:-1])
    return typewriter.advance("praise it", tokens)


def measure(*, tokens: int = 500, rounds: int = 15) -> dict[str, Timing]:
    """Times each form: name -> :class:`Timing`."""
    rgb_array("x", [])  # imports Pillow and looks for fonts
    timings = {}
    for name, draw in forms(tokens).items():
        faces.stamp.cache_clear()
        spent = [_milliseconds(draw, number) for number in range(rounds + 1)]
        timings[name] = Timing(spent[0], float(np.median(spent[1:])))
    return timings


def _milliseconds(draw: Callable[[int], object], number: int) -> float:
    start = time.perf_counter()
    draw(number)
    return (time.perf_counter() - start) * 1000.0


def report(*, tokens: int = 500, rounds: int = 15) -> Iterator[str]:
    """Yields the lines of the report."""
    yield f"{f'{tokens} tokens':<24}{'first':>10}{'median':>10}  (ms, of {rounds} texts)"
    for name, timing in measure(tokens=tokens, rounds=rounds).items():
        yield f"{name:<24}{timing.first:>10.1f}{timing.median:>10.1f}"
