"""Writes what the docs say about tasks: a page for each in docs/environments, the gallery, the tables of the suite.

Run ``python docs/generate_environments.py`` to write them; with ``--check`` it writes nothing and fails where a page
differs from what it would write. A task whose package is not installed is left out, and its pages stay as they are.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from environment_examples import code, examples, number, picture, slug, spoken
from environment_gallery import gallery_page
from environment_tables import MARKS, env_ids, fill, level_facts, mark, missing, table

from textgym import registration, tasks
from textgym.cli.listing import mask_sentence, prompts_sentence, range_sentence

DOCS = Path(__file__).parent
FOLDER = DOCS / "environments"
HISTORY: dict[tuple[str, int], str] = {}
"""(task, version) -> what changed; every version after the first needs its line."""


def pages() -> dict[str, str]:
    """Every file of the folder: its name, and its text."""
    files = {"index.md": index_page()}
    for name in tasks.names():
        files |= kept_files(name) if missing(name) else task_files(name)
    return files


def kept_files(name: str) -> dict[str, str]:
    """The files of a task that cannot be made here, as they are."""
    return {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob(f"{slug(name)}.*")}


def overviews() -> dict[str, str]:
    """The pages about all tasks at once, if all of them can be made here."""
    if absent := [f"{name} ({why})" for name in tasks.names() if (why := missing(name))]:
        print(f"the gallery and the suite's tables stay as they are; not to be made here: {', '.join(absent)}")
        return {}
    return {"gallery.md": gallery_page(), "suite.md": fill((DOCS / "suite.md").read_text(encoding="utf-8"))}


def main(arguments: list[str]) -> int:
    """Writes the pages or checks them; returns the exit status."""
    if arguments == ["--check"]:
        return max(check(pages(), FOLDER), check(overviews(), DOCS, whole=False))
    if arguments:
        raise SystemExit(__doc__)
    FOLDER.mkdir(exist_ok=True)
    for folder, files in ((FOLDER, pages()), (DOCS, overviews())):
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return 0


def check(files: dict[str, str], folder: Path, *, whole: bool = True) -> int:
    """Compares what would be written with what is there; names every file that differs.

    Args:
        files: What would be written.
        folder: Where.
        whole: Whether nothing else may be in the folder.
    """
    paths = [*folder.glob("*.*")] if whole else [folder / name for name in files if (folder / name).exists()]
    there = {path.name: path.read_text(encoding="utf-8", errors="replace") for path in paths}
    wrong = [name for name in sorted(files.keys() | there.keys()) if files.get(name) != there.get(name)]
    for name in wrong:
        what = "is missing" if name not in there else "belongs to no task" if name not in files else "is out of date"
        print(f"{folder / name} {what}; run python docs/generate_environments.py and commit what it writes")
    return 1 if wrong else 0


# ---- the pages -----------------------------------------------------------------------------------------------------

INDEX = """\
# Environments

Every environment is one task at several levels: [the suite](../suite.md) says which is good for what, and the
[gallery](../gallery.md) shows texts of each. The default level is printed in bold; `level=` chooses another.
`TextGen-v0` is another name of {default}, for use with your own prompts, tokenizers and rewards: all environments take
the arguments of {{py:func}}`textgym.configuration.configure`.

{table}

The same in a terminal, and a game in which you are the agent:

```bash
textgym list
textgym info TextGen-v0 --set level=tiny
textgym play TextGen-v0 --set level=tiny
```

```{{toctree}}
:hidden:

{tree}
```
"""

RETURNS = """\
*Random* is the mean return of random play, *blind* the best of one fixed text for all prompts, *best* that of a writer
who reads the prompt. Numbers without a mark are exact, ≈ is an estimate and ≥ a lower bound."""

ARGUMENTS = """\
`level` and `split` choose the problem; `prompts`, `tokenizer`, `reward`, `max_new_tokens`, `observation`,
`reward_timing` and all the others are explained at {{py:func}}`textgym.configuration.configure`.

```python
import gymnasium as gym
import textgym

env = gym.make("{id}", level="{level}")
envs = gym.make_vec("{id}", num_envs=8, level="{level}")
```"""


def index_page() -> str:
    """The table of all environments."""
    rows = []
    for name in tasks.names():
        task = tasks.get(name)
        levels = ", ".join(f"**{level}**" if level == task.level else level for level in task.levels)
        rows.append([f"[{env_ids(name)[0]}]({slug(name)}.md)", task.summary, levels, ", ".join(task.tags)])
    return INDEX.format(
        table=table(["Environment", "What to write", "Levels", "Skills"], rows),
        default=registration.task_name(registration.DEFAULT_ID),
        tree="\n".join(map(slug, tasks.names())),
    )


def task_files(name: str) -> dict[str, str]:
    """The page of one task, and its picture."""
    task, env_id = tasks.get(name), env_ids(name)[0]
    levels = [level_facts(name, level) for level in task.levels]
    default = next(facts for facts in levels if facts["level"] == task.level)
    shown, files = picture(name, levels)
    parts = [f"# {name}", task.summary, shown, field_table(default)]
    parts += ["## The task", docstring_block(name)]
    parts += ["## Levels", level_table(levels)]
    parts += ["## What can be earned", return_table(levels), RETURNS]
    parts += [
        "## Worked examples",
        f"For {code(default['example']['prompt'])} (level {task.level}):",
        example_table(default),
    ]
    parts += ["## Arguments", ARGUMENTS.format(id=env_id, level=task.level)]
    parts += ["## Versions", history(env_id, name)]
    return {f"{slug(name)}.md": "\n\n".join(parts) + "\n", **files}


def field_table(facts: dict[str, Any]) -> str:
    """What an environment is, for its default level."""
    gold = "the reward is the true score" if facts["gold"] is None else range_sentence(facts["gold"]["range"])
    fields = {
        "Id": ", ".join(f"`{env_id}`" for env_id in env_ids(facts["task"])),
        "Import": f'`gym.make("{facts["id"]}")`',
        "Skills": ", ".join(facts["tags"]),
        "Default level": facts["level"],
        "Action space": f"`{facts['action_space']}`",
        "Observation space": f"`{facts['observation_space']}`",
        "Mask": mask_sentence(facts),
        "Reward range": range_sentence(facts["reward"]["range"]),
        "Gold range": gold,
        "Token budget": str(facts["max_new_tokens"]),
        "Ends": ", ".join(f"`{end}`" for end in facts["ends"]),
        "Prompts": prompts_sentence(facts["prompts"]),
    }
    return table(["", ""], [[f"**{field}**", value] for field, value in fields.items()])


def docstring_block(name: str) -> str:
    """The docstring of the task's module without its title; it is reStructuredText."""
    text = import_module(tasks.TASKS[name].module).__doc__
    if not text or "\n\n" not in text:
        raise SystemExit(f"the module of the task {name} needs a docstring: a title, then what the task is")
    return f"````{{eval-rst}}\n{text.split(chr(10) * 2, maxsplit=1)[1].strip()}\n````"


def level_table(levels: list[dict[str, Any]]) -> str:
    """Sizes of all levels."""
    rows = []
    for facts in levels:
        sizes = facts["vocabulary"], facts["mask"]["legal_at_first"], facts["prompt_tokens"], facts["max_new_tokens"]
        more = prompts_sentence(facts["prompts"]), range_sentence(facts["reward"]["range"])
        rows.append([facts["level"], *map(str, sizes), *more])
    return table(["Level", "Ids:", "Legal:", "Prompt tokens:", "Token budget:", "Prompts", "Reward range"], rows)


def return_table(levels: list[dict[str, Any]]) -> str:
    """Random, blind and best returns of all levels."""
    rows = []
    for facts in levels:
        known = [(row["split"], row["kind"], *(mark(row, which) for which in MARKS)) for row in facts["returns"]]
        rows += [[facts["level"], *cells] for cells in known]
        rows += [[facts["level"], facts["split"], kind, "", "", "not known"] for kind in facts["unknown_returns"]]
    return table(["Level", "Prompts", "Score", "Random:", "Blind:", "Best:"], rows)


def history(env_id: str, name: str) -> str:
    """A line for each version, the latest first."""
    latest = int(env_id.rpartition("-v")[2])
    lines = [f"- v{version}: {HISTORY[name, version]}" for version in range(latest, 0, -1)]
    return "\n".join([*lines, "- v0: the first version."])


def example_table(facts: dict[str, Any]) -> str:
    """Three texts for the example prompt, and what they are."""
    rows = []
    for written, why in examples(facts):
        gold = "" if written["gold"] is None else number(written["gold"])
        rows.append([spoken(written), number(written["reward"]), gold, why])
    return table(["Text", "Reward:", "Gold:", "Why"], rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
