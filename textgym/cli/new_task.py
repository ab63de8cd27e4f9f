"""``textgym new-task``: a commented task file of one's own, with its test."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from textgym.errors import ConfigurationError

TASK = '''"""NAME: write the words of the prompt that name a colour, the last one first.

This file is a small task that works. Change it step by step, and run the test beside it after every step:

    python -m pytest test_MODULE.py
    textgym check TextGen-v0 --set task=MODULE:TASK
    textgym play TextGen-v0 --set task=MODULE:TASK
    textgym audit TextGen-v0 --set task=MODULE:TASK

The commands look for it in the folder where they are started, and so does
gym.make("TextGen-v0", task="MODULE:TASK", level="medium").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.constraints import Lexicon
from textgym.episodes import EpisodeBatch, Prompt
from textgym.task import Task
from textgym.tokenizers import WordTokenizer

COLOURS = ("red", "green", "blue", "white")
THINGS = ("house", "tree", "river", "road", "bird")


@dataclass(frozen=True)
class Level:
    """Settings of one level; every function below gets one of these."""

    name: str
    words: int  # in a prompt
    prompts: int  # of them a quarter is held out for testing


LEVELS = {level.name: level for level in (Level("easy", 2, 40), Level("medium", 4, 200), Level("hard", 8, 1000))}


def make_prompts(level: Level) -> list[Prompt]:
    """Different prompts, each with its right answer as reference and its split."""
    rng = np.random.default_rng(0)  # the same prompts every time
    found: dict[str, str] = {}
    while len(found) < level.prompts:
        words = rng.choice([*COLOURS, *THINGS], size=level.words).tolist()
        found[" ".join(words)] = " ".join(word for word in reversed(words) if word in COLOURS)
    held_out = level.prompts // 4
    return [
        Prompt(text, references=(answer,), split="test" if number < held_out else "train")
        for number, (text, answer) in enumerate(found.items())
    ]


def make_tokenizer(level: Level) -> WordTokenizer:
    """The vocabulary: what may be written, and what stands in prompts alone. Each word is an action."""
    return WordTokenizer([*COLOURS, *THINGS])


def make_constraints(level: Level) -> tuple[Lexicon, ...]:
    """Only colours may be written; everything else is masked."""
    return (Lexicon(COLOURS),)


@dataclass(frozen=True)
class Reward:
    """What the agent is paid: a batch of texts in, a number for each out.

    It must give a text the same number alone and in a batch, and stay within ``range``.
    """

    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """1 for the right answer, else half the share of its words that are right from the beginning on."""
        pairs = zip(batch.completions, batch.references, strict=True)
        return np.array([_score(text.split(), references[0].split()) for text, references in pairs])


def _score(written: list[str], right: list[str]) -> float:
    if written == right:
        return 1.0
    same = 0
    while same < min(len(written), len(right)) and written[same] == right[same]:
        same += 1
    return 0.5 * same / max(len(right), 1)


def make_reward(level: Level) -> Reward:
    """The reward of a level."""
    return Reward()


def make_oracle(level: Level) -> Callable[[Prompt], str]:
    """Prompt -> the best text."""
    return first_reference


def first_reference(prompt: Prompt) -> str:
    """The right answer."""
    return prompt.references[0]


def count_tokens(level: Level) -> int:
    """The token budget of a text, its end included."""
    return level.words + 1


TASK = Task(
    name="NAME",
    summary="Write the colours of the prompt, the last one first.",
    levels=LEVELS,
    level="easy",
    tags=("reading",),
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_constraints=make_constraints,
    make_reward=make_reward,
    make_oracle=make_oracle,
    max_new_tokens=count_tokens,
)
'''

TEST = '''"""The task NAME keeps every rule of textgym's contract, and its oracle knows the best text."""

from __future__ import annotations

import pytest
from MODULE import TASK

from textgym.checks import check_task
from textgym.exact import solve


@pytest.mark.parametrize("level", TASK.levels)
def test_the_contract_is_kept(level: str) -> None:
    check_task(TASK.at(level), fast=True)


def test_no_text_is_better_than_the_oracles() -> None:
    solution = solve(TASK)
    for prompt, texts in solution.optimal_texts.items():
        assert TASK.best_text(prompt) in texts
'''


def new_task(
    name: Annotated[str, typer.Argument(help="Name of the task, such as Rhyme.")],
    folder: Annotated[Path, typer.Option(help="Where the two files go.")] = Path(),
) -> None:
    """Write a commented task file with its test: a small task that works, to be changed step by step."""
    module = _module_name(name)
    files = {folder / f"{module}.py": TASK, folder / f"test_{module}.py": TEST}
    for path in files:
        if path.exists():
            raise ConfigurationError(f"the file {str(path)!r} is there already; choose another name or --folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text.replace("NAME", name).replace("MODULE", module), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"the files cannot be written: {error}") from None
    typer.echo(f"wrote {' and '.join(map(str, files))}")
    typer.echo(f"test it in that folder: python -m pytest test_{module}.py")
    typer.echo(f"be the agent yourself:  textgym play TextGen-v0 --set task={module}:TASK")


def _module_name(name: str) -> str:
    """``TwoWords`` -> ``two_words``.

    Raises:
        ConfigurationError: for what cannot be a module's name.
    """
    if not name.isascii() or not name.isidentifier() or name[0] == "_":
        raise ConfigurationError(f"the task's name {name!r}: expected letters, digits and underscores, such as Rhyme")
    module = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise ConfigurationError(f"{module}.py would hide Python's own {module!r}; choose another name")
    if find_spec(module) and module in packages_distributions():  # the first is quick and also finds the user's own
        raise ConfigurationError(f"{module}.py would hide the installed package {module!r}; choose another name")
    return module
