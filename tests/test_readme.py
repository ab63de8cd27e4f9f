"""Every Python block in the README and the docs runs, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from textgym.cli import app

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
# The notebooks of docs/course are run by Sphinx, and by test_course_notebooks.py.
PAGES = [
    *(ROOT / name for name in ("README.md", "README.zh.md", "CONTRIBUTING.md")),
    *sorted(DOCS.glob("*.md")),
    *sorted((DOCS / "integrations").glob("*.md")),
    *sorted((DOCS / "zh").glob("*.md")),
    *sorted(page for page in (DOCS / "course").glob("*.md") if not page.stem[0].isdigit()),
]
FENCE = re.compile(
    r"(?:^<!-- (?P<tag>[^\n]*?) -->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the comment on the line above it."""

    language: str
    body: str
    tag: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    matches = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["language"], match["body"], match["tag"] or "") for match in matches]


def run(code: str, namespace: dict[str, object]) -> str:
    """Runs code as a reader would paste it and returns what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "<page>", "exec", dont_inherit=True), namespace)
    return printed.getvalue()


PAGES_WITH_PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]


@pytest.mark.filterwarnings("ignore:You are using 'rollout_func':UserWarning")  # TRL, of an experimental feature
@pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing:FutureWarning")  # of TRL's own making
@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    printed = ""
    for block in blocks(page):
        if block.tag.startswith("not run"):
            assert re.fullmatch(r"not run: \w.*", block.tag), f"{page.name}: say why this block is not run"
        elif block.language == "python" and not is_missing(block.tag):
            printed = run(block.body, namespace)
        elif block.tag == "prints":
            assert printed == block.body


def is_missing(tag: str) -> bool:
    """Whether a block needs a package that is not installed here."""
    if not tag.startswith("needs: "):
        return False
    try:
        __import__(tag.removeprefix("needs: "))
    except ImportError:
        return True
    return False


def test_the_readme_opens_with_the_twelve_line_example() -> None:
    first, *_ = [block for block in blocks(ROOT / "README.md") if block.language == "python"]
    assert len([line for line in first.body.splitlines() if line.strip()]) <= 12
    assert 'gym.make("TextGen-v0")' in first.body
    printed = [block for block in blocks(ROOT / "README.md") if block.tag == "prints"]
    assert len(printed) == 1


# Run by test_NAME.py, test_rlhf_example.py, test_cleanrl.py, test_torchrl.py or test_trl.py.
RUN_ELSEWHERE = {
    "rlhf_real", "large_vocabulary", "own_agent", "offline", "cleanrl_ppo",
    "cleanrl_dqn", "torchrl_ppo", "rllib_ppo", "trl_grpo", "trl_reward_model",
}  # fmt: skip
EXAMPLES = sorted(path for path in (ROOT / "docs" / "examples").glob("*.py") if path.stem not in RUN_ELSEWHERE)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run_and_learn(path: Path) -> None:
    printed = run(path.read_text(encoding="utf-8"), {"__name__": "__main__"})
    mean_return = re.search(r"mean return (\d\.\d+)", printed)
    assert mean_return is not None
    assert float(mean_return[1]) > 0.9


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_make_targets_in_the_pages_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {
        name for page in PAGES for name in re.findall(r"^make (\w+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named
    assert not [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every ``textgym ...`` line of the pages: the page's name, and the words after ``textgym``."""
    for page in PAGES:
        for line in [line for block in blocks(page) if block.language == "bash" for line in block.body.splitlines()]:
            words = shlex.split(line.replace("\\", "/"), comments=True)
            if words and words[0].split("/")[-1] == "textgym":
                yield page.name, words[1:]


@pytest.mark.parametrize(("page", "words"), [*commands()], ids=lambda value: value if isinstance(value, str) else None)
def test_commands_in_the_pages_exist(page: str, words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands") and not (rest and rest[0].startswith("--")):
        name = rest.pop(0) if rest else ""
        assert name in command.commands, f"{page}: textgym {' '.join(words)}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("-")} <= known
