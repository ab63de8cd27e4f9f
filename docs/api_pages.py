"""Writes the pages of docs/api from the list in docs/api.md: one for each package, not one for each module.

A page for every module would repeat the frame of the site some four hundred times, which is most of its size.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
LIST, FOLDER = DOCS / "api.md", DOCS / "api"
MOST = 25
"""Modules on one page."""

MODULE = """\
```{{eval-rst}}
.. automodule:: {name}
   :members:
   :show-inheritance:
   :ignore-module-all:
```
"""


def pages(text: str) -> dict[str, str]:
    """File name -> text of every page.

    Args:
        text: Of docs/api.md: headlines, and below each its modules, one a line.
    """
    found: dict[str, str] = {}
    for title, modules in groups(text).items():
        parts = [modules[start : start + MOST] for start in range(0, len(modules), MOST)]
        for number, part in enumerate(parts, start=1):
            head = title if len(parts) == 1 else f"{title} ({number} of {len(parts)})"
            slug = "-".join(re.findall(r"[a-z0-9]+", head.lower()))
            found[f"{slug}.md"] = "\n".join([f"# {head}", "", *map(section, part)])
    return found


def groups(text: str) -> dict[str, list[str]]:
    """Title -> modules: packages by their names, all other modules by the headline under which they stand."""
    listed = list(read(text))
    packages = Counter(".".join(name.split(".")[:2]) for _, name in listed)
    found: dict[str, list[str]] = {}
    for headline, name in listed:
        package = ".".join(name.split(".")[:2])
        found.setdefault(package if packages[package] > 1 else headline, []).append(name)
    return found


def read(text: str) -> Iterator[tuple[str, str]]:
    """Headline and name of every module."""
    headline = ""
    for line in text.splitlines():
        if line.startswith("## "):
            headline = line.removeprefix("## ")
        elif re.fullmatch(r"   textgym[\w.]*", line):
            yield headline, line.strip()


def section(name: str) -> str:
    """What a page says of one module."""
    return f"## {name}\n\n{MODULE.format(name=name)}"


def write(app: Sphinx) -> None:
    """Brings the folder up to date; what has not changed is left alone, so that it is not built again."""
    FOLDER.mkdir(exist_ok=True)
    wanted = pages(LIST.read_text(encoding="utf-8"))
    for path in FOLDER.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")


def shorten(body: str) -> str:
    """The same page in fewer bytes: signatures hold wrappers around words and spaces that nothing styles.

    Example:
        >>> shorten('<em><span class="pre">x</span><span class="w"> </span>=</em>')
        '<em>x =</em>'
    """
    return re.sub(r'<span class="pre">([^<]*)</span>', r"\1", body).replace('<span class="w"> </span>', " ")


def lighten(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    """Shortens what is about to be written."""
    if pagename.startswith("api/") and "body" in context:
        context["body"] = shorten(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers both."""
    app.connect("builder-inited", write)
    app.connect("html-page-context", lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
