"""Command lines of the pages, run as a reader would: in a folder of their own, with the files that the page speaks of.

What only sets how much work is done is made smaller (``SHORTER``), and what a line takes for granted is put there first
(``SUPPLIES``). A line that cannot be run here has its reason in ``NOT_RUN``; a block of nothing but such lines says so in
the page, by ``<!-- not run: REASON -->``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pages import DOCS, ROOT

COMMAND = re.compile(r"(?:\S+[\\/])?textgym\b")
SECONDS = 90.0

SHORTER = {
    r"--steps \d+": "--steps 640",
    r"(train (?:ppo|grpo|rloo|pipeline|cql)(?!.* --steps)[^#]*?)( *#.*)?$": r"\1 --steps 640",
    r"--trials \d+": "--trials 2",
    r"--seeds \d+": "--seeds 2",
    r"--pairs 2000": "--pairs 200",
    r"--rounds 3": "--rounds 1",
    r"--episodes 10000": "--episodes 20",
    r"--budget 0\.05": "--budget 0.001",
    r"--suite core": "--suite core --budget 0.001",
    r"bench run --suite demo": "bench run --suite demo --budget 0.001",
}
"""What is asked for -> less of the same."""

REWARDS = '''
def kind(completion):
    return completion.count("great") - 0.1 * len(completion.split())

def helpful(prompt, completion):
    return float("red" in completion)

short_and_kind = kind
'''
PROMPTS = "prompt,reference,split\nname a colour,red,train\nname a fruit,apple,train\nname a red fruit,apple,test\n"
AGENT = (DOCS / "examples" / "own_agent.py").read_text(encoding="utf-8")
SUPPLIES = {
    "mine.csv": PROMPTS,
    "reviews.csv": PROMPTS,
    "my_rewards": ("my_rewards.py", REWARDS),
    "my_module": ("my_module.py", AGENT.replace("class Agent", "class MyAgent")),
    "mylab.agent": ("mylab/agent.py", AGENT),
    "rules.txt": "Which text is the better English?\n",
}
"""What a line names -> the text of the file of that name, or the file's name and its text."""

NOT_RUN = {}


def lines(body: str) -> Iterator[str]:
    """The commands of a block: each is one line, a script (``#!``) is one command."""
    if body.startswith("#!"):
        yield body
        return
    for line in body.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def shorten(line: str) -> str:
    """The same command with less work to do."""
    for pattern, less in SHORTER.items():
        line = re.sub(pattern, less, line)
    return line


def supply(line: str, folder: Path) -> None:
    """Puts there what the line takes for granted."""
    for name, given in SUPPLIES.items():
        file, text = given if isinstance(given, tuple) else (name, given)
        if name in line and not (folder / file).exists():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
    for word in line.split():
        source = ROOT / word
        if "/" in word and source.exists() and not (folder / word).exists() and not word.startswith("/"):
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / word)


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs one command of a page in this folder, as bash does."""
    supply(line, folder)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "COLUMNS": "120",
    }
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{shorten(line)}"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
