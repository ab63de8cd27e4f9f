"""Every fenced block of every page is run, parsed, or says why not; here the commands, in test_readme.py the Python."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from page_shell import (
    NOT_RUN,
    SHORTER,
    SLOW,
    STATUS,
    check,
    expected_status,
    is_slow,
    lines,
    reason_not_to_run,
    shorten,
    supply,
)
from pages import EVERY_PAGE, NOTEBOOKS, PAGES, ROOT, Block, blocks, name_of
from scripts import load_script

from textgym.cli import app

PARSERS: dict[str, Callable[[str], Any]] = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
"""Languages of data."""

TRANSLATED = {ROOT / page for page in load_script("docs/translations.py").TRANSLATIONS}
"""Pages with the same blocks as the page that they translate, by test_translations.py."""

QUOTING = {ROOT / "docs" / "course" / "bug_zoo.md"}
"""Pages that a script writes, with code of programs that it has run."""

RUN = [page for page in PAGES if page not in TRANSLATED]
BLOCKS = [(page, block) for page in EVERY_PAGE for block in blocks(page)]


def commands(page: Path) -> list[Block]:
    """The blocks of commands that are run."""
    return [block for block in blocks(page) if block.language == "bash" and not block.is_not_run]


def problem(page: Path, block: Block, before: Block | None) -> str:
    """What is wrong with a block that is neither run nor parsed nor excused; empty when nothing is."""
    if block.is_not_run:
        return "" if re.fullmatch(r"not run: \w.*\w", block.tag) else "say why this block is not run"
    match block.language:
        case "python":
            return "a notebook has code cells" if page in NOTEBOOKS else ""
        case "bash":
            runs = any(not reason_not_to_run(line) for line in lines(block.body))
            return "" if runs and page not in NOTEBOOKS else "no line of it is run; say why: <!-- not run: ... -->"
        case "text":
            prints = block.tag == "prints" and before is not None and before.language in {"python", "bash"}
            return "" if prints else "of which block is this the output? <!-- prints --> or <!-- not run: ... -->"
        case language if language in PARSERS:
            PARSERS[language](block.body)
            return ""
        case language if language.startswith("{code-block}"):
            return "" if page in QUOTING else "of which code that is run is this a copy?"
        case language if language.startswith("{code-cell}"):
            return "" if page in NOTEBOOKS else "a cell is run in notebooks only"
        case language:
            return "" if language.startswith("{") else f"nobody knows how to run {language!r}; <!-- not run: ... -->"


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    found = blocks(page)
    before = [None, *found]
    problems = {block.line: problem(page, block, last) for block, last in zip(found, before, strict=False)}
    assert {line: said for line, said in problems.items() if said} == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```bash\npip install x\n```\n", "say why"),
        ("```bash\nls\n```\n", ""),
        ("<!-- not run: -->\n```bash\nls\n```\n", "say why"),
        ("<!-- not run: it is long -->\n```bash\nls\n```\n", ""),
        ("```text\na\n```\n", "of which block"),
        ("<!-- prints -->\n```text\na\n```\n", "of which block"),
        ("```\na\n```\n", "nobody knows"),
        ("   ```ruby\n   a\n   ```\n", "nobody knows"),
        ("~~~sh\na\n~~~\n", "nobody knows"),
        ("```{code-block} python\na\n```\n", "of which code"),
        ("```{code-cell} ipython3\na\n```\n", "notebooks only"),
        ("````{raw} html\n```ruby\n````\n", ""),
    ],
)
def test_a_block_without_a_run_is_found(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(f"Text.\n\n{text}", encoding="utf-8")
    (block,) = blocks(tmp_path / "page.md")
    assert said in problem(tmp_path / "page.md", block, None)
    assert bool(said) == bool(problem(tmp_path / "page.md", block, None))


def test_data_is_parsed() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        problem(ROOT, Block("json", "{"), None)
    with pytest.raises(ValueError, match="Invalid"):
        problem(ROOT, Block("toml", "a = = 1"), None)


def test_the_tests_that_reasons_name_are_there() -> None:
    reasons = [*NOT_RUN.values(), *(block.tag for _, block in BLOCKS if block.is_not_run)]
    named = {name for reason in reasons for name in re.findall(r"test_\w+\.py", reason)}
    assert len(named) > 10
    assert not [name for name in named if not (ROOT / "tests" / name).is_file()]


def test_no_rule_has_lost_its_line() -> None:
    every = [line for page in RUN for block in commands(page) for line in lines(block.body)]
    for pattern in [*NOT_RUN, *STATUS]:
        assert [line for line in every if re.search(pattern, line)], pattern
    for number, pattern in enumerate(SHORTER):
        others = {key: less for key, less in SHORTER.items() if key != pattern}
        assert [line for line in every if shorten(line) != shorten_by(others, line)], (number, pattern)


def shorten_by(rules: dict[str, str], line: str) -> str:
    """As ``shorten``, by other rules."""
    for pattern, less in rules.items():
        line = re.sub(pattern, less, line)
    return line


needs_bash = pytest.mark.skipif(os.name == "nt" or shutil.which("bash") is None, reason="the pages are for bash")


# ---- running them --------------------------------------------------------------------------------------------------


def run(page: Path, folder: Path, *, slow: bool) -> Iterator[str]:
    """Runs the slow blocks of a page, or the others, and yields what was printed otherwise than the page says."""
    printed: str | None = None
    for block in blocks(page):
        if block.language == "bash":
            printed = None
            if not block.is_not_run and is_slow(block) is slow and is_installed(block.needs):
                printed = "".join(check(line, folder) for line in lines(block.body))
        elif block.tag == "prints" and printed is not None:
            if block.body != printed:
                yield printed
        elif block.language == "python":
            printed = None


def pages_with(*, slow: bool) -> list[Path]:
    """The pages with commands of that kind."""
    return [page for page in RUN if any(is_slow(block) is slow for block in commands(page))]


def is_installed(package: str) -> bool:
    """Whether the package is there; true where none is needed."""
    return not package or find_spec(package) is not None


@needs_bash
@pytest.mark.parametrize("page", pages_with(slow=False), ids=name_of)
def test_commands_run(page: Path, tmp_path: Path) -> None:
    assert [*run(page, tmp_path, slow=False)] == []


@needs_bash
@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with(slow=True), ids=name_of)
def test_slow_commands_run(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("transformers")
    assert [*run(page, tmp_path, slow=True)] == []


@needs_bash
def test_the_output_is_compared(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\necho one\n```\n\n<!-- prints -->\n```text\ntwo\n```\n", encoding="utf-8")
    assert [*run(page, tmp_path, slow=False)] == ["one\n"]
    page.write_text("```bash\nfalse\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="false"):
        [*run(page, tmp_path, slow=False)]


def test_a_line_gets_what_it_takes_for_granted(tmp_path: Path) -> None:
    supply("textgym audit TextGen-v0 --set prompts=mine.csv --set reward=my_rewards:kind", tmp_path)
    supply("textgym bench run --agent mylab.agent:Agent", tmp_path)
    assert {path.name for path in tmp_path.rglob("*.*")} == {"mine.csv", "my_rewards.py", "agent.py"}
    assert expected_status("textgym zoo check hamster --submission mine.py") == 1
    assert SLOW.search("textgym train ppo") is not None


# ---- names ---------------------------------------------------------------------------------------------------------


def spoken() -> Iterator[tuple[str, list[str]]]:
    """Every ``textgym ...`` line of the pages, run or not: the page's name, and the words after ``textgym``."""
    for page, block in BLOCKS:
        for line in lines(block.body) if block.language == "bash" else ():
            words = shlex.split(line.replace("\\", "/"), comments=True)
            names = [word.split("/")[-1] for word in words]
            if "textgym" in names:
                yield name_of(page), words[names.index("textgym") + 1 :]


@cache
def the_command() -> Any:
    """``textgym`` itself; making it takes a while."""
    return typer.main.get_command(app)


@pytest.mark.parametrize(("page", "words"), [*spoken()], ids=lambda value: value if isinstance(value, str) else None)
def test_commands_in_the_pages_exist(page: str, words: list[str]) -> None:
    command = the_command()
    rest = list(words)
    while hasattr(command, "commands") and not (rest and rest[0].startswith("--")):
        name = rest.pop(0) if rest else ""
        assert name in command.commands, f"{page}: textgym {' '.join(words)}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.split("=")[0] for word in rest if word.startswith("-")} <= known


def test_make_targets_in_the_pages_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {name for page in PAGES for name in re.findall(r"(?:^|`)make (\w+)", page.read_text("utf-8"), re.MULTILINE)}
    assert named
    assert not [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)]
