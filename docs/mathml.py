"""Equations as MathML, which browsers show by themselves: no script, and nothing to fetch from a network."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)


def convert(node: nodes.Element, *, block: bool) -> str:
    """The MathML of an equation; one that cannot be read is a warning, which fails the build."""
    code = re.sub(r"\\dots(?![a-zA-Z])", r"\\ldots", node.astext().strip()).replace(r"\middle", "")
    try:
        return str(tex2mathml(code, as_block=block))
    except MathError as error:
        LOGGER.warning("this equation cannot be read: %s: %s", error, code, location=node)
        return f"<code>{escape(code)}</code>"


def visit_inline(translator: Any, node: nodes.math) -> None:
    """Writes an equation within a line."""
    translator.body.append(f'<span class="math notranslate nohighlight">{convert(node, block=False)}</span>')
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    """Writes an equation of its own; a wide one scrolls, and not the page."""
    anchor = "".join(f' id="{name}"' for name in node["ids"][:1])
    style = "overflow-x:auto;overflow-y:hidden;padding:.2em 0"
    translator.body.append(
        f'<div class="math notranslate nohighlight"{anchor} style="{style}">{convert(node, block=True)}</div>\n'
    )
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Adds the renderer; ``html_math_renderer = "mathml"`` chooses it."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
