"""Reads pictures of values back from their SVG, for the tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from textgym.agents.q_learning import QLearning
from textgym.exact import TreeSolution
from textgym.task import Task

SVG = "{http://www.w3.org/2000/svg}"
ALLOWED = ("svg", "rect", "g", "path", "text", "title", "polygon", "circle")
INK, ALARM = "#1c2026", "#c0392b"


@dataclass(frozen=True)
class Drawn:
    """A token as it is drawn, with what its tip says and the line that leads to it."""

    text: str
    name: str
    value: float
    flow: float
    end: str
    fill: str
    frame: str
    shown: tuple[str, ...]
    x: float
    y: float
    line_width: float
    line_colour: str


def parse(picture: str) -> ElementTree.Element:
    """The picture as a tree of elements; fails unless it is well-formed and needs nothing else."""
    root = ElementTree.fromstring(picture)
    assert root.tag == f"{SVG}svg"
    assert {element.tag for element in root.iter()} <= {f"{SVG}{name}" for name in ALLOWED}
    assert not {name for element in root.iter() for name in element.attrib} & {"id", "href", "class", "onclick"}
    return root


def tip_of(element: ElementTree.Element) -> str:
    return element.findtext(f"{SVG}title") or ""


def lines(picture: str) -> dict[str, ElementTree.Element]:
    """The lines of a tree by their tips."""
    return {tip_of(path): path for path in parse(picture).iter(f"{SVG}path") if tip_of(path)}


def tokens(picture: str) -> list[Drawn]:
    """The tokens of a tree, from top to bottom."""
    edges = lines(picture)
    found = []
    for group in parse(picture).iter(f"{SVG}g"):
        tip = tip_of(group)
        match = re.match(r"(.*)\n(.*?) (not known|\S+)(?:, advantage \S+)?\n.* (\S+)(?:\nends here: (.*))?$", tip)
        box = group.find(f"{SVG}rect")
        if match is None or box is None or tip not in edges:
            continue
        text, _, value, flow, end = match.groups()
        shown = tuple(element.text or "" for element in group.iter(f"{SVG}text"))
        found.append(
            Drawn(
                text=text,
                name=text.split(" ")[-1],
                value=float("nan") if value == "not known" else float(value),
                flow=float(flow),
                end=end or "",
                fill=box.attrib["fill"],
                frame=box.attrib["stroke"],
                shown=shown,
                x=float(box.attrib["x"]),
                y=float(box.attrib["y"]),
                line_width=float(edges[tip].attrib["stroke-width"]),
                line_colour=edges[tip].attrib["stroke"],
            )
        )
    return found


def greedy_path(picture: str) -> list[str]:
    """The tokens with dark frames, in reading order; their lines are dark too."""
    drawn = [token for token in tokens(picture) if token.frame == INK]
    assert {token.line_colour for token in drawn} <= {INK}
    assert len({token.y for token in drawn}) <= 1, "the greedy text stands in one line"
    return [token.name for token in sorted(drawn, key=lambda token: token.x)]


def names(task: Task, ids: list[int]) -> list[str]:
    return [task.tokenizer.tokens[index] for index in ids]


def row_of(agent: QLearning, solution: TreeSolution, ids: list[int], prompt: int = 0) -> int | None:
    """The row of an agent's table for a prefix."""
    table = solution.task.prompts
    padding = [solution.task.tokenizer.vocab_size] * (solution.task.budget - len(ids))
    return agent.rows.get(np.array([*table.ids[prompt], *ids, *padding], dtype=np.int32).tobytes())


def cells(picture: str) -> dict[tuple[str, str], tuple[str, str]]:
    """(text, "learned" or "Q*") -> (what stands in the cell, its frame)."""
    found = {}
    for group in parse(picture).iter(f"{SVG}g"):
        match = re.match(r"(.*)\n(learned|Q\*)", tip_of(group))
        box = group.find(f"{SVG}rect")
        if match and box is not None:
            found[match[1], match[2]] = (group.findtext(f"{SVG}text") or "", box.attrib.get("stroke", ""))
    return found


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in parse(picture).iter(f"{SVG}text")]
