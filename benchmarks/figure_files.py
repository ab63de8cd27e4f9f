"""Pictures of the report as files of their own: SVG that needs no style sheet, and the same as PDF."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from textgym.atomic import write_whole

from .pdf import write_pdf
from .report_style import STYLE

_NAMESPACE = "http://www.w3.org/2000/svg"
_PAINT = ("fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity")
_TEXT = ("font-size", "font-weight")
_FONT = "Helvetica, Arial, sans-serif"
_BREAKS = re.compile(r"\s+")


def write_figures(folder: Path, pictures: Mapping[str, str]) -> list[Path]:
    """Writes each picture as ``NAME.svg`` and ``NAME.pdf``.

    Args:
        folder: Made if missing.
        pictures: Name -> SVG text as the report has it, coloured by classes.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, picture in pictures.items():
        alone = standalone(picture)
        path = folder / f"{name}.svg"
        write_whole(path, alone)
        write_pdf(path.with_suffix(".pdf"), alone)
        written += [path, path.with_suffix(".pdf")]
    return written


def standalone(picture: str) -> str:
    """A picture of the report with its colours written into it, as on white paper."""
    root = ElementTree.fromstring(picture)
    for element in root.iter():
        _paint(element)
    root.set("xmlns", _NAMESPACE)
    root.set("font-family", _FONT)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _paint(element: ElementTree.Element) -> None:
    """Replaces an element's classes by what the style sheet says of them."""
    classes = frozenset((element.attrib.pop("class", "") or "").split())
    if element.tag == "svg" or element.tag == "title":
        return
    properties = _properties(element.tag, classes)
    wanted = _PAINT + (_TEXT if element.tag == "text" else ())
    for name in wanted:
        if name in properties:
            element.set(name, properties[name])
    if element.tag == "text":
        element.set("stroke", "none")  # the halo of a label is in the page's colour
        for name in ("stroke-width", "stroke-linecap"):
            element.attrib.pop(name, None)
    if not element.get("stroke-dasharray", "x"):
        del element.attrib["stroke-dasharray"]


@cache
def _properties(tag: str, classes: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for _, selector_tag, needed, properties in sorted(_rules(), key=lambda rule: rule[0]):
        if selector_tag in ("", tag) and needed <= classes:
            found |= properties
    return found


@cache
def _rules() -> tuple[tuple[tuple[int, int, int], str, frozenset[str], dict[str, str]], ...]:
    """(specificity, tag, classes, properties) of each rule of the style sheet that paints a part of a picture."""
    colours = dict(re.findall(r"--([\w-]+):\s*([^;]+);", STYLE.partition("@media")[0]))
    rules = []
    for order, (selectors, block) in enumerate(re.findall(r"([^{}]+)\{([^{}]*)\}", STYLE)):
        properties = {name: _value(value, colours) for name, value in re.findall(r"([\w-]+):\s*([^;]+)", block)}
        for selector in selectors.split(","):
            words = _BREAKS.sub(" ", selector.strip())
            match = re.fullmatch(r"(svg )?([a-z]*)((?:\.\w+)*)", words)
            if match and (match[1] or re.fullmatch(r"\.s\d", words)):
                classes = frozenset(match[3].split(".")[1:])
                rules.append(((len(classes), bool(match[1]) + bool(match[2]), order), match[2], classes, properties))
    return tuple(rules)


def _value(value: str, colours: Mapping[str, str]) -> str:
    return re.sub(r"var\(--([\w-]+)\)", lambda match: colours.get(match[1], match[0]), value.strip()).removesuffix("px")
