"""Pictures for the browser: HTML without scripts and style sheets, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from textgym.colours import css, diverging, text_colour
from textgym.errors import ConfigurationError
from textgym.rendering.overlay import Overlay
from textgym.rendering.spelling import ending, visible

# Colours are either inherited from the page, half transparent, or given for text and background together: that is
# what makes a fragment readable on a light and a dark page alike.
_TOKEN = "display:inline-flex;flex-direction:column;padding:0 .35em;border-radius:.25em;min-width:.6em;"
_PLAIN = "background:rgba(128,128,128,.22);"
_ILLEGAL = "outline:2px solid #d03b3b;"
_NUMBER = "font-size:.75em;line-height:1.3;font-variant-numeric:tabular-nums;"
_ROW = "display:flex;flex-wrap:wrap;gap:.3em .25em;align-items:flex-start;margin:.4em 0;"
_LEGEND = "display:inline-block;width:8em;height:.8em;border-radius:.2em;vertical-align:baseline;margin:0 .4em;"


def html(
    prompt: str,
    tokens: Sequence[str],
    *,
    ids: Sequence[int] | None = None,
    stop_reason: str | None = None,
    reward: float | None = None,
    overlay: Overlay | None = None,
    page: bool = False,
) -> str:
    """A text as HTML: one element that can stand anywhere on a page, or a page of its own.

    It needs no script, no style sheet and no network. Each token is a span whose title has the number in full, for
    reading with the mouse.

    Args:
        prompt: The prompt as the user wrote it.
        tokens: The spelling of each token written so far.
        ids: Their token ids, for the titles.
        stop_reason: Why the text ended, if it has.
        reward: The episode's return so far; shown once the text has ended.
        overlay: One number a token: its colour, and written under it.
        page: Whether to write a whole page around the element.

    Raises:
        ConfigurationError: if the overlay or the ids have not one value for each token.

    Example:
        >>> "a &lt; b" in html("a < b", ["so"])
        True
    """
    if ids is not None and len(ids) != len(tokens):
        raise ConfigurationError(f"{len(ids)} ids for {len(tokens)} tokens; expected one a token")
    if overlay is not None:
        overlay.check(tokens)
    last = len(tokens) - 1
    spans = [
        _span(token, position, ids, overlay, illegal=stop_reason == "illegal" and position == last)
        for position, token in enumerate(tokens)
    ]
    parts = [f'<div style="opacity:.75">{escape(visible(prompt))}</div>', f'<div style="{_ROW}">{"".join(spans)}</div>']
    if stop_reason is not None:
        parts.append(f"<div><b>{escape(ending(stop_reason, reward))}</b></div>")
    if overlay is not None:
        parts.append(_legend(overlay))
    style = "font:16px/1.45 system-ui,sans-serif;overflow-wrap:anywhere"
    fragment = f'<div class="textgym" style="{style}">{"".join(parts)}</div>'
    return _page(fragment, prompt) if page else fragment


def _span(token: str, position: int, ids: Sequence[int] | None, overlay: Overlay | None, *, illegal: bool) -> str:
    title, number, style = [], "", _TOKEN
    if ids is not None:
        title.append(f"token {ids[position]}")
    colour = None if overlay is None else overlay.colour(position)
    if overlay is None or colour is None:
        style += _PLAIN
    else:
        style += f"background:{css(colour)};color:{css(text_colour(colour))};"
        title.append(f"{visible(overlay.name)} {overlay.value(position):+.6g}")
        number = f'<span style="{_NUMBER}">{overlay.number(position)}</span>'
    if illegal:
        title.append("illegal")
        style += _ILLEGAL
    struck = "text-decoration:line-through;" if illegal else ""
    word = f'<span style="white-space:pre-wrap;{struck}">{escape(visible(token))}</span>'
    attributes = f'title="{escape(", ".join(title))}" ' if title else ""
    return f'<span {attributes}style="{style}">{word}{number}</span>'


def _legend(overlay: Overlay) -> str:
    """The scale, with its two ends in numbers."""
    colours = ",".join(css(diverging(step / 4)) for step in range(-4, 5))
    low, high = (overlay.write(sign * overlay.limit) for sign in (-1, 1))
    bar = f'<span style="{_LEGEND}background:linear-gradient(to right,{colours})"></span>'
    return f'<div style="font-size:.85em">{escape(visible(overlay.name))}: {low}{bar}{high}</div>'


def _page(fragment: str, prompt: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(visible(prompt)) or 'textgym'}</title>\n</head>\n<body>\n{fragment}\n</body>\n</html>\n"
    )
