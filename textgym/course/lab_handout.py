"""The handout of a lab hour: one page of A4 that says where to go, what to do, and what to guess beforehand."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

from textgym.course.lab_groups import SEPARATOR
from textgym.feedback.display import pieces

MOST_GUIDELINES = 400
"""Letters of the guidelines that fit on the page; the whole text stands above every pair."""

STYLE = """
@page { size: A4; margin: 12mm 16mm; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 178mm; color: #000; background: #fff;
  font: 11pt/1.32 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 20pt; line-height: 1.15; margin: 0 0 2mm; }
h2 { font-size: 12pt; margin: 3.5mm 0 1mm; border-bottom: 1px solid #000; }
p, ul, ol { margin: .8mm 0; } ul, ol { padding-left: 6mm; }
.where { display: flex; gap: 6mm; align-items: center; border: 2px solid #000; padding: 3mm 4mm; margin-top: 3mm; }
.where div { min-width: 0; flex: 1; }
.where img { width: 36mm; height: 36mm; }
.big { font-size: 16pt; font-weight: 700; overflow-wrap: anywhere; }
.code { font-family: ui-monospace, Consolas, monospace; letter-spacing: .12em; }
.line { display: block; border-bottom: 1px solid #000; height: 7mm; }
.blank { display: inline-block; border-bottom: 1px solid #000; min-width: 70mm; height: 1.2em; }
table { border-collapse: collapse; width: 100%; } td { padding: .6mm 3mm .6mm 0; vertical-align: top; }
kbd { border: 1px solid #000; border-radius: 3px; padding: 0 1.2mm; font: inherit; font-weight: 600; }
@media screen { body { padding: 8mm; } }
@media print { h2, .where { break-inside: avoid; } }
"""

_KEYS = (
    (("1", "\u2190"), "the left text is better", ("t",), "a tie: equally good"),
    (("2", "\u2192"), "the right text is better", ("b",), "both are bad"),
    (("u",), "undo my last answer", ("s",), "skip: I cannot tell"),
)
_RULES = (
    "Read the prompt first, then both texts to the end. The sides are thrown like a coin for everybody.",
    "Judge by yourself; talk about it afterwards. A tie is an answer. Skip only what you cannot judge.",
    "Some pairs come back with their sides changed. That is meant.",
    "An answer that the page calls saved cannot be lost. Your link works again after a break.",
    "Stored are the name that you type, your answers and how long each took; a nickname will do.",
)
_GUESSES = (
    "My neighbour and I will choose the same text in ____ of 100 pairs.",
    "What I look for first in a text:",
    "What an agent will write that is paid for pleasing us, and for nothing else:",
    "How it could please us without writing well:",
)


def draw_handout(url: str = "", code: str = "", guidelines: str = "") -> str:
    """The handout as an HTML page that prints on one sheet of A4.

    Args:
        url: Address of the label server; "" leaves a line to write it on.
        code: The class code; "" leaves a line.
        guidelines: What annotators are told; their beginning, where they are long.

    Raises:
        MissingDependencyError: for an address without the package segno, which draws its QR picture.

    Example:
        >>> "http://192.168.1.5:8000/join" in draw_handout("http://192.168.1.5:8000", "ABCDEF")
        True
    """
    body = [
        "<h1>Which text is better?</h1>",
        "<p>For an hour, this class is the annotator. From our answers every group gets a reward model, and an agent "
        "that is trained to please it.</p>",
        *_where(url.rstrip("/"), code),
        *_group(),
        *_guidelines(guidelines),
        "<h2>How to answer</h2>",
        "<table>" + "".join(_row(*keys) for keys in _KEYS) + "</table>",
        "<ul>" + "".join(f"<li>{escape(rule)}</li>" for rule in _RULES) + "</ul>",
        "<h2>Guess now, look later</h2>",
        "<ol>" + "".join(_guess(question) for question in _GUESSES) + "</ol>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Which text is better? A handout</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


def _where(url: str, code: str) -> Iterable[str]:
    address = f"<span class=big>{escape(url)}/join</span>" if url else '<span class="blank"></span>'
    shown = f'<span class="big code">{escape(code)}</span>' if code else '<span class="blank"></span>'
    yield f"<div class=where><div><p>Open in a browser:<br>{address}</p><p>Class code: {shown}</p></div>"
    if url:
        yield f'<img alt="QR picture of the address" src="{_picture(url, code)}">'
    yield "</div>"


def _picture(url: str, code: str) -> str:
    from textgym.feedback.joining import draw_qr

    address = f"{url}/join?code={quote(code)}" if code else f"{url}/join"
    return "data:image/svg+xml;base64," + base64.b64encode(draw_qr(address)).decode()


def _group() -> Iterable[str]:
    yield "<h2>Your name and your group</h2>"
    yield (
        f"<p>Type the group, a colon, and your name: <b>blue{SEPARATOR} Ann</b>. "
        'My group: <span class="blank" style="min-width: 40mm"></span></p>'
        '<p>Our rule, if the groups have one each: <span class="line"></span></p>'
    )


def _guidelines(text: str) -> Iterable[str]:
    if text.strip():
        cut = text.strip()[:MOST_GUIDELINES] + ("\u2026" if len(text.strip()) > MOST_GUIDELINES else "")
        yield "<h2>What better means</h2>"
        yield f"<p>{escape(''.join(piece.text for piece in pieces(' '.join(cut.split()))))}</p>"


def _row(first: Iterable[str], says: str, second: Iterable[str], says_too: str) -> str:
    cells = [_keys(first), escape(says), _keys(second), escape(says_too)]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _keys(names: Iterable[str]) -> str:
    return " or ".join(f"<kbd>{escape(name)}</kbd>" for name in names)


def _guess(question: str) -> str:
    line = '<span class="line"></span>' if question.endswith(":") else ""
    return f"<li>{escape(question)}{line}</li>"
