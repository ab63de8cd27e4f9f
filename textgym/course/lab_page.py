"""The page of a lab hour, to be shown on the wall and printed: one file without scripts or network."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from textgym.atomic import write_whole
from textgym.benchmarks.report_plots import number
from textgym.benchmarks.report_style import STYLE
from textgym.course.lab import GroupResult, Lab
from textgym.feedback.agreement import Coefficient
from textgym.feedback.display import pieces
from textgym.feedback.sheet import MEASURES
from textgym.rlhf.report import REPORT

PAGE, NUMBERS = "lab.html", "lab.json"
DASH = "\u2013"
_PRINT = "@media print { main { padding: 0; } table, h2 { break-inside: avoid; } a { color: inherit; } }\n"
_QUESTIONS = (
    "On which pairs did we disagree, and was it the texts or the guidelines?",
    "Which group's agent earns most from its own model, and what do you think of its texts?",
    "Whose model likes another group's agent better than that group's own model does? What do the two groups share?",
    "Where proxy and gold part: which words does the agent use that nobody asked for?",
)


def write_lab(lab: Lab, out: str | Path) -> Path:
    """Writes the page and, for programs, the same numbers as JSON; returns the page's path."""
    write_whole(Path(out) / NUMBERS, json.dumps(numbers(lab), indent=2) + "\n")
    write_whole(Path(out) / PAGE, render(lab))
    return Path(out) / PAGE


def numbers(lab: Lab) -> dict[str, Any]:
    """What the lab gave, as JSON has it; null where a number is not defined."""
    return {
        "env_id": lab.envs.env_id,
        "agreement": {name: _plain(found.value) for name, found in lab.agreement.coefficients.items()},
        "groups": [_group_numbers(group) for group in lab.groups],
        "likes": [[_plain(value) for value in row] for row in lab.likes.tolist()],
    }


def render(lab: Lab) -> str:
    """The page as text."""
    body = ["<h1>What our labels have taught</h1>", f"<p class=soft>{escape(lab.envs.env_id)}</p>"]
    body += [*_agreement(lab), *_groups(lab), *_texts(lab), *_likes(lab), "<h2>To talk about</h2>"]
    body.append("<ol>" + "".join(f"<li>{escape(question)}</li>" for question in _QUESTIONS) + "</ol>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Lab hour</title><style>{STYLE}{_PRINT}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


def proxy_and_gold(group: GroupResult, split: str = "") -> tuple[float, float]:
    """What the group's agent is paid by its reward model, and what its texts are worth; NaN where that is not known.

    Args:
        group: The group.
        split: Of the prompts; by default those of the training.
    """
    if group.round is None:
        return math.nan, math.nan
    result = group.round.result
    found = [result.measure("greedy", split or result.training_split, kind) for kind in ("reward", "gold")]
    proxy, gold = (math.nan if measure is None else measure.mean for measure in found)
    return proxy, gold


def _group_numbers(group: GroupResult) -> dict[str, Any]:
    proxy, gold = proxy_and_gold(group)
    return {
        "name": group.name, "people": list(group.people), "judgements": group.judgements, "decided": group.decided,
        "agreement": _plain(group.agreement.percent.value), "alpha": _plain(group.agreement.ordinal.value),
        "like_others": _plain(group.like_others.value), "held_out_accuracy": _plain(_accuracy(group)),
        "proxy": _plain(proxy), "gold": _plain(gold), "problem": group.problem,
        "texts": [{name: text[name] for name in ("prompt", "completion")} for text in group.texts],
    }  # fmt: skip


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _accuracy(group: GroupResult) -> float:
    held = group.round.fit.get("held out") if group.round else None
    return float(held["accuracy"]) if held else math.nan


def _agreement(lab: Lab) -> Iterator[str]:
    yield "<h2>How far we agree</h2>"
    rows = ([escape(MEASURES[name]), *_interval(found)] for name, found in lab.agreement.coefficients.items())
    yield _table(["measure", "value", "95 % interval"], rows)
    yield (
        f"<p class=soft>{lab.agreement.ratings} judgements of {lab.agreement.pairs} pairs that several of us judged; "
        "all of it, and each annotator, is in <a href=agreement.md>agreement.md</a>.</p>"
    )


def _interval(found: Coefficient) -> tuple[str, str]:
    if math.isnan(found.value):
        return DASH, escape(found.reason)
    known = not math.isnan(found.low)
    return f"{found.value:.2f}", f"{found.low:.2f} to {found.high:.2f}" if known else DASH


def _groups(lab: Lab) -> Iterator[str]:
    yield "<h2>The groups and their reward models</h2>"
    head = ["group", "people", "judgements", "agree inside", "like others", "model right", "proxy", "gold"]
    yield _table(head, (_group_row(group) for group in lab.groups))
    note = (
        "Model right: share of held-out judgements that the group's reward model predicts. Proxy: what that model pays "
        "the group's agent for a text, on a scale of its own (mean 0, spread 1 over the texts that were judged). Gold: "
        "what the same texts are worth"
    )
    gold = _gold_lines(lab)
    yield f"<p class=soft>{note}{f'; {gold}' if gold else ' is not known in this task'}.</p>"
    for group in lab.groups:
        if group.problem:
            yield f"<p class=alarm>{_name(group.name)}: {escape(group.problem)}</p>"


def _group_row(group: GroupResult) -> list[str]:
    name = _name(group.name)
    if group.round is not None:
        name = f'<a href="{escape(group.folder.name)}/{REPORT}">{name}</a>'
    shares = (group.agreement.percent.value, group.like_others.value, _accuracy(group))
    cells = [DASH if math.isnan(share) else f"{share:.0%}" for share in shares]
    worth = [DASH if math.isnan(value) else number(value) for value in proxy_and_gold(group)]
    return [name, f"{len(group.people)}", f"{group.judgements:,}", *cells, *worth]


def _gold_lines(lab: Lab) -> str:
    """Random play, the best text that ignores the prompt, and the best texts, where they are known."""
    for group in lab.groups:
        if group.round is not None:
            result = group.round.result
            lines: Mapping[str, Any] = result.references.get(result.training_split, {}).get("gold", {})
            names = {"random": "random play", "blind": "the best prompt-blind text", "best": "the best texts"}
            known = [f"{said} {number(lines[name])}" for name, said in names.items() if lines.get(name) is not None]
            return ", ".join(known)
    return ""


def _texts(lab: Lab) -> Iterator[str]:
    shown = [group for group in lab.groups if group.texts]
    if not shown:
        return
    yield "<h2>What the agents write</h2>"
    written = {(group.name, text["prompt"]): text["completion"].strip() for group in shown for text in group.texts}
    prompts = sorted({prompt for _, prompt in written})
    rows = ([escape(prompt), *(_text(written.get((group.name, prompt))) for group in shown)] for prompt in prompts)
    yield _table(["prompt", *(_name(group.name) for group in shown)], rows)


def _text(text: str | None) -> str:
    if text is None:
        return DASH
    return escape(text) or "<i>(empty)</i>"


def _likes(lab: Lab) -> Iterator[str]:
    shown = [place for place, group in enumerate(lab.groups) if group.texts]
    if len(shown) < 2:
        return
    yield "<h2>How each group's model likes each group's agent</h2>"
    head = ["agent of", *(f"paid by {_name(lab.groups[place].name)}" for place in shown)]
    rows = ([_name(lab.groups[row].name), *(_like(lab, row, column) for column in shown)] for row in shown)
    yield _table(head, rows)
    yield (
        "<p class=soft>Read down a column: every model should like its own agent best, since that agent has done "
        "nothing but please it. Where a column is high throughout, the groups have taught much the same.</p>"
    )


def _like(lab: Lab, row: int, column: int) -> str:
    shown = number(float(lab.likes[row, column]))
    return f"<b>{shown}</b>" if row == column else shown


def _name(name: str) -> str:
    return escape("".join(piece.text for piece in pieces(name)))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    names = "".join(f"<th scope=col>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>"
