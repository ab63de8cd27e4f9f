"""The colour scale: safe for colour-blind people, readable in grey, and with text that can be read on it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from textgym.colours import RGB, contrast, css, diverging, luminance, text_colour, xterm, xterm_rgb

STEPS = [step / 50 for step in range(51)]
COLOUR = st.tuples(*[st.integers(0, 255)] * 3)

# What people without one kind of cone see, in linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.0.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def lab(colour: RGB, kind: str) -> NDArray[np.float64]:
    """CIE L*a*b* of a colour as it is seen."""
    encoded = np.array(colour) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLINDNESS[kind]) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    root = np.cbrt(to_xyz @ seen / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def test_the_scale_runs_from_blue_over_light_to_orange() -> None:
    low, middle, high = diverging(-1.0), diverging(0.0), diverging(1.0)
    assert low[2] > low[1] > low[0]
    assert high[0] > high[1] > high[2]
    assert min(middle) > 240
    assert max(middle) == min(middle)


def test_the_scale_is_a_proportion_and_ends_at_its_ends() -> None:
    assert diverging(3.0, 6.0) == diverging(0.5)
    assert diverging(-9.0, 2.0) == diverging(-math.inf) == diverging(-1.0)
    assert diverging(9.0, 2.0) == diverging(math.inf, 2.0) == diverging(1.0)
    assert diverging(5.0, 0.0) == diverging(0.0)
    with pytest.raises(ValueError, match="NaN"):
        diverging(math.nan)


def test_both_sides_grow_darker_from_the_middle() -> None:
    for sign in (1, -1):
        grey = [luminance(diverging(sign * step)) for step in STEPS]
        assert all(one > other for one, other in pairwise(grey))


def test_the_sign_can_be_read_in_grey() -> None:
    assert all(luminance(diverging(-step)) < luminance(diverging(step)) for step in STEPS[1:])
    negative = [diverging(-step) for step in STEPS if step >= 0.5]
    positive = [diverging(step) for step in STEPS]
    assert all(luminance(blue) < luminance(orange) for blue in negative for orange in positive)
    assert min(contrast(blue, orange) for blue in negative for orange in positive) > 1.5


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_sign_can_be_told_by_colour_blind_people(kind: str) -> None:
    for step in STEPS:
        difference = float(np.linalg.norm(lab(diverging(step), kind) - lab(diverging(-step), kind)))
        assert difference >= (30.0 if step >= 0.3 else 60.0 * step)  # 2.3 is just noticeable


@given(COLOUR)
def test_text_can_be_read_on_every_colour(background: RGB) -> None:
    assert contrast(text_colour(background), background) >= 4.5


def test_contrast_is_that_of_the_web_guidelines() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21.0)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.005)  # #777 falls just short
    assert contrast((255, 0, 0), (255, 255, 255)) == pytest.approx(4.0, abs=0.005)


@given(COLOUR)
def test_the_terminal_gets_the_nearest_colour_that_it_has(colour: RGB) -> None:
    def distance(index: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(xterm_rgb(index), colour, strict=True))

    assert distance(xterm(colour)) == min(distance(index) for index in range(16, 256))


def test_terminal_colours_are_those_of_xterm() -> None:
    assert [xterm_rgb(index) for index in (16, 21, 46, 196, 208, 231, 232, 255)] == [
        (0, 0, 0),
        (0, 0, 255),
        (0, 255, 0),
        (255, 0, 0),
        (255, 135, 0),
        (255, 255, 255),
        (8, 8, 8),
        (238, 238, 238),
    ]
    for index in (15, 256):
        with pytest.raises(ValueError, match=str(index)):
            xterm_rgb(index)


@given(COLOUR)
def test_colours_for_the_web_are_hexadecimal(colour: RGB) -> None:
    assert tuple(bytes.fromhex(css(colour).removeprefix("#"))) == colour
