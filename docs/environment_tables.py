"""Tables about the suite in Markdown, the families of its tasks, and which tasks lack a package here."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from environment_examples import number, slug

from textgym import registration, tasks
from textgym.cli.facts import describe
from textgym.errors import TextGymError
from textgym.factory import EnvFactory

MARKS = {"random": "≈ ", "blind": "≥ ", "best": "≥ "}
OUTSIDE = ("ReasoningGym",)
FAMILIES = ("Language tasks", "Puzzles", "Diagnostics", "From outside")


def family(name: str) -> str:
    """The family of a task."""
    tags = tasks.TASKS[name].tags
    if name in OUTSIDE:
        return "From outside"
    return "Puzzles" if "puzzle" in tags else "Diagnostics" if "diagnostic" in tags else "Language tasks"


def families() -> dict[str, list[str]]:
    """The tasks of each family that has any, in the order of the list."""
    members = {title: [name for name in tasks.names() if family(name) == title] for title in FAMILIES}
    return {title: names for title, names in members.items() if names}


@cache
def missing(name: str) -> str | None:
    """Why a task cannot be made here: a package that is not installed. None where it can."""
    try:
        assert tasks.get(name).prompts
    except (ImportError, TextGymError) as error:
        if isinstance(error, ImportError) or "pip install" in str(error):
            return str(error)
        raise
    return None


@cache
def level_facts(name: str, level: str) -> dict[str, Any]:
    """What there is to say about a task at a level; solves nothing that is not known."""
    return describe(EnvFactory(env_ids(name)[0], {"level": level}), max_seconds=0.0)


def env_ids(name: str) -> list[str]:
    """The ids of a task, its own first."""
    return sorted((i for i in registration.env_ids() if registration.task_name(i) == name), key=len, reverse=True)


def fill(page: str) -> str:
    """Writes the tables of a page anew: what stands between ``<!-- levels: FAMILY -->`` and ``<!-- end -->``."""

    def renew(match: re.Match[str]) -> str:
        fold = f"<details>\n<summary>{match[2]}, level by level</summary>"
        return f"{match[1]}\n{fold}\n\n{difficulty_table(match[2])}\n\n</details>\n<!-- end -->"

    return re.sub(r"(<!-- levels: ([^\n]+) -->)\n.*?<!-- end -->", renew, page, flags=re.DOTALL)


def difficulty_table(title: str) -> str:
    """How the tasks of a family grow with the level."""
    rows = [row for name in families()[title] for row in difficulty_rows(name)]
    return table(["Task", "Level", "V:", "P:", "T:", "Prompts:", "Random:", "Blind:", "Best:"], rows)


def difficulty_rows(name: str) -> list[list[str]]:
    """A row for each level of a task: its size, and the returns that the agents are ranked by."""
    rows, link = [], f"[{name}](environments/{slug(name)}.md)"
    for level in tasks.get(name).levels:
        facts = level_facts(name, level)
        known = {row["kind"]: row for row in facts["returns"] if row["split"] == facts["split"]}
        returns = known.get("reward" if facts["gold"] is None else "gold")
        earned = [mark(returns, which) for which in MARKS] if returns else ["", "", "not known"]
        sizes = actions(facts), facts["prompt_tokens"], facts["max_new_tokens"]
        prompts = f"{sum(facts['prompts'].values()):,}"
        rows.append(["" if rows else link, level, *(f"{size:,}" for size in sizes), prompts, *earned])
    return rows


def actions(facts: dict[str, Any]) -> int:
    """How many tokens may be written: all there are, where that changes with the text."""
    return int(facts["mask"]["legal_at_first"] if facts["mask"]["fixed"] else facts["vocabulary"])


def mark(row: dict[str, Any], which: str) -> str:
    """A return with the mark that it needs."""
    return "" if row[which] is None else MARKS[which] * (which in row["inexact"]) + number(row[which])


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; columns whose title ends with a colon are numbers, and stand on the right."""
    titles, rules = [title.rstrip(":") for title in head], ["---:" if title.endswith(":") else "---" for title in head]
    safe = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [titles, rules, *safe])
