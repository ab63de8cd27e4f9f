"""Takes the screenshots of docs/labelling.md: ``python tests/make_label_pictures.py``.

It needs Chromium, whose letters are those of the machine, so no test compares the files.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

from chromium import open_browser
from labelling import open_class

from textgym.annotators import BoltzmannAnnotator
from textgym.comparisons import Choice
from textgym.factory import EnvFactory
from textgym.feedback.gathering import SyntheticGatherer
from textgym.feedback.joining import Joining
from textgym.feedback.pairs import sample_pairs

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
GUIDELINES = (
    "Which text does what the prompt asks for, in better English? If you cannot tell, say so: a tie is an answer."
)
NAMES = ("Ada", "Ben", "Chen", "Dana")


def main() -> None:
    """Takes all pictures."""
    envs = EnvFactory("TextGen-v0")
    task, pairs = envs.task(), sample_pairs(envs, "mixed", 240, seed=3)
    assert task.gold is not None
    judge = BoltzmannAnnotator(task.gold, temperature=0.2)
    better = {one.pair: one.chosen for one in SyntheticGatherer(task, judge).gather(pairs)}
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        settings = {"overlap": 2, "repeat_share": 0.1, "guidelines": GUIDELINES}
        path = Path(folder) / "labels.sqlite"
        with open_class(path, pairs, NAMES, tokenizer=task.tokenizer, public=True, **settings) as room:
            Joining(room.store).begin()
            for turn, (number, person) in itertools.product(range(90), enumerate(room.people)):
                shown = room.store.next_task(person.id)
                assert shown is not None
                errs = (turn * 7 + number * 3) % 20 < 1 + number
                choice: Choice = "left" if (shown.left == better[shown.pair]) != errs else "right"
                room.store.judge(person.id, shown.id, choice, seconds=2.0 + (turn * 5 + number) % 7 / 2)
            for name, width, height in (("label_wide", 1100, 560), ("label_narrow", 360, 760)):
                page = browser.page(room.url, width=width, height=height)
                page.go(f"{room.url}/a/{room.people[-1].token}")
                page.wait_for("!document.getElementById('tokens-button').hidden")
                page.screenshot(FOLDER / f"{name}.png")
            page = browser.page(room.url, width=1100, height=900)
            page.go(f"{room.url}/a/{room.teacher.token}")
            page.wait_for("document.querySelector('#curve polyline')")
            page.screenshot(FOLDER / "label_live.png")
            page = browser.page(room.url, width=360, height=480)
            page.go(f"{room.url}/join")
            page.screenshot(FOLDER / "label_join.png")


if __name__ == "__main__":
    main()
