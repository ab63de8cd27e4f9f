"""What the tests of Reviews share: scores of one text, and the script that builds the shipped files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from textgym.episodes import EpisodeBatch
from textgym.task import Task
from textgym.tasks import get


def gold_of(level: str, prompt: str, text: str) -> float:
    return float(score(get("Reviews", level), "gold", prompt, text))


def score(task: Task, kind: str, prompt: str, text: str) -> float:
    ids = task.encode_completion(text)
    row = task.prompts.index_of(prompt)
    batch = EpisodeBatch.from_ids(task.prompts, task.tokenizer, [row], [ids], max_new_tokens=task.budget)
    return float(getattr(task, kind)(batch)[0])


def load_builder(root: Path) -> ModuleType:
    """The script that builds the shipped files, as a module."""
    spec = importlib.util.spec_from_file_location("build_reviews", root / "textgym" / "assets" / "build_reviews.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
