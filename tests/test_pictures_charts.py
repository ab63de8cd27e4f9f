"""Charts read back from their SVG: lines where the numbers are, axes with round numbers, errors that say why."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from reading_svg import SVG, parse, tip_of

from textgym.errors import ConfigurationError
from textgym.pictures import line_chart
from textgym.pictures.charts import ticks

BLUE = "#0072b2"
NAMES = {"title": "Error", "x": "steps", "y": "error"}


def path_of(picture: str, name: str) -> ElementTree.Element:
    """The line whose tip begins with this name."""
    (found,) = [path for path in parse(picture).iter(f"{SVG}path") if tip_of(path).startswith(f"{name}:")]
    return found


def points_of(picture: str, name: str) -> NDArray[np.float64]:
    """``(K, 2)`` the pixels of a line."""
    numbers = re.findall(r"-?\d+\.\d", path_of(picture, name).attrib["d"])
    return np.array(numbers, dtype=float).reshape(-1, 2)


def words(picture: str) -> list[str]:
    return [element.text or "" for element in parse(picture).iter(f"{SVG}text")]


def test_points_stand_where_their_numbers_are() -> None:
    places = points_of(line_chart({"a": ([0, 1, 4], [0.0, 2.0, 1.0])}, **NAMES), "a")
    across, down = places.T
    assert (across[1] - across[0]) / (across[2] - across[0]) == pytest.approx(0.25, abs=0.01)
    assert (down[0] - down[2]) / (down[0] - down[1]) == pytest.approx(0.5, abs=0.01)
    assert down[1] < down[2] < down[0], "higher numbers stand higher"


def test_logarithmic_axes_have_equal_steps_for_equal_ratios() -> None:
    picture = line_chart({"a": ([1, 10, 100], [0.01, 0.1, 1.0])}, log="xy", **NAMES)
    across, down = np.diff(points_of(picture, "a"), axis=0).T
    assert across[0] == pytest.approx(across[1], abs=0.2)
    assert down[0] == pytest.approx(down[1], abs=0.2)
    assert {"1", "10", "100", "0.01", "0.1"} <= set(words(picture))


def test_bands_references_names_and_the_label_for_screen_readers() -> None:
    lines = {"with a band": ([0, 1], [1.0, 2.0], [0.5, 1.5], [1.5, 2.5]), "without": ([0, 1], [2.0, 1.0])}
    picture = line_chart(lines, references={"optimum": 3.0}, **NAMES)
    assert [path.attrib["fill"] for path in parse(picture).iter(f"{SVG}path") if "opacity" in path.attrib] == [
        "#0072b2"
    ]
    assert {"with a band", "without", "optimum", "Error", "steps", "error"} <= set(words(picture))
    assert parse(picture).attrib["aria-label"] == "Error: error against steps; with a band, without"
    assert path_of(picture, "with a band").get("stroke-dasharray") != path_of(picture, "without").get(
        "stroke-dasharray"
    )
    assert re.fullmatch(r"M\S+ \S+ H\S+", path_of(picture, "optimum").attrib["d"]), "a level line"


def test_everything_is_drawn_within_the_card() -> None:
    lines = {f"line {k}": ([0, 50_000], [k, 1e-4 * k - 1.0]) for k in range(7)}
    for width in (320, 640):
        picture = line_chart(lines, references={"far": 40.0}, width=width, **NAMES)
        root = parse(picture)
        *_, height = root.attrib["viewBox"].split()
        for name in lines:
            across, down = points_of(picture, name).T
            assert 0 < across.min() <= across.max() < width
            assert 0 < down.min() <= down.max() < float(height)


def test_numbers_outside_the_range_that_was_asked_for_are_put_on_the_border() -> None:
    clipped = points_of(line_chart({"a": ([0, 1, 2], [0.0, 1.0, 9.0])}, low=0.0, high=1.0, **NAMES), "a")
    assert clipped[1, 1] == clipped[2, 1]


def test_a_flat_line_and_small_and_large_numbers_have_an_axis() -> None:
    for value in (0.0, 3.0, 2e-5, 4e8, -1e5):
        picture = line_chart({"a": ([0, 1], [value, value])}, **NAMES)
        assert len(words(picture)) > 6
        assert "nan" not in picture


@pytest.mark.parametrize("low", [-1.2, 0.0, 1e-3, 17.0])
@pytest.mark.parametrize("length", [1e-6, 0.37, 5.0, 1234.5])
def test_ticks_are_few_round_numbers_within_the_range(low: float, length: float) -> None:
    found = ticks(low, low + length)
    assert 2 <= len(found) <= 7
    assert min(found) >= low - 1e-9
    assert max(found) <= low + length + 1e-9
    assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ({}, {}, "no lines to draw"),
        ({"a": ([1, 2], [1.0])}, {}, "2, 1 numbers: expected as many"),
        ({"a": ([1], [1.0])}, {}, "at least two"),
        ({"a": ([1, 2], [1.0, 2.0], [0.0, 0.0])}, {}, "3 parts"),
        ({"a": ([1, 2], [1.0, np.nan])}, {}, "expected finite ones"),
        ({"a": ([1, 2], [1.0, 0.0])}, {"log": "y"}, "above 0"),
        ({"a": ([1, 2], [1.0, 2.0])}, {"log": "z"}, "log='z'"),
        ({"a": ([1, 2], [1.0, 2.0])}, {"low": 5.0}, "low=5.0"),
        ({"a": ([1, 2], [1.0, 2.0])}, {"references": {"best": np.inf}}, "the reference 'best'"),
        ({"a": ([1, 2], [1.0, 2.0])}, {"width": 10}, "width=10"),
    ],
)
def test_what_cannot_be_drawn_is_said(lines: dict[str, object], options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        line_chart(lines, **NAMES, **options)
