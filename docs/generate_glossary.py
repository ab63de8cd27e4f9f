"""Writes docs/glossary.md: every name under which textgym writes numbers down.

Run ``python docs/generate_glossary.py`` to write it; with ``--check`` it writes nothing and fails where the page
differs from what it would write.
"""

from __future__ import annotations

import sys
from pathlib import Path

from textgym.glossary import LOGS, Log

PAGE = Path(__file__).parent / "glossary.md"

HEAD = """\
# Glossary

Every name under which textgym writes a number down: what it is, in which unit, and which values are good. The page is
made from {{py:mod}}`textgym.glossary`; a test runs whatever writes these names and compares both ways, so that no name
is missing here and none stands here that is not written. Words in capitals stand for whatever is there.

Three words run through all of it. The **reward** is what the agent is paid; it may be a learned model. The **gold**
score is the true one, which agents never see. **Normalised** means on the scale of the task: 0 is what random play
earns, 1 the best text. A *nat* is the unit of the natural logarithm, 1.44 bits.

{contents}
"""


def main(arguments: list[str], page: Path = PAGE) -> int:
    """Writes the page or checks it; returns the exit status."""
    if arguments not in ([], ["--check"]):
        raise SystemExit(__doc__)
    text = write()
    if not arguments:
        page.write_text(text, encoding="utf-8", newline="\n")
        return 0
    if page.is_file() and page.read_text(encoding="utf-8") == text:
        return 0
    print(f"{page} is out of date; run python docs/generate_glossary.py and commit what it writes")
    return 1


def write() -> str:
    """The text of the page."""
    contents = "\n".join(f"- [{log.title}](#{slug(log.title)}): {log.place}" for log in LOGS)
    return "\n".join([HEAD.format(contents=contents), *map(section, LOGS)])


def section(log: Log) -> str:
    """What the page says of one place."""
    rows = [
        f"| `{entry.name}` | {cell(entry.unit)} | {cell(entry.meaning)} | {cell(entry.good)} |" for entry in log.metrics
    ]
    table = ["| name | unit | what it is | good, bad |", "|---|---|---|---|", *rows]
    return "\n".join([f"## {log.title}", "", f"{log.place}. {log.about}", "", *table, ""])


def cell(words: str) -> str:
    """Words as they stand in a table: a bar would end the cell."""
    return words.replace("|", "\\|")


def slug(title: str) -> str:
    """The anchor of a headline."""
    return "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter == "-")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
