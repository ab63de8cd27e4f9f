"""Tables in pages of the documentation, renewed by the command that measures them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from textgym.atomic import write_whole
from textgym.errors import ConfigurationError


def marks_of(name: str) -> tuple[str, str]:
    """The lines between which a table of this name stands."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def renew_page(page: Path, name: str, lines: Iterable[str]) -> None:
    """Puts these lines between the marks of a name.

    Raises:
        ConfigurationError: if the page has no such marks; it is read before the lines are made.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    opening, closing = marks_of(name)
    before, begin, rest = text.partition(opening)
    _, end, after = rest.partition(closing)
    if not end:
        raise ConfigurationError(f"the page {str(page)!r}: expected a file with the lines {opening} and {closing}")
    table = "\n".join(lines)
    write_whole(page, f"{before}{begin}\n\n{table}\n\n{end}{after}")
