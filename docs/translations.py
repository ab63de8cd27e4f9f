"""Translated pages: which English page each of them translates, and whether it still does.

Run it after a translation was renewed: python docs/translations.py --mark. With --check it changes nothing and says
which pages translate an older text, or have other code or fewer headings than the page that they translate.
"""

from __future__ import annotations

import argparse
import re
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRANSLATIONS = {
    "README.zh.md": "README.md",
    "docs/zh/quickstart.md": "docs/quickstart.md",
    "docs/zh/course/01_text_as_a_decision_process.md": "docs/course/01_text_as_a_decision_process.md",
    "docs/zh/course/02_exact_values.md": "docs/course/02_exact_values.md",
    "docs/zh/course/03_q_learning.md": "docs/course/03_q_learning.md",
}
"""Translation -> original, from the project's root."""

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"\n<!-- translates (\S+) as of ([0-9a-f]{12}) -->\n\Z")


def check(translation: Path, original: Path) -> list[str]:
    """What is wrong with a translation, in sentences."""
    text, source = translation.read_text(encoding="utf-8"), original.read_text(encoding="utf-8")
    problems = []
    mark = MARK.search(text)
    if mark is None:
        problems.append("has no mark of what it translates")
    elif mark[2] != _hash(source):
        problems.append(f"translates an older {original.name}")
    if FENCE.findall(text) != FENCE.findall(source):
        problems.append(f"has other code than {original.name}")
    if _levels(text) != _levels(source):
        problems.append(f"has other headings than {original.name}")
    return problems


def mark(translation: Path, original: Path) -> None:
    """Writes under a translation that it is up to date."""
    text = MARK.sub("\n", translation.read_text(encoding="utf-8")).rstrip()
    source = original.read_text(encoding="utf-8")
    line = f"<!-- translates {original.relative_to(ROOT).as_posix()} as of {_hash(source)} -->"
    translation.write_text(f"{text}\n\n{line}\n", encoding="utf-8")


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]


def _levels(text: str) -> list[int]:
    """The levels of all headings."""
    return [len(marks) for marks in re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE)]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--check", action="store_true", help="say what is out of date, and exit with 1 if anything is")
    how.add_argument("--mark", action="store_true", help="say under each translation that it is up to date")
    chosen = parser.parse_args()
    found = False
    for translation, original in TRANSLATIONS.items():
        if chosen.mark:
            mark(ROOT / translation, ROOT / original)
        for problem in check(ROOT / translation, ROOT / original):
            sys.stderr.write(f"{translation} {problem}\n")
            found = True
    sys.exit(int(found))


if __name__ == "__main__":
    main()
