"""``textgym check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from textgym.cli.options import EnvConfigFile, Settings, one_thread, read_settings

if TYPE_CHECKING:
    from textgym.checks import Verdict


def check(
    env_id: Annotated[str, typer.Argument(help="Environment id, e.g. TextGen-v0.")],
    fast: Annotated[bool, typer.Option("--fast", help="Play little and start no processes.")] = False,
    settings: Settings = None,
    env_config: EnvConfigFile = None,
) -> None:
    """Try every rule of the contract on an environment; exit status 1 if one of them is broken."""
    from textgym.checks import run_rules

    one_thread()
    counts = {"ok": 0, "broken": 0, "skipped": 0}
    meaningless: dict[str, list[str]] = {}  # broken rule -> those skipped because of it
    for verdict in run_rules(env_id, fast=fast, **read_settings(settings, env_config)):
        counts[verdict.status] += 1
        if verdict.because_of is None:
            typer.echo(_line(verdict))
        else:
            meaningless.setdefault(verdict.because_of, []).append(verdict.rule.name)
    for broken, names in meaningless.items():
        typer.echo(f"skipped  what means little while {broken} is broken: {', '.join(names)}")
    typer.echo(f"{env_id}: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    if counts["broken"]:
        raise typer.Exit(1)


def _line(verdict: Verdict) -> str:
    rule = verdict.rule
    if verdict.status == "broken":
        return f"BROKEN   {rule.name}: {rule.statement} But {verdict.seen}. {rule.mend}."
    return f"{verdict.status:<8} {rule.name}: {verdict.seen or rule.statement}"
