"""Links between the pages lead to a file and to a heading of it; links to other servers are for ``make linkcheck``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import DOCS, EVERY_PAGE, ROOT, anchor, anchors, name_of, split

LINK = re.compile(r"\]\(<?(?P<to>[^)\s>]+)>?(?: \"[^\"]*\")?\)")
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")


def links(page: Path) -> list[str]:
    """What the page links to in this repository, pictures too; code is left out."""
    text = "\n".join(CODE.sub("", line) for _, line in split(page)[1])
    return [to for to in LINK.findall(text) if not re.match(r"[a-z]+:", to)]


def broken(page: Path) -> list[str]:
    """The links of a page to files or headings that are not there."""
    found = []
    for link in links(page):
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (fragment and target.suffix == ".md" and fragment not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_links_to_headings_are_among_them() -> None:
    count = sum("#" in link for page in EVERY_PAGE for link in links(page))
    assert count > 30
    assert "myst_heading_anchors = 3" in (DOCS / "conf.py").read_text(encoding="utf-8")


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    other = "# One\n\n## A `b` and: c\n\n## Twice\n\n```bash\n# no heading\n```\n\n## Twice\n\n(here)=\n"
    (tmp_path / "other.md").write_text(other, encoding="utf-8")
    good = ["other.md", "other.md#a-b-and-c", "other.md#twice-1", "other.md#here", "#top", "https://x.org/#y"]
    bad = ["another.md", "other.md#no-heading", "other.md#twice-2", "#bottom", "missing.svg"]
    text = "# Top\n\n" + "".join(f"![a]({link}) `[b](c.md)`\n" for link in [*good, *bad])
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    assert broken(tmp_path / "page.md") == bad


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("What `train` does, and why", "what-train-does-and-why"),
        ("Q\\* and V\\*", "q-and-v"),
        ("[A link](page.md) in it", "a-link-in-it"),
        ("从 Q 表开始", "从-q-表开始"),
    ],
)
def test_headings_are_named_as_github_names_them(title: str, name: str) -> None:
    assert anchor(title) == name


def test_links_to_other_servers_have_a_command() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^linkcheck: .*\n\t.* -b linkcheck ", makefile, re.MULTILINE)


def test_nothing_links_to_an_unsafe_address() -> None:
    text = {page: page.read_text(encoding="utf-8") for page in EVERY_PAGE}
    unsafe = re.compile(r"\]\(http://(?!127\.0\.0\.1|localhost)")
    assert not [name_of(page) for page in EVERY_PAGE if unsafe.search(text[page])]
