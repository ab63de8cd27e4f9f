"""The command ``textgym``. Each module here holds some commands; heavy imports stand inside them."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from textgym.cli import audit, check, comparing, listing, play, training
from textgym.errors import TextGymError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Reinforcement learning on text."
)
app.command("list")(listing.list_envs)
app.command()(listing.info)
app.command()(play.play)
app.command()(check.check)
app.command()(training.agents)
app.command()(training.train)
app.command()(training.generate)
app.command()(audit.audit)

bench = typer.Typer(no_args_is_help=True, help="Compare agents and measure speed.")
bench.command()(comparing.run)
bench.command()(comparing.report)
bench.command()(comparing.throughput)
bench.command()(comparing.rendering)
bench.command()(comparing.solving)
app.add_typer(bench, name="bench")


def main() -> None:
    """The console script: a user's mistake is one line on standard error and exit status 2."""
    import gymnasium as gym

    sys.path.append(str(Path.cwd()))  # so that reward=my_module:function finds a file beside the user
    try:
        app()
    except (TextGymError, gym.error.Error) as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
