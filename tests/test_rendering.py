"""Texts in the terminal and the browser, and the render modes: what is shown, and that no text can do harm."""

from __future__ import annotations

import io
import math
import re
import sys
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from toys import EOS, PLAIN, A, B, toy

from textgym.colours import contrast
from textgym.env import TextGenerationEnv
from textgym.errors import ConfigurationError, RenderModeError
from textgym.rendering import Overlay, ansi, html, use_colour
from textgym.rendering.terminal import Typewriter, echo
from textgym.tokenizers import CharTokenizer
from textgym.vector_env import TextGenerationVectorEnv

COLOUR = re.compile(r"\x1b\[[\d;]+m")
WORDS = ["was", "very", "good", "<eos>"]
NUMBERS = Overlay("q", [0.5, -1.0, None, 0.25])


@pytest.fixture(autouse=True)
def _colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def lines_of(text: str) -> list[str]:
    """The lines without colour codes."""
    return [line.rstrip() for line in COLOUR.sub("", text).split("\n")]


# ---- overlays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([0.5, -0.0625], ["+0.500", "-0.062"]),
        ([12.345, 0.5, -0.001], ["+12.3", "+0.5", "+0.0"]),
        ([-1234.5], ["-1234"]),
        ([1e-9, -2e7], ["+1.0e-09", "-2.0e+07"]),
        ([0.0, -0.0], ["+0.00", "+0.00"]),
        ([None, math.nan, 1.0], ["", "", "+1.00"]),
        ([-math.inf, 2.0], ["-inf", "+2.00"]),
        ([], []),
    ],
)
def test_numbers_have_three_digits_of_the_largest(values: list[float | None], written: list[str]) -> None:
    overlay = Overlay("q", values)
    assert [overlay.number(position) for position in range(len(values))] == written


def test_the_scale_is_the_largest_value_unless_it_is_given() -> None:
    assert Overlay("q", [0.5, -4.0, -math.inf, None]).limit == 4.0
    assert Overlay("q", [0.5, -4.0], scale=8.0).limit == 8.0
    assert Overlay("q", [0.0, None]).limit == 1.0
    assert Overlay("q", [2.0]).colour(0) == Overlay("q", [7.0]).colour(0) != Overlay("q", [2.0], scale=4.0).colour(0)
    assert Overlay("q", [None, math.nan]).colour(0) is None is Overlay("q", [None, math.nan]).colour(1)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_no_scale_is_refused(scale: float) -> None:
    with pytest.raises(ConfigurationError, match="scale=.*positive"):
        Overlay("q", [1.0], scale=scale)


@pytest.mark.parametrize("draw", [ansi, html])
def test_an_overlay_needs_one_value_a_token(draw: Any) -> None:
    with pytest.raises(ConfigurationError, match="'q': 1 values for 2 tokens"):
        draw("p", ["a", "b"], overlay=Overlay("q", [1.0]))


# ---- the terminal -------------------------------------------------------------------------------------------------


def test_colour_is_all_that_colour_adds() -> None:
    plain, coloured = (
        ansi("pan it", ["was", "bad"], stop_reason="eos", reward=-1.5, colour=colour) for colour in (False, True)
    )
    assert plain == "pan it > was bad  [eos, reward -1.500]"
    assert COLOUR.sub("", coloured) == plain
    assert coloured != plain
    assert coloured.count("\x1b[0m") == 4
    plain, coloured = (ansi("pan it", WORDS, overlay=NUMBERS, colour=colour) for colour in (False, True))
    assert lines_of(coloured) == plain.split("\n")


def test_neighbours_differ_in_colour() -> None:
    colours = re.findall(r"\x1b\[(3\d)m", ansi("", ["x"] * 12, colour=True))
    assert all(one != other for one, other in pairwise(colours))


def test_colour_can_be_switched_off_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert use_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not use_colour()
    assert ansi("p", ["a"]) == "p > a"
    assert "\x1b" not in ansi("p", WORDS, overlay=NUMBERS)


HOSTILE = ["\x1b[2J", "\x07", "a\nb", "\r", "\x9b31m", "\u202e", "\udc80"]


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_are_shown_and_not_obeyed(text: str, colour: bool) -> None:
    overlay = Overlay(text, [1.0])
    for picture in (
        ansi("p", [text], colour=colour),
        ansi(text, ["a"], colour=colour),
        ansi("p", [text], overlay=overlay, colour=colour),
    ):
        left = COLOUR.sub("", picture)
        assert left.replace("\n", "").isprintable()
        assert repr(text)[1:-1] in left


def test_a_reward_that_is_not_known_counts_as_nothing() -> None:
    assert ansi("p", [], stop_reason="length", colour=False) == "p >  [length, reward +0.000]"


def test_the_illegal_token_is_marked() -> None:
    plain = ansi("p", ["a", "b"], stop_reason="illegal", reward=-1.0, colour=False)
    assert plain == "p > a ~~b~~  [illegal, reward -1.000]"
    struck = re.compile(r"\x1b\[9m([^\x1b]*)")
    assert struck.findall(ansi("p", ["a", "b"], stop_reason="illegal", colour=True)) == ["b"]
    overlay = Overlay("q", [1.0, 2.0])
    assert struck.findall(ansi("p", ["a", "b"], overlay=overlay, stop_reason="illegal", colour=True)) == ["b"]
    assert "~~b~~" in ansi("p", ["a", "b"], overlay=overlay, stop_reason="illegal", colour=False)
    assert "~~" not in ansi("p", ["a", "b"], overlay=overlay, stop_reason="eos", colour=False)


def test_numbers_stand_under_their_tokens() -> None:
    picture = ansi("夸电影", ["很", "e\u0301", "\u0301", "👍", "seventeen"], overlay=Overlay("KL", [1, 2, 3, 4, 5]))
    assert lines_of(picture) == [
        "夸电影 >",
        "   很    e\u0301     \u25cc\u0301     👍    seventeen",
        "KL +1.00 +2.00 +3.00 +4.00 +5.00",
    ]


@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), max_size=30), st.integers(20, 90), st.data()
)
def test_columns_are_aligned_whatever_is_written(tokens: list[str], width: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(-9, 9), min_size=len(tokens), max_size=len(tokens)))
    picture = ansi("p", tokens, overlay=Overlay("q", values), colour=True, width=width)
    rows = picture.split("\n")[1:]
    assert len(rows) % 2 == 0
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        blocks = [re.findall(r"\x1b\[[\d;]+m([^\x1b]*)\x1b\[0m", line) for line in (upper, lower)]
        cells = [cell_len(word) + len(padding) for word, padding in zip(blocks[0][::2], blocks[0][1::2], strict=True)]
        assert cells == [len(number) for number in blocks[1][1:]]


def test_long_texts_are_wrapped_and_lose_nothing() -> None:
    words = [f"word{number}" for number in range(40)]
    overlay = Overlay("advantage", [number / 7 - 3 for number in range(40)])
    lines = lines_of(ansi("p", words, overlay=overlay, width=60))
    assert max(map(len, lines)) <= 60
    assert " ".join(lines[1::2]).split() == words
    assert " ".join(lines[2::2]).replace("advantage", "").split() == [overlay.number(n) for n in range(40)]


def test_overlay_colours_are_legible_in_the_terminal() -> None:
    from textgym.colours import xterm_rgb

    picture = ansi("p", ["x"] * 41, overlay=Overlay("q", [step / 20 for step in range(-20, 21)]), colour=True)
    pairs = {(int(ink), int(paper)) for ink, paper in re.findall(r"38;5;(\d+);48;5;(\d+)m", picture)}
    assert len(pairs) > 10
    assert all(contrast(xterm_rgb(ink), xterm_rgb(paper)) >= 4.5 for ink, paper in pairs)


# ---- printing as it goes ------------------------------------------------------------------------------------------


def test_only_what_is_new_is_printed() -> None:
    typewriter = Typewriter()
    assert typewriter.advance("p", [], colour=False) == "p >"
    assert typewriter.advance("p", ["a"], colour=False) == " a"
    assert typewriter.advance("p", ["a"], colour=False) == ""
    assert typewriter.advance("p", ["a", "b"], stop_reason="eos", colour=False) == " b  [eos, reward +0.000]\n"
    assert typewriter.advance("p", [], colour=False) == "p >"
    assert typewriter.advance("q", ["a"], colour=False) == "\nq > a"


def test_human_environments_print_as_they_go(capsys: pytest.CaptureFixture[str]) -> None:
    env = gym.make("TextGen-v0", task=PLAIN, render_mode="human")
    shown = []
    for act in (lambda: env.reset(options={"prompt_index": 0}), lambda: env.step(A), lambda: env.step(7)):
        act()
        shown.append(COLOUR.sub("", capsys.readouterr().out))
    assert shown == ["praise the movie >", " a", " the  [illegal, reward -7.000]\n"]
    assert env.render() is None
    assert capsys.readouterr().out == ""


def test_a_text_that_is_given_up_leaves_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    env = TextGenerationEnv(PLAIN, render_mode="human")
    env.reset(options={"prompt_index": 0})
    env.step(A)
    env.reset(options={"prompt_index": 2})
    assert lines_of(capsys.readouterr().out) == ["praise the movie > a", "praise >"]


def test_a_console_that_lacks_a_character_gets_its_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    echo("好 > good")
    assert raw.getvalue() == b"\\u597d > good"


# ---- the browser --------------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Reads a fragment: its text, its elements, and whether every element is closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def tokens(self) -> list[dict[str, str]]:
        """The attributes of the elements that stand for tokens."""
        return [attributes for _, attributes in self.elements if "inline-flex" in attributes.get("style", "")]


def test_html_shows_prompt_tokens_numbers_and_ending() -> None:
    source = html("pan it", WORDS, ids=[3, 1, 2, 9], overlay=NUMBERS, stop_reason="eos", reward=1.25)
    page = Reader(source)
    assert not page.open
    assert page.texts[:8] == ["pan it", "was", "+0.50", "very", "-1.00", "good", "<eos>", "+0.25"]
    assert "[eos, reward +1.250]" in page.texts
    titles = [attributes["title"] for attributes in page.tokens]
    assert titles == ["token 3, q +0.5", "token 1, q -1", "token 2", "token 9, q +0.25"]


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '" onclick="x', "</div>", "&lt;", "' onerror='", *HOSTILE]
)
def test_no_text_can_break_out_of_the_page(text: str) -> None:
    page = Reader(html(text, [text], overlay=Overlay(text, [1.0]), stop_reason=text, page=True))
    assert not page.open
    assert {tag for tag, _ in page.elements} == {"html", "head", "meta", "title", "body", "div", "span", "b"}
    allowed = {"style", "title", "class", "lang", "charset", "name", "content"}
    assert {name for _, attributes in page.elements for name in attributes} <= allowed
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    assert page.texts.count(shown) >= 2


def test_a_page_stands_alone() -> None:
    source = html("p", WORDS, overlay=NUMBERS, page=True)
    assert source.startswith("<!doctype html>")
    assert not re.search(r"https?:|url\(|@import|src=|href=|<link|<script", source)
    assert "color-scheme" in source
    assert html("p", WORDS, overlay=NUMBERS) in source


def test_html_is_readable_on_light_and_dark_pages() -> None:
    """Where a background is given so is the text's colour, with enough contrast; all else is the page's own."""
    values = [step / 20 for step in range(-20, 21)]
    page = Reader(html("p", ["x"] * 41 + ["y"], overlay=Overlay("q", [*values, None]), stop_reason="illegal"))
    for attributes in page.tokens[:-1]:
        paper, ink = re.findall(r"(?:^|;)(?:background|color):#(\w{6})", attributes["style"])
        assert contrast(tuple(bytes.fromhex(paper)), tuple(bytes.fromhex(ink))) >= 4.5  # type: ignore[arg-type]
    assert "background:rgba(128,128,128,.22)" in page.tokens[-1]["style"]
    assert all("color" not in attributes.get("style", "") for tag, attributes in page.elements if tag == "div")


def test_html_marks_the_illegal_token() -> None:
    tokens = Reader(html("p", ["a", "b"], stop_reason="illegal")).tokens
    assert [attributes.get("title") for attributes in tokens] == [None, "illegal"]
    assert "line-through" not in html("p", ["a", "b"], stop_reason="eos")
    assert html("p", ["a", "b"], stop_reason="illegal").count("line-through") == 1


def test_ids_must_fit_the_tokens() -> None:
    with pytest.raises(ConfigurationError, match="1 ids for 2 tokens"):
        html("p", ["a", "b"], ids=[1])


# ---- environments -------------------------------------------------------------------------------------------------


def test_ansi_environments_return_a_line() -> None:
    env = TextGenerationEnv(PLAIN, render_mode="ansi")
    env.reset(options={"prompt_index": 0})
    assert COLOUR.sub("", str(env.render())) == "praise the movie >"
    env.step(A)
    assert COLOUR.sub("", str(env.render())) == "praise the movie > a"
    reward = env.step(EOS)[1]
    assert COLOUR.sub("", str(env.render())) == f"praise the movie > a <eos>  [eos, reward {reward:+.3f}]"
    assert TextGenerationEnv(PLAIN).render() is None


@pytest.mark.parametrize("timing", ["end", "step"])
def test_the_line_shows_the_return_whenever_it_was_paid(timing: str) -> None:
    env = TextGenerationEnv(PLAIN, render_mode="ansi", reward_timing=timing)
    env.reset(options={"prompt_index": 0})
    total = sum(env.step(token)[1] for token in (A, B, EOS))
    assert f"reward {total:+.3f}" in str(env.render())


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_there_is_no_picture_before_the_first_reset(mode: str) -> None:
    for env in (
        TextGenerationEnv(PLAIN, render_mode=mode),
        TextGenerationVectorEnv(PLAIN, num_envs=2, render_mode=mode),
        gym.make("TextGen-v0", render_mode=mode),
    ):
        with pytest.raises(ResetNeeded, match="reset"):
            env.render()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [TextGenerationEnv, TextGenerationVectorEnv])
def test_unknown_render_modes_are_refused(kind: Any) -> None:
    with pytest.raises(RenderModeError, match="'depth'.*'ansi'.*'rgb_array'"):
        kind(PLAIN, render_mode="depth")


def test_a_vocabulary_with_control_characters_is_harmless() -> None:
    task = toy(prompts=["\x1b[2J"], tokenizer=CharTokenizer("\x1b[2J\n"), constraints=(), budget=5)
    env = TextGenerationEnv(task, render_mode="ansi")
    env.reset(seed=0)
    for token in range(5):
        env.step(token)
    assert COLOUR.sub("", str(env.render())).isprintable()
    assert env.last_episodes is not None
    assert env.last_episodes.completions == ["\x1b[2J\n"]
    envs = TextGenerationVectorEnv(task, num_envs=2, render_mode="ansi")
    envs.reset(seed=0)
    envs.step([0, 0])
    assert all(COLOUR.sub("", str(line)).isprintable() for line in envs.render() or [""])


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
@pytest.mark.parametrize("autoreset", ["NextStep", "SameStep"])
def test_lanes_look_as_single_environments_do(mode: str, autoreset: str) -> None:
    kwargs: dict[str, Any] = {"num_envs": 3, "render_mode": mode, "task": PLAIN}
    native = gym.make_vec("TextGen-v0", autoreset_mode=autoreset, **kwargs)
    sync = gym.make_vec(
        "TextGen-v0",
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gym.vector.AutoresetMode(autoreset)},
        **kwargs,
    )
    rng = np.random.default_rng(0)
    native.reset(seed=4)
    sync.reset(seed=4)
    endings = 0
    for _ in range(30):
        actions = rng.choice([A, B, EOS, 7], size=3, p=[0.4, 0.3, 0.2, 0.1])
        endings += int(native.step(actions)[2].sum())
        sync.step(actions)
        ours, theirs = native.render(), sync.render()
        assert isinstance(ours, tuple)
        assert len(ours) == 3
        assert all(np.array_equal(one, other) for one, other in zip(ours, theirs or (), strict=True))
    assert endings > 5
    native.close()
    sync.close()
