"""The page of the five programs: short, linked to the zoo, and its assertions notice what learns nothing.

That its blocks run is tested with all other pages, by test_readme.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from textgym.course.zoo.running import NAMES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "from_the_tutorials.md"
MOST_LINES = 25
MISTAKES = {"lemming", "mole", "squirrel", "sheep", "goldfish", "bat"}


def sections() -> dict[str, str]:
    """Title -> text of each section."""
    _, *parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(part.split("\n", 1) for part in parts)


SECTIONS = sections()


def code_of(title: str) -> str:
    """All code of a section."""
    return "".join(re.findall(r"^```python\n(.*?)^```", SECTIONS[title], re.MULTILINE | re.DOTALL))


def test_there_are_five_programs() -> None:
    assert len(SECTIONS) == 5
    for name in ("TextGenerationEnv", "RLHFModel", "TextEnvironment", "CSV", "gym.make"):
        assert sum(name in title or name in code_of(title) for title in SECTIONS) >= 1


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_is_short_and_asserts_that_it_learned(title: str) -> None:
    lines = [line for line in code_of(title).splitlines() if line.strip()]
    assert 10 <= len(lines) <= MOST_LINES
    assert sum(line.startswith("assert ") for line in lines) == 1
    compile(code_of(title), title, "exec")


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_begins_with_two_sentences_about_the_sketches_and_leads_to_the_zoo(title: str) -> None:
    opening = SECTIONS[title].strip().split("\n\n")[0]
    assert len(re.findall(r"[.:](?=\s|$)(?! \[)", re.sub(r"`[^`]*`|\([^)]*\)", "x", opening))) <= 4
    linked = re.findall(r"\(course/bug_zoo\.md#(\w+)\)", opening)
    assert linked
    assert set(linked) <= set(NAMES)


def test_all_mistakes_that_the_sketches_make_are_linked() -> None:
    linked = set(re.findall(r"bug_zoo\.md#(\w+)", PAGE.read_text(encoding="utf-8")))
    assert linked >= MISTAKES


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("reward + (0.0 if terminated else self.q[after].max())", "0.0 * reward"),
        ("if explore else advantage.argmax()", "if True else 0"),
    ],
)
def test_the_assertion_notices_an_agent_that_does_not_learn(part: str, instead: str) -> None:
    code = code_of(next(iter(SECTIONS)))
    assert part in code
    exec(compile(code, "<page>", "exec"), {"__name__": "page"})
    with pytest.raises(AssertionError):
        exec(compile(code.replace(part, instead), "<page>", "exec"), {"__name__": "page"})


@pytest.mark.parametrize("part", ["self.logits += 0.5 *", "(reward - reward.mean())"])
def test_so_does_that_of_the_chinese_one(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = code_of(next(title for title in SECTIONS if "TextEnvironment" in title))
    assert part in code
    exec(compile(code, "<page>", "exec"), {"__name__": "page"})
    broken = code.replace(
        part, part.replace("0.5", "0.0").replace("(reward - reward.mean())", "(reward.mean() - reward)")
    )
    with pytest.raises(AssertionError):
        exec(compile(broken, "<page>", "exec"), {"__name__": "page"})
