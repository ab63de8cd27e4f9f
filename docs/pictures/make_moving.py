"""Draws docs/images/moving.svg, the picture on the front page: ``python docs/pictures/make_moving.py``.

A tabular agent writes to one prompt after 0, some and many tokens of training. The colour of a token is its exact
advantage: what it has lost against the best that could be written there. The picture plays three times and rests on the
last text; who prefers less motion sees that one at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import textgym
from textgym.agents.registry import make_agent
from textgym.colours import css, diverging, text_colour
from textgym.exact import solve
from textgym.pictures import svg

TARGET = Path(__file__).resolve().parents[1] / "images" / "moving.svg"
ENVS = textgym.EnvFactory("TextGen-v0")
PROMPT = 0
BUDGETS = (0, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000)
ACTS = (0, 3, 5, 6)
"""Which of the budgets are shown as texts."""

WIDTH, HEIGHT = 760.0, 330.0
SECONDS, PLAYS = 20.0, 3
TOKEN_SHARE = 0.1  # of an act, between two tokens
LEFT, RIGHT, TOP, BOTTOM = 64.0, 736.0, 176.0, 292.0  # of the curve
NUMBER = 11.5


@dataclass(frozen=True)
class Act:
    """What an agent writes after some training.

    Attributes:
        budget: Tokens of training.
        words: Its text, token by token.
        advantages: What each token is worth against the best one there; 0 at best.
        reward: What the text is paid.
        score: Mean normalised reward over the prompts.
    """

    budget: int
    words: tuple[str, ...]
    advantages: tuple[float, ...]
    reward: float
    score: float


def train() -> list[Act]:
    """An agent of its own for each budget."""
    task, solution = ENVS.task(), solve(ENVS, prompt=PROMPT)
    found = []
    for budget in BUDGETS:
        agent = make_agent("q_learning" if budget else "uniform", seed=1)
        if budget:
            agent.learn(ENVS, budget)
        measured = textgym.evaluate(agent, ENVS, episodes=200, seed=0)
        text = next(item for item in measured.texts if item["prompt"] == task.prompts.texts[PROMPT])
        ids = task.encode_completion(text["completion"])
        advantages = [float(solution.q(ids[:at])[token] - solution.value(ids[:at])) for at, token in enumerate(ids)]
        words = tuple(task.tokenizer.tokens[token] for token in ids)
        assert measured.normalized is not None
        found.append(Act(budget, words, tuple(advantages), float(text["reward"]), measured.normalized))
    return found


# ---- drawing --------------------------------------------------------------------------------------------------------


def draw(acts: Sequence[Act]) -> str:
    """The text of the picture."""
    shown = [acts[place] for place in ACTS]
    body = [*_head(), *_axes(), _line(acts)]
    rules = []
    for number, act in enumerate(shown):
        for step, piece in enumerate(_pieces(act)):
            name = f"a{number}s{step}"
            rules.append(_rule(name, number, step))
            body.append(svg.element("g", piece, class_=name))
    last = shown[-1]
    label = (
        f"Q-learning on TextGen-v0 writes to the prompt {ENVS.task().prompts.texts[PROMPT]!r}: after no training "
        f"{' '.join(shown[0].words)}, paid {shown[0].reward:.2f}; after {last.budget:,} tokens {' '.join(last.words)}, "
        f"paid {last.reward:.2f}. Below, the curve of its mean score, from random play to the best texts."
    )
    still = "@media (prefers-reduced-motion:reduce){g{animation:none!important}}"
    style = svg.element("style", "".join(rules) + still)
    return svg.picture([style, *body], width=WIDTH, height=HEIGHT, label=label)


def _rule(name: str, number: int, step: int) -> str:
    """When a piece can be seen, in percent of the whole; those of the last act stay."""
    share, last = 100.0 / len(ACTS), number == len(ACTS) - 1
    begin, end = share * (number + TOKEN_SHARE * step), share * (number + 1)
    frames = f"0%,{begin:.2f}%{{opacity:0}}{begin + 0.6:.2f}%,{end - 0.01:.2f}%{{opacity:1}}"
    frames += "" if last else f"{end:.2f}%,100%{{opacity:0}}"
    play = f"animation:{name} {SECONDS:g}s linear {PLAYS} both"
    return f"@keyframes {name}{{{frames}}}.{name}{{opacity:{int(last)};{play}}}"


def _head() -> Iterator[str]:
    yield svg.text(svg.MARGIN, 20.0, "Q-learning writes a review", size=svg.LARGE, font_weight=600)
    words = "TextGen-v0: one action is one token, the finished text is paid. Numbers: the exact advantage of a token"
    yield svg.text(svg.MARGIN, 41.0, words, size=svg.SMALL, fill=svg.SOFT)


def _pieces(act: Act) -> Iterator[str]:
    """What appears one after the other: the prompt with the place on the curve, each token, the reward."""
    x, y = _place(act)
    prompt = ENVS.task().prompts.texts[PROMPT] + " ▸"
    yield (
        svg.text(svg.MARGIN, 74.0, f"after {act.budget:,} tokens of training", font_weight=600)
        + svg.text(svg.MARGIN, 108.0, prompt, size=svg.LARGE)
        + svg.element("circle", cx=x, cy=y, r=7.0, fill=css(diverging(1.0)), stroke=svg.INK, stroke_width=1.5)
    )
    limit = max(1.0, *(abs(value) for value in act.advantages))
    left = svg.MARGIN + svg.room_for(prompt, svg.LARGE) + 6.0
    for word, advantage in zip(act.words, act.advantages, strict=True):
        width = svg.room_for(word, svg.LARGE) + 18.0
        yield _chip(word, advantage, left, width, limit)
        left += width + 8.0
    yield svg.text(left + 8.0, 108.0, f"paid {_number(act.reward)}", size=svg.LARGE, font_weight=600)


def _chip(word: str, advantage: float, left: float, width: float, limit: float) -> str:
    colour = diverging(advantage, limit)
    box = svg.element("rect", x=left, y=94.0, width=width, height=28.0, rx=6, fill=css(colour), stroke=svg.RULE)
    middle = left + width / 2
    name = svg.text(middle, 108.0, word, size=svg.LARGE, fill=css(text_colour(colour)), text_anchor="middle")
    return box + name + svg.text(middle, 135.0, _number(advantage), size=NUMBER, fill=svg.SOFT, text_anchor="middle")


def _number(value: float) -> str:
    return f"{value + 0.0:+.2f}".replace("-0.00", "0.00").replace("+0.00", "0.00").replace("-", "−")


def _axes() -> Iterator[str]:
    for value, name in ((0.0, "random"), (1.0, "best")):
        y = _height(value)
        yield svg.element("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, stroke=svg.RULE, stroke_dasharray="3 3")
        yield svg.text(LEFT - 8.0, y, name, size=svg.SMALL, fill=svg.SOFT, text_anchor="end")
    for budget in BUDGETS:
        yield svg.text(
            _across(budget), BOTTOM + 20.0, f"{budget:,}", size=svg.SMALL, fill=svg.SOFT, text_anchor="middle"
        )


def _line(acts: Sequence[Act]) -> str:
    places = [_place(act) for act in acts]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    line = svg.element("polyline", points=points, fill="none", stroke=svg.SOFT, stroke_width=2)
    return line + "".join(svg.element("circle", cx=x, cy=y, r=3.5, fill=svg.SOFT) for x, y in places)


def _place(act: Act) -> tuple[float, float]:
    return _across(act.budget), _height(act.score)


def _across(budget: int) -> float:
    """Budgets on a logarithmic scale; 0 stands one step before the first."""
    step = math.log10(budget / BUDGETS[1]) * 2 + 1 if budget else 0.0
    return LEFT + 24.0 + (RIGHT - LEFT - 48.0) * step / (math.log10(BUDGETS[-1] / BUDGETS[1]) * 2 + 1)


def _height(score: float) -> float:
    return float(np.interp(score, [0.0, 1.0], [BOTTOM, TOP]))


def main() -> None:
    """Writes the file."""
    TARGET.write_text(draw(train()), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
