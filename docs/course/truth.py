"""Which numbers of a notebook's prose its own cells print.

A number with a decimal point, a percent sign, a thousands separator or at least three digits has to occur in the
printed output of a cell of the same page. Inline code may also quote the code of a cell. Years in brackets, such as
(1989), are no results and may stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import nbformat

NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.,])(?P<sign>[-−+])?"
    r"(?P<body>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)"
    r"(?P<percent>[ \u00a0]?(?:%|per cent\b))?(?![\d]|[.,]\d)"
)
FENCE = re.compile(r"^(?P<marks>`{3,}|~{3,}).*?^(?P=marks)\s*?$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
LEFT_OUT = re.compile(
    r"^:[\w-]+:.*$"  # options of directives
    r"|\]\([^)\s]*\)"  # where links lead
    r"|<https?://[^>]*>|https?://\S+"
    r"|<!--.*?-->"
    r"|[(（](?:[^()（）]*\D)?\d{4}[)）]"  # (1989), (Watkins, 1989)
    r"|\{[\w-]+\}(?=`)",  # names of roles
    re.MULTILINE,
)


def quoted(text: str) -> Iterator[str]:
    """The numbers of a text that have to be printed by a cell, as they are written.

    Example:
        >>> list(quoted("Of 1,555 texts 2 earn −0.5, that is 0.13 % of them."))
        ['1,555', '−0.5', '0.13 %']
    """
    for match in NUMBER.finditer(text):
        digits = match["body"]
        if match["percent"] or "." in digits or "," in digits or len(digits) >= 3:
            yield match[0]


def plain(number: str) -> tuple[str, str]:
    """A number without the ways to write it: its sign and digits, and whether it is a percentage."""
    percent = "%" if "%" in number or "per cent" in number else ""
    body = number.replace("−", "-").replace("per cent", "").strip("%+ \u00a0")
    return body.replace(",", ""), percent


def printed_numbers(outputs: Iterable[str]) -> set[tuple[str, str]]:
    """Every number that the outputs show; one with a minus sign may be quoted without it."""
    found = {plain(match[0]) for text in outputs for match in NUMBER.finditer(text)}
    return found | {(body.removeprefix("-"), percent) for body, percent in found}


def untrue_numbers(notebook: nbformat.NotebookNode, outputs: Iterable[str]) -> list[str]:
    """The numbers of a notebook's prose that no cell printed.

    Args:
        notebook: The notebook.
        outputs: What its cells printed.
    """
    known = printed_numbers(outputs)
    written = printed_numbers(_join(cell.source) for cell in notebook.cells if cell.cell_type == "code")
    wrong = []
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        text = LEFT_OUT.sub(" ", FENCE.sub(" ", cell.source))
        code = " ".join(match[2] for match in INLINE.finditer(text))
        wrong += [number for number in quoted(INLINE.sub(" ", text)) if plain(number) not in known]
        wrong += [number for number in quoted(_join(code)) if plain(number) not in known | written]
    return wrong


def _join(code: str) -> str:
    """Code with its numbers written without underscores."""
    return re.sub(r"(?<=\d)_(?=\d)", "", code)
