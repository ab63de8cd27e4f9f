"""Writes pictures as PDF: the lines, polygons, circles and words that the report's SVG is made of.

One page as large as the picture, vector graphics, the standard font Helvetica, which every reader of PDF has; so the
file needs no other library and is the same on every machine. Characters outside the Latin alphabet are shown as "?".
After ISO 32000-1:2008, sections 7 (file structure), 8 (graphics) and 9 (text).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from textgym.errors import ConfigurationError

_CURVE = 0.5522847498  # a quarter of a circle as one Bezier curve
_WIDTHS = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556 278 278 "
    "584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667 611 722 667 944 "
    "667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 "
    "278 556 500 722 500 500 500 334 260 334 584"
)
_LETTERS = {chr(32 + order): int(width) / 1000 for order, width in enumerate(_WIDTHS.split())}
_BOLD = 1.06  # Helvetica-Bold is about that much wider
_REPLACED = str.maketrans({"−": "–", "→": "-", "≥": ">", "≤": "<", "…": "...", "▲": "^", "⚠": "!"})


def write_pdf(path: Path, picture: str) -> None:
    """Writes a picture as PDF, whole or not at all.

    Args:
        path: The file.
        picture: SVG with its colours as attributes, as :func:`textgym.benchmarks.figure_files.standalone` makes it.

    Raises:
        ConfigurationError: if it holds something that is not supported here.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    scratch.write_bytes(to_pdf(picture))
    os.replace(scratch, path)


def to_pdf(picture: str) -> bytes:
    """The bytes of a PDF file with this SVG on its only page."""
    root = ElementTree.fromstring(picture)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    opacities: dict[float, str] = {}
    drawing = "\n".join([f"1 0 0 -1 0 {height:g} cm", *_draw_all(root, opacities)]).encode("cp1252", "replace")
    states = " ".join(f"/{name} << /ca {value:g} /CA {value:g} >>" for value, name in opacities.items())
    fonts = "/F0 5 0 R /F1 6 0 R"
    return _assemble(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:g} {height:g}] /Contents 4 0 R "
            f"/Resources << /Font << {fonts} >> /ExtGState << {states} >> >> >>".encode(),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
            *(
                f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>".encode()
                for name in ("Helvetica", "Helvetica-Bold")
            ),
        ]
    )


def text_width(words: str, size: float, *, bold: bool = False) -> float:
    """How wide a line of Helvetica is, in the unit of its size.

    Example:
        >>> text_width("ii", 10.0)
        4.44
    """
    return round(sum(_LETTERS.get(letter, 0.556) for letter in words) * size * (_BOLD if bold else 1.0), 6)


def _assemble(objects: Sequence[bytes]) -> bytes:
    """Objects, their offsets, and the trailer."""
    content, offsets = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    return (
        content
        + b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
        + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(content))
    )


def _draw_all(root: ElementTree.Element, opacities: dict[float, str]) -> Iterator[str]:
    for element in root.iter():
        kind = element.tag.rpartition("}")[2]
        if kind in ("svg", "title"):
            continue
        if kind not in _SHAPES and kind != "text":
            raise ConfigurationError(f"a picture holds <{kind}>; expected {', '.join(sorted(_SHAPES))} and text only")
        opacity = float(element.get("opacity", 1.0))
        yield "q"
        if opacity < 1.0:
            yield f"/{opacities.setdefault(opacity, f'G{len(opacities)}')} gs"
        yield from _text(element) if kind == "text" else _shape(element, kind)
        yield "Q"


def _shape(element: ElementTree.Element, kind: str) -> Iterator[str]:
    fill = "none" if kind == "line" else element.get("fill", "#000000")
    stroke = element.get("stroke", "none")
    if fill == stroke == "none":
        return
    if fill != "none":
        yield f"{_colour(fill)} rg"
    if stroke != "none":
        yield f"{_colour(stroke)} RG {float(element.get('stroke-width', 1)):g} w"
        yield f"{int(element.get('stroke-linecap') == 'round')} J {int(element.get('stroke-linejoin') == 'round')} j"
        yield f"[{' '.join(element.get('stroke-dasharray', '').replace(',', ' ').split())}] 0 d"
    yield from _SHAPES[kind](element)
    painting = {(True, True): "B", (True, False): "f", (False, True): "S"}
    yield painting[fill != "none", stroke != "none"]


def _text(element: ElementTree.Element) -> Iterator[str]:
    words = "".join(element.itertext()).translate(_REPLACED).encode("cp1252", "replace").decode("cp1252")
    size, bold = float(element.get("font-size", 13)), element.get("font-weight") in ("600", "700", "bold")
    share = {"middle": 0.5, "end": 1.0}.get(element.get("text-anchor", "start"), 0.0)
    x = float(element.get("x", 0)) - share * text_width(words, size, bold=bold)
    escaped = words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    yield f"BT {_colour(element.get('fill', '#000000'))} rg /F{int(bold)} {size:g} Tf"
    yield f"1 0 0 -1 {x:.2f} {float(element.get('y', 0)):.2f} Tm ({escaped}) Tj ET"


def _line(element: ElementTree.Element) -> Iterator[str]:
    x1, y1, x2, y2 = (float(element.get(name, 0)) for name in ("x1", "y1", "x2", "y2"))
    yield f"{x1:g} {y1:g} m {x2:g} {y2:g} l"


def _points(element: ElementTree.Element) -> Iterator[str]:
    numbers = [float(number) for number in element.get("points", "").replace(",", " ").split()]
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    for order, (x, y) in enumerate(pairs):
        yield f"{x:g} {y:g} {'l' if order else 'm'}"
    if element.tag.endswith("polygon"):
        yield "h"


def _circle(element: ElementTree.Element) -> Iterator[str]:
    x, y, r = (float(element.get(name, 0)) for name in ("cx", "cy", "r"))
    k = _CURVE * r
    yield f"{x + r:g} {y:g} m"
    corners: Iterable[tuple[float, ...]] = (
        (x + r, y + k, x + k, y + r, x, y + r),
        (x - k, y + r, x - r, y + k, x - r, y),
        (x - r, y - k, x - k, y - r, x, y - r),
        (x + k, y - r, x + r, y - k, x + r, y),
    )
    for corner in corners:
        yield f"{' '.join(f'{value:g}' for value in corner)} c"


def _rectangle(element: ElementTree.Element) -> Iterator[str]:
    x, y, width, height = (float(element.get(name, 0)) for name in ("x", "y", "width", "height"))
    yield f"{x:g} {y:g} {width:g} {height:g} re"


def _colour(value: str) -> str:
    digits = value.removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    try:
        red, green, blue = (int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4))
    except ValueError:
        raise ConfigurationError(f"the colour {value!r} of a picture: expected #rrggbb") from None
    return f"{red:.4g} {green:.4g} {blue:.4g}"


_SHAPES = {
    "line": _line,
    "polyline": _points,
    "polygon": _points,
    "circle": _circle,
    "rect": _rectangle,
}
