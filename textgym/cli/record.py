"""``textgym record``: an offline data set, written by one agent or several."""

from __future__ import annotations

from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textgym.cli.options import EnvConfigFile, Seed, Settings, Trust, one_thread, read_settings, saved_factory

if TYPE_CHECKING:
    from textgym.factory import EnvFactory


def record(
    env: Annotated[str, typer.Argument(metavar="ENV_ID", help="Environment id.")],
    agent: Annotated[
        list[str] | None,
        typer.Option(
            "--agent",
            help="Run folder of a trained agent, or a name that needs no training; repeatable: each writes its share. "
            "Default: uniform.",
        ),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Number of texts, of all agents together.")] = 10_000,
    out: Annotated[
        str | None,
        typer.Option(
            help="Name for Minari, as reviews/mixed-v0, or a folder, absolute or with a dot in front, as "
            "./data/mixed-v0. Default: from environment and agents."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a data set of that name.")] = False,
    epsilon: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of tokens drawn uniformly among the legal ones instead.")
    ] = 0.0,
    temperature: Annotated[
        float, typer.Option(help="Flattens (above 1) or sharpens a policy that tells its probabilities.")
    ] = 1.0,
    greedy: Annotated[bool, typer.Option(help="Play greedily instead of sampling.")] = False,
    settings: Settings = None,
    env_config: EnvConfigFile = None,
    seed: Seed = 0,
    trust: Trust = False,
) -> None:
    """Record an offline data set for Minari: tokens, actions, rewards, flags, masks, log-probabilities and infos."""
    from textgym.integrations import minari
    from textgym.keys import spawn_seed
    from textgym.recorder import record as record_episodes
    from textgym.recordings import check_same_terms

    named = agent or ["uniform"]
    values = read_settings(settings, env_config)
    place = minari.check_place(out or _default_name(env, values, named), overwrite=overwrite)
    cast = [_load(name, seed, trust) for name in named]
    factories = _factories(named, env, values)
    for factory in factories[1:]:
        check_same_terms(factories[0], factory)  # before anything is recorded in vain
    one_thread()
    parts = []
    for row, (name, writer, factory) in enumerate(zip(named, cast, factories, strict=True)):
        share = episodes * (row + 1) // len(named) - episodes * row // len(named)
        if share:
            parts.append(
                record_episodes(
                    writer,
                    factory,
                    episodes=share,
                    seed=spawn_seed(seed, "record", str(row)),
                    epsilon=epsilon,
                    temperature=temperature,
                    deterministic=greedy,
                    name=Path(name).name,
                )
            )
    recording = reduce(add, parts)
    minari.write(recording, place.id if place.is_local else place.folder, overwrite=overwrite)
    steps, returns = sum(map(len, recording.episodes)), recording.returns
    typer.echo(f"recorded {len(recording):,} texts, {steps:,} tokens, mean return {returns.mean():.3f}")
    typer.echo(f"behaviour log-probabilities: {_tell_log_probs(recording)}")
    typer.echo(f"saved to {place.folder}" + (f"; minari.load_dataset({place.id!r})" if place.is_local else ""))


def _default_name(env: str, values: dict[str, Any], agents: list[str]) -> str:
    """Such as ``textgym/Copy-easy-uniform-v0``."""
    task = env.rpartition("/")[2].rpartition("-v")[0] or env
    words = [task, *([str(values["level"])] if "level" in values else []), *(Path(name).name for name in agents)]
    return f"textgym/{'-'.join(words)}-v0"


def _load(name: str, seed: int, trust: bool) -> Any:
    from textgym.agents.base import load_agent
    from textgym.agents.registry import AGENTS, make_agent
    from textgym.errors import ConfigurationError, suggestion

    if name in AGENTS and not Path(name).exists():
        return make_agent(name, seed=seed)
    if not Path(name).exists():
        hint = suggestion(name, AGENTS)
        raise ConfigurationError(f"--agent {name}: no such folder, and none of the names of `textgym agents`.{hint}")
    return load_agent(name, trust=trust)


def _factories(named: list[str], env: str, values: dict[str, Any]) -> list[EnvFactory]:
    """The environment of each agent, with the arguments that it was trained with, where it was trained in this one.

    Agents that were not play in the environment of the first one that was, so that all are paid alike.
    """
    from textgym.factory import EnvFactory

    saved = [saved_factory(Path(name), None, {}) if Path(name).exists() else None for name in named]
    mine = [found if found is not None and found.env_id == env else None for found in saved]
    first = next((found for found in mine if found is not None), EnvFactory(env))
    return [EnvFactory(env, {**(found or first).kwargs, **values}) for found in mine]


def _tell_log_probs(recording: Any) -> str:
    from textgym.recordings import LOG_PROB

    if LOG_PROB in recording.episodes[0].infos:
        return "kept"
    return "none, since not every agent tells the probabilities of its choices, or play was greedy"
