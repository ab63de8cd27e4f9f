"""``textgym play``: a person writes token by token, and may ask what each token is worth."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from textgym.cli.options import EnvConfigFile, Seed, Settings, Trust, one_thread, read_settings, saved_factory


def play(
    env_id: Annotated[
        str | None, typer.Argument(help="Environment id; default TextGen-v0, or what the agent was trained in.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="The first prompt, one of the task's. Default: drawn.")] = None,
    agent: Annotated[Path | None, typer.Option(help="Folder of a trained agent, whose opinion `a` shows.")] = None,
    settings: Settings = None,
    env_config: EnvConfigFile = None,
    seed: Seed = 0,
    trust: Trust = False,
) -> None:
    """Write texts yourself, token by token, with the exact value of each token on request."""
    from textgym.agents.base import load_agent
    from textgym.cli.facts import open_env
    from textgym.cli.game import Game
    from textgym.factory import EnvFactory
    from textgym.registration import DEFAULT_ID
    from textgym.rendering import use_colour

    values = read_settings(settings, env_config)
    writer = None if agent is None else load_agent(agent, trust=trust)
    env = open_env(EnvFactory(env_id or DEFAULT_ID, values) if agent is None else saved_factory(agent, env_id, values))
    one_thread()
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # what a terminal sends need not be text
    game = Game(env, sys.stdout, agent=writer, colour=sys.stdout.isatty() and use_colour())
    try:
        game.play(sys.stdin, seed=seed, prompt=prompt)
    except KeyboardInterrupt:
        typer.echo()
        raise typer.Exit(130) from None
