"""The pages of the project: which there are, and their fenced blocks and headings."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
GENERATED = {"_build", "api"}
"""Folders below docs that are no part of the repository."""

EVERY_PAGE = [
    *sorted(ROOT.glob("*.md")),
    *sorted(page for page in DOCS.rglob("*.md") if page.relative_to(DOCS).parts[0] not in GENERATED),
]
# Notebooks are run by Sphinx, and by test_course_notebooks.py.
NOTEBOOKS = [page for page in EVERY_PAGE if page.parent.name == "course" and page.stem[0].isdigit()]
PAGES = [page for page in EVERY_PAGE if page not in NOTEBOOKS]

OPENING = re.compile(r"(?P<indent> *)(?P<marks>`{3,}|~{3,})(?P<language>[^`]*)")
TAG = re.compile(r" *<!-- (?P<tag>.*?) -->")
HEADING = re.compile(r"#{1,3} +(?P<title>.*?) *#*")  # those with an anchor, by myst_heading_anchors in docs/conf.py
TARGET = re.compile(r"\((?P<name>[^()\s]+)\)=")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the comment on the line above it, and the number of its first line."""

    language: str
    body: str
    tag: str = ""
    line: int = 0

    @property
    def is_not_run(self) -> bool:
        """Whether the page itself says that the block is not run."""
        return self.tag.startswith("not run")

    @property
    def needs(self) -> str:
        """The package without which the block cannot run; empty when there is none."""
        return self.tag.removeprefix("needs: ") if self.tag.startswith("needs: ") else ""


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def split(page: Path) -> tuple[list[Block], list[tuple[int, str]]]:
    """The fenced blocks of a page, and the lines outside of them with their numbers."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found, outside, at = [], [], 0
    while at < len(lines):
        opening = OPENING.fullmatch(lines[at])
        if opening is None:
            outside.append((at + 1, lines[at]))
            at += 1
            continue
        closing = re.compile(rf" *{opening['marks'][0]}{{{len(opening['marks'])},}} *")
        end = next((i for i in range(at + 1, len(lines)) if closing.fullmatch(lines[i])), None)
        assert end is not None, f"{name_of(page)}, line {at + 1}: this block is never closed"
        body = textwrap.dedent("".join(f"{line}\n" for line in lines[at + 1 : end]))
        above = TAG.fullmatch(lines[at - 1]) if at else None
        found.append(Block(opening["language"].strip(), body, above["tag"] if above else "", at + 1))
        at = end + 1
    return found, outside


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    return split(page)[0]


def anchors(page: Path) -> set[str]:
    """What may stand behind the ``#`` of a link to the page: its headings as GitHub names them, and its targets."""
    names: set[str] = set()
    for _, line in split(page)[1]:
        if heading := HEADING.fullmatch(line):
            slug = anchor(heading["title"])
            count = sum(name == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", name) is not None for name in names)
            names.add(f"{slug}-{count}" if count else slug)
        if target := TARGET.fullmatch(line):
            names.add(target["name"])
    return names


def anchor(title: str) -> str:
    """A heading as GitHub and MyST name it in links."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
