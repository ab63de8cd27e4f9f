"""Command lines of the pages, run as a reader would: in a folder of their own, with the files that the page speaks of.

What only says how much work is to be done is made smaller (``SHORTER``), and what a line takes for granted is made
first (``FILES``, ``MAKERS``). A line that cannot be run in a test has its reason in ``NOT_RUN``; a block without a line
that can says so in its page: ``<!-- not run: REASON -->``.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pages import DOCS, ROOT, Block
from stores import vote

SECONDS = 300.0

SHORTER = {
    r"(textgym check TextGen-v0)(?! --fast)": r"\1 --fast",
    r"--steps \d+": "--steps 2560",
    r"(textgym train (?:ppo|grpo|rloo)\b(?!.* --steps)[^#]*)(#.*)?$": r"\1 --steps 2560",
    r"--trials \d+": "--trials 2",
    r"--seeds \d+": "--seeds 1",
    r"label queries (.*)--seeds 1 --pairs \d+": r"label queries \1--seeds 2 --pairs 40",
    r"--pairs 2000 --rounds 3": "--pairs 200 --rounds 1 --steps 2560",
    r"--episodes \d+": "--episodes 20",
    r" --budget 0\.05": "",
    r"bench run --suite core --config": "bench run --suite demo --config",
    r"(bench run --suite core(?!.* --agent))": r"\1 --agent uniform --agent q_learning",
    r"bench run --suite core": "bench run --suite core --seeds 1 --budget 0.001",
    r"bench run --suite demo": "bench run --suite demo --seeds 1 --budget 0.01",
    r"overopt TextGen-v0 --out": "overopt TextGen-v0 --models unigram --seeds 1 --out",
    r"overopt TextGen-v0( *#.*)?$": "overopt TextGen-v0 --models unigram --seeds 1",
}
"""What is asked for -> less of the same; one after the other."""

PROMPTS = "prompt,reference,split\nname a colour,red,train\nname a fruit,apple,train\nname a red fruit,apple,test\n"
AGENT = (
    (DOCS / "examples" / "own_agent.py")
    .read_text(encoding="utf-8")
    .replace("best=None):", "best=None, share=0.5):")  # an option that textgym bench tune may try
    .replace("class Agent:\n", "class Agent:\n    search_space = {'share': (0.1, 0.9)}\n\n")
)
REWARDS = """\
def kind(completion):
    return completion.count("great") - 0.1 * len(completion.split())

def helpful(prompt, completion):
    return float("red" in completion)

short_and_kind = praise = kind
"""
FILES = {
    "mine.csv": PROMPTS,
    "reviews.csv": PROMPTS,
    "rules.txt": "Which text is the better English?\n",
    "my_rewards.py": REWARDS,
    "my_module.py": f"{REWARDS}\n{AGENT.replace('class Agent', 'class MyAgent')}",
    "mylab/agent.py": AGENT,
}
"""Files that readers are taken to have, by their names in a line, or the names of their modules."""

MAKERS = {
    r"grade (week\d) .*--submission (agent\.py)": (2, r"textgym grade \1 --template agent.py"),
    r"(?:--agent|--points|generate) (runs/\w+)": (1, r"textgym train q_learning --steps 640 --save \1"),
    r"(?:--set reward=|rm report )((?:models/)?reward(?:-model)?)\b": (1, r"textgym rm train --simulate 200 --out \1"),
    r"runs/my_model": (0, "textgym rm train --simulate 200 --out runs/my_model"),
    r"(?:fresh|votes)\.jsonl": (0, r"textgym label export votes.sqlite --out \g<0>"),
    r"task=(rhyme):TASK": (1, "textgym new-task Rhyme"),
    r"(?<!--out )(?:runs/(?:core|demo|before|after)|(?<=core )runs/mine)\b": (
        0, r"textgym bench run --suite demo --out \g<0>",
    ),
}  # fmt: skip
"""A line that takes something for granted -> which group of it names that, and the command that makes it."""

NOT_RUN = {
    r"^pip install": "changes the packages that are installed",
    r"textgym label serve": "serves until Ctrl-C; test_label_server.py starts it",
    r"--model gpt2": "needs GPT-2; test_rlhf_example.py runs it with a small model",
    r"--address HOST": "needs a cluster; test_ray.py starts one",
}
"""Lines in blocks of which others are run -> why these are not."""

SLOW = re.compile(
    r"textgym (train (?!q_learning|my_module)|bench|doctor|overopt|rlhf|label queries)"
    r"|rm train .*--model mlp|audit .*my_rewards:kind"
)
"""Lines that import torch, start many processes, or enumerate a lot."""

STATUS = {r"textgym zoo check hamster": 1}  # nothing was mended in that file
"""Lines that are to end with another exit status than 0."""


def lines(body: str) -> Iterator[str]:
    """The commands of a block, one a line."""
    for line in body.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def is_slow(block: Block) -> bool:
    """Whether the block is left to ``make proof``."""
    return any(SLOW.search(line) for line in lines(block.body))


def reason_not_to_run(line: str) -> str:
    """Why the line is not run; empty when it is."""
    return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, line)), "")


def expected_status(line: str) -> int:
    """The exit status that the line is to end with."""
    return next((status for pattern, status in STATUS.items() if re.search(pattern, line)), 0)


def shorten(line: str) -> str:
    """The same command with less work to do."""
    for pattern, less in SHORTER.items():
        line = re.sub(pattern, less, line)
    return line


def supply(line: str, folder: Path, *, makers: bool = True) -> None:
    """Puts into the folder what the line takes for granted; the lines of ``MAKERS`` take nothing for granted."""
    for name, text in FILES.items():
        if name in line or name.removesuffix(".py").replace("/", ".") in line:
            write(folder / name, text)
    for word in line.split():
        if re.fullmatch(r"(docs|agents)/[\w./-]+", word):
            copy(ROOT / word, folder / word)
    judged = re.search(r"(?:rm train|label status|label export|lab report|label merge \S+) ((?:\S+\.sqlite ?)+)", line)
    for name in judged[1].split() if judged else []:
        judge(folder / name)
    for pattern, (group, maker) in MAKERS.items() if makers else ():
        for found in re.finditer(pattern, line):
            if not (folder / found[group]).exists() and not (folder / f"{found[group]}.py").exists():
                check(found.expand(maker), folder, makers=False)


def write(file: Path, text: str) -> None:
    """Writes a file that is not there."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def copy(source: Path, target: Path) -> None:
    """Copies a file of the repository that is there."""
    if source.is_file() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def judge(file: Path) -> None:
    """Has two people judge a label database, which is made when it is not there."""
    from textgym.feedback.store import Store

    if not file.exists():
        check(f"textgym label create {file.name} --pairs 40", file.parent, makers=False)
    with Store(file) as store:
        if not list(store.comparisons()):
            for name, choice in (("blue: Ann", "left"), ("red: Bo", "right")):
                vote(store, store.add_annotator(name).id, choice)


def check(line: str, folder: Path, *, makers: bool = True) -> str:
    """Runs one command in the folder as bash does, and returns what it prints; it has to end as it should."""
    if reason_not_to_run(line):
        return ""
    supply(line, folder, makers=makers)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "COLUMNS": "120",
    }
    command = ["bash", "-c", f"set -euo pipefail\n{shorten(line)}"]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True,
    ) as process:  # fmt: skip
        try:
            printed, said = process.communicate(timeout=SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == expected_status(line), f"{shorten(line)}\n{printed[-2000:]}\n{said[-2000:]}"
    return printed
