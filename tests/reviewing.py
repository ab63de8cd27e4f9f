"""What the tests of Reviews share: scores of one text."""

from __future__ import annotations

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
