"""The Python of all pages runs and prints what the page says; the README is as short a way as it promises."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from page_shell import lines
from pages import PAGES, ROOT, Block, blocks, name_of, split

from textgym.benchmarks.suites import SUITES

README = ROOT / "README.md"


def run(code: str, namespace: dict[str, object]) -> str:
    """Runs code as a reader would paste it and returns what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "<page>", "exec", dont_inherit=True), namespace)
    return printed.getvalue()


PAGES_WITH_PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]


@pytest.mark.filterwarnings("ignore:You are using 'rollout_func':UserWarning")  # TRL, of an experimental feature
@pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing:FutureWarning")  # of TRL's own making
@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=name_of)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    printed: str | None = None
    for block in blocks(page):
        if block.language == "python" and not block.is_not_run:
            printed = None if is_missing(block.needs) else run(block.body, namespace)
        elif block.language == "bash":
            printed = None  # what a command prints is compared in test_page_commands.py
        elif block.tag == "prints" and printed is not None:
            assert printed == block.body


def is_missing(package: str) -> bool:
    """Whether a package is named and not installed here."""
    try:
        __import__(package or "textgym")
    except ImportError:
        return True
    return False


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


# ---- the README ----------------------------------------------------------------------------------------------------


def section(title: str) -> list[Block]:
    """The blocks below a heading of the README."""
    headings = [(number, line) for number, line in split(README)[1] if line.startswith("## ")]
    (begin,) = [number for number, line in headings if line == f"## {title}"]
    end = min([number for number, _ in headings if number > begin], default=10**6)
    return [block for block in blocks(README) if begin < block.line < end]


def written(code: str) -> list[str]:
    """The lines of code that somebody has to write."""
    return [line for line in code.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_the_readme_opens_with_the_twelve_line_example() -> None:
    first, printed = section("One episode")
    assert len(written(first.body)) <= 12
    assert 'gym.make("TextGen-v0")' in first.body
    assert printed.tag == "prints"


def test_two_commands_lead_from_a_clone_to_a_trained_agent() -> None:
    first, *_ = section("Two commands")
    commands = [line.split("#")[0].strip() for line in lines(first.body)]
    assert commands == ["make demo", "make test"]  # the first one trains, the second is for those who want proof
    recipe = re.search(r"^demo: (.*)\n\t\$\(BIN\)/(.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe is not None
    assert recipe.groups() == ("$(READY)", "textgym bench run --suite demo")
    assert {"q_learning", "dqn", "ppo"} <= {entry.agent for entry in SUITES["demo"].entries}


def test_a_reward_of_ones_own_takes_fifteen_lines() -> None:
    (block,) = section("Your own reward, prompts and tokenizer")
    code = f"import gymnasium as gym\nimport textgym\n{block.body}"
    assert len(written(code)) <= 15
    namespace: dict[str, object] = {}
    episode = "env.reset(seed=0)\nids = env.unwrapped.task.encode_completion('great')\n"
    run(f"{code}{episode}rewards = [env.step(token)[1] for token in ids]", namespace)
    assert namespace["rewards"] == [0.0, pytest.approx(0.9)]  # 1 for praise, minus 0.1 for a word
