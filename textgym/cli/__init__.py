"""The command ``textgym``. Each module here holds some commands; heavy imports stand inside them."""

from __future__ import annotations

import re
import sys
from inspect import signature
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from textgym.cli import (
    audit,
    check,
    compare,
    comparing,
    compatibility,
    doctor,
    grade,
    lab,
    label,
    label_queries,
    label_serve,
    listing,
    new_task,
    overopt,
    play,
    record,
    reporting,
    rlhf,
    rm,
    training,
    tuning,
    zoo,
)
from textgym.errors import TextGymError

USAGE_ERROR = 2

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Reinforcement learning on text.")


def _tell_version(wanted: bool) -> None:
    if wanted:
        from textgym import __version__

        typer.echo(f"textgym {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself, before any other command."""


app.command("list")(listing.list_envs)
app.command()(listing.info)
app.command()(play.play)
app.command()(check.check)
app.command()(doctor.doctor)
app.command()(training.agents)
app.command()(training.train)
app.command()(training.generate)
app.command()(record.record)
app.command()(audit.audit)
app.command()(rlhf.rlhf)
app.command("new-task")(new_task.new_task)
app.command("overopt")(overopt.overopt)
app.command()(grade.grade)

bench = typer.Typer(no_args_is_help=True, help="Compare agents and measure speed.")
bench.command()(comparing.run)
bench.command()(tuning.tune)
bench.command()(reporting.report)
bench.command()(reporting.leaderboard)
bench.command()(reporting.archive)
bench.command()(reporting.verify)
bench.command()(compare.compare)
bench.command()(compare.stats)
bench.command()(comparing.matrix)
bench.command()(comparing.throughput)
bench.command()(comparing.optimality)
bench.command()(comparing.resets)
bench.command()(comparing.overhead)
bench.command()(comparing.rendering)
bench.command()(comparing.solving)
bench.command()(compatibility.compatibility)
app.add_typer(bench, name="bench")

reward_models = typer.Typer(no_args_is_help=True, help="Fit reward models, and say how good they are.")
reward_models.command()(rm.train)
reward_models.command()(rm.report)
app.add_typer(reward_models, name="rm")

labelling = typer.Typer(no_args_is_help=True, help="Have people compare texts, and see how far they agree.")
labelling.command()(label_serve.serve)
labelling.command()(label.create)
labelling.command()(label.invite)
labelling.command()(label.status)
labelling.command()(label.export)
labelling.command("import")(label.bring_in)
labelling.command()(label.merge)
labelling.command()(label_queries.queries)
app.add_typer(labelling, name="label")

bug_zoo = typer.Typer(no_args_is_help=True, help="Programs with a silent bug, to be found, explained and mended.")
bug_zoo.command("list")(zoo.list_zoo)
bug_zoo.command()(zoo.show)
bug_zoo.command()(zoo.run)
bug_zoo.command()(zoo.check)
app.add_typer(bug_zoo, name="zoo")

lab_hour = typer.Typer(no_args_is_help=True, help="An hour in which a class is the annotator.")
lab_hour.command()(lab.handout)
lab_hour.command()(lab.report)
app.add_typer(lab_hour, name="lab")


def _tell_of_set(words: list[str]) -> None:
    """Says how the arguments of an environment are given, where somebody tried one as an option."""
    from textgym.configuration import configure

    known = _options_of(words)
    for word in words:
        option = word.partition("=")[0]
        name = option.removeprefix("--").replace("-", "_")
        if option.startswith("--") and option not in known and name in signature(configure).parameters:
            typer.echo(f"{name} is an argument of the environment: --set {name}=VALUE", err=True)


def _options_of(words: list[str]) -> set[str]:
    """The options of the command that these words call."""
    command: Any = typer.main.get_command(app)
    for word in words:
        if word not in getattr(command, "commands", {}):
            break
        command = command.commands[word]
    return {option for parameter in command.params for option in parameter.opts}


def _nearest_id(error: Exception) -> str:
    """Where Gymnasium knows no such environment, the id of the task that was meant, as ``Copy`` or ``TextGen/Copy``."""
    import gymnasium as gym

    if not isinstance(error, gym.error.UnregisteredEnv) or "Did you mean" in str(error):
        return ""
    from textgym.tasks import names

    words = [word.lower() for word in re.findall(r"\w+", str(error))]
    found = [f" Did you mean 'TextGen/{name}-v0'?" for name in names() if name.lower() in words]
    return found[0] if found else " `textgym list` shows the ids; a task of your own is --set task=MODULE:TASK."


def main() -> None:
    """The console script: a user's mistake is one line on standard error and exit status 2."""
    import gymnasium as gym

    sys.path.append(str(Path.cwd()))  # so that reward=my_module:function finds a file beside the user
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every terminal knows all characters
    try:
        app()
    except SystemExit as end:
        if end.code == USAGE_ERROR:
            _tell_of_set(sys.argv[1:])
        raise
    except (TextGymError, gym.error.Error) as error:
        typer.echo(f"error: {error}{_nearest_id(error)}", err=True)
        raise SystemExit(2) from None
