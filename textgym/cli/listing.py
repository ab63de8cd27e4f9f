"""``textgym list`` and ``textgym info``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textgym.cli.options import EnvConfigFile, Settings, read_settings

if TYPE_CHECKING:
    from textgym.task import Task

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

MARKS = {"random": "about ", "blind": "at least ", "best": "at least "}
"""What stands before a return that is not exact."""


def list_envs(as_json: AsJson = False) -> None:
    """List the environment ids with the levels, tags and summaries of their tasks, and the benchmark suites.

    JSON has the ids alone.
    """
    rows = list(_list_rows())
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    width = max(len(row["id"]) for row in rows) + 2
    for row in rows:
        typer.echo(f"{row['id']:<{width}}{row['summary']}")
        levels = ", ".join(f"{level}*" if level == row["level"] else level for level in row["levels"])
        exact = "; returns: exact" if row["exact"] else ""
        typer.echo(f"{'':<{width}}levels: {levels}; tags: {', '.join(row['tags'])}{exact}")
    typer.echo("* the default level; `textgym info ID --set level=LEVEL` says more")
    typer.echo("returns: exact - the random, blind and best return of the default level are known, not estimated")
    for line in _suite_lines(width):
        typer.echo(line)


def info(
    env_id: Annotated[str, typer.Argument(help="Environment id, e.g. TextGen-v0.")],
    settings: Settings = None,
    env_config: EnvConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Say what an environment is: spaces, mask, prompts, rewards, what can be earned, and an example."""
    from textgym.cli.facts import describe
    from textgym.factory import EnvFactory

    facts = describe(EnvFactory(env_id, read_settings(settings, env_config)))
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for line in _info_lines(facts):
        typer.echo(line)


def _list_rows() -> Iterator[dict[str, Any]]:
    from textgym import registration, tasks

    for env_id in registration.env_ids():
        task = tasks.get(registration.task_name(env_id))
        default = " (The default task.)" if env_id == registration.DEFAULT_ID else ""
        yield {
            "id": env_id,
            "task": task.name,
            "level": task.level,
            "levels": list(task.levels),
            "tags": list(task.tags),
            "summary": task.summary + default,
            "exact": _is_exact(task),
        }


def _is_exact(task: Task) -> bool:
    """Whether the task states returns, and none of them is an estimate or a bound."""
    stated = [returns for kinds in task.facts.values() for returns in kinds.values()]
    return bool(stated) and not any(returns.inexact for returns in stated)


def _suite_lines(width: int) -> Iterator[str]:
    from textgym.benchmarks.suites import SUITES

    yield ""
    yield "benchmark suites, for `textgym bench run --suite NAME`:"
    for suite in SUITES.values():
        agents = ", ".join(dict.fromkeys(entry.label or entry.agent for entry in suite.entries))
        ids = list(dict.fromkeys(entry.env_id for entry in suite.entries))
        where = ids[0] if len(ids) == 1 else f"{len(ids)} environments"
        yield f"{suite.name:<{width}}{suite.title}: {agents} on {where}, {len(suite.seeds)} seeds"


def _info_lines(facts: dict[str, Any]) -> Iterator[str]:
    own = "prompts" in facts["overridden"]  # then the task's own words say nothing of them
    yield f"{facts['id']}: {'Texts for prompts of your own.' if own else facts['summary']}"
    yield ""
    for name, value in _fields(facts):
        yield f"{name:<14}{value}"
    yield ""
    yield from _return_lines(facts)
    yield ""
    yield from _example_lines(facts["example"])


def _fields(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    reward, gold = facts["reward"], facts["gold"]
    yield "task", f"{facts['task']}, level {facts['level']} (of {', '.join(facts['levels'])})"
    if facts["tags"]:
        yield "tags", ", ".join(facts["tags"])
    if facts["overridden"]:
        yield "overridden", ", ".join(facts["overridden"])
    yield "actions", f"{facts['action_space']}; {mask_sentence(facts)}"
    yield "observations", f"{facts['observation_space']} ({facts['observation']})"
    yield "tokens", f"{facts['prompt_tokens']} of the prompt at most, {facts['max_new_tokens']} of the text at most"
    yield "prompts", f"{prompts_sentence(facts['prompts'])}; drawn from {facts['split']}"
    when = "at the end of the text" if reward["timing"] == "end" else "at every step, as the change of the score"
    yield "reward", f"{reward['name']}, {range_sentence(reward['range'])}, {when}"
    yield (
        "gold",
        "none: the reward is the true score" if gold is None else f"{gold['name']}, {range_sentence(gold['range'])}",
    )
    yield "ends", f"{', '.join(facts['ends'])} (an illegal token pays {facts['illegal_reward']:g})"


def mask_sentence(facts: dict[str, Any]) -> str:
    """How many ids are legal, and whether that changes."""
    mask = facts["mask"]
    if mask["fixed"]:
        return f"{mask['legal_at_first']} of {facts['vocabulary']} ids are legal, always the same"
    return f"{mask['legal_at_first']} of {facts['vocabulary']} ids are legal at first; it changes with the text"


def prompts_sentence(prompts: dict[str, int]) -> str:
    """How many prompts each split has."""
    return ", ".join(f"{count} {split}" if split != "all" else f"{count}" for split, count in prompts.items())


def range_sentence(ends: list[float | None]) -> str:
    """The two ends of a range.

    Example:
        >>> range_sentence([-1.5, None])
        'from -1.5, no upper end'
    """
    low, high = ends
    if low is None and high is None:
        return "no bounds"
    if high is None:
        return f"from {low:g}, no upper end"
    return f"up to {high:g}, no lower end" if low is None else f"{low:g} to {high:g}"


def _return_lines(facts: dict[str, Any]) -> Iterator[str]:
    """A table of what can be earned, then the reasons for what is missing in it."""
    if facts["returns"]:
        yield f"{'returns':<14}{'prompts':<9}{'random':>16}{'blind':>18}{'best':>18}"
    for row in facts["returns"]:
        cells = [_mark(row, name) for name in MARKS]
        exact = "" if row["inexact"] else "  exact"
        yield f"{row['kind']:<14}{row['split']:<9}{cells[0]:>16}{cells[1]:>18}{cells[2]:>18}{exact}"
    for kind, reason in facts["unknown_returns"].items():
        yield f"{kind:<14}{reason}"


def _mark(row: dict[str, Any], name: str) -> str:
    value = row[name]
    return "unknown" if value is None else f"{MARKS[name] * (name in row['inexact'])}{value:.3f}"


def _example_lines(example: dict[str, Any]) -> Iterator[str]:
    from textgym.cli.choices import spell

    yield f"{'example':<14}{spell(example['prompt'])}"
    best = "best text" if example["best_under"] == "reward" else "best in gold"
    for name, written in ((best, example["best"]), ("demonstration", example["demonstration"])):
        if written is None:
            yield f"{name:<14}not known"
        else:
            gold = "" if written["gold"] is None else f", gold {written['gold']:.3f}"
            earned = f"{written['stop_reason']}, reward {written['reward']:.3f}{gold}"
            yield f"{name:<14}{spell(written['text'])}  [{earned}]"
