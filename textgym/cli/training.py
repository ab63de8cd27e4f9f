"""``textgym agents``, ``train`` and ``generate``."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textgym.cli.options import (
    ENV_FILE,
    EnvConfigFile,
    EnvId,
    Seed,
    Settings,
    Trust,
    make_folder,
    one_thread,
    read_pairs,
    read_settings,
    saved_factory,
)
from textgym.progress import TrainingProgress

if TYPE_CHECKING:
    from textgym.factory import EnvFactory


def agents() -> None:
    """List the agents that can be trained."""
    from textgym.agents.registry import AGENTS, SUMMARIES

    for name in AGENTS:
        typer.echo(f"{name:<14} {SUMMARIES[name]}")


def train(
    agent: Annotated[str, typer.Argument(help="A name from `textgym agents`, or module:Class.")],
    env: EnvId = "TextGen-v0",
    steps: Annotated[int, typer.Option(min=1, help="Tokens that the agent may write.")] = 200_000,
    seed: Seed = 0,
    save: Annotated[Path | None, typer.Option(help="Folder for the trained agent, e.g. runs/ppo.")] = None,
    settings: Settings = None,
    env_config: EnvConfigFile = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Option of the agent as KEY=VALUE; repeatable.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in the folder of --save, if there is one.")
    ] = False,
) -> None:
    """Train an agent and say what it earns."""
    from textgym.agents.base import CARD
    from textgym.agents.registry import make_agent
    from textgym.atomic import write_whole
    from textgym.benchmarks.meter import Meter
    from textgym.benchmarks.metering import MeteredFactory
    from textgym.factory import EnvFactory

    factory = EnvFactory(env, read_settings(settings, env_config))
    learner = make_agent(agent, seed=seed, **read_pairs(option))
    task = factory.task()  # a wrong argument is an error now, not after the training
    if save is not None:
        make_folder(save)
    _keep_in(learner, agent, save, resume)
    one_thread()
    with TrainingProgress(f"{agent} on {env}", steps) as advance:
        meter = Meter(steps, on_progress=advance)
        _learn(learner, MeteredFactory.around(factory, meter), steps)
    typer.echo(f"trained {agent} for {meter.steps:,} tokens, {meter.episodes:,} texts")
    if save is not None:
        learner.save(save)
        if not (save / CARD).exists():  # an agent of one's own need not know of cards
            write_whole(save / CARD, json.dumps({"class": agent}) + "\n")
        write_whole(save / ENV_FILE, json.dumps({"env_id": env, "kwargs": dict(factory.kwargs)}, indent=2) + "\n")
        typer.echo(f"saved to {save}")
    _tell_scores(learner, factory, task.prompts.splits)


def generate(
    run: Annotated[Path, typer.Argument(help="Folder that `textgym train --save` wrote.")],
    prompt: Annotated[list[str] | None, typer.Option(help="A prompt of the task; repeatable. Default: drawn.")] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Texts for each prompt.")] = 4,
    greedy: Annotated[bool, typer.Option(help="Play greedily instead of sampling.")] = False,
    env: Annotated[str | None, typer.Option(help="Another environment than the one of the training.")] = None,
    settings: Settings = None,
    env_config: EnvConfigFile = None,
    seed: Seed = 0,
    trust: Trust = False,
) -> None:
    """Let a trained agent write, and print each text with its reward and its true score."""
    from textgym.agents.base import load_agent
    from textgym.writing import evaluate_prompts

    agent = load_agent(run, trust=trust)
    factory = saved_factory(run, env, read_settings(settings, env_config))
    one_thread()
    texts = evaluate_prompts(agent, factory, prompts=prompt, n=n, seed=seed, deterministic=greedy)
    width = max(len(f"{text['prompt']} > {text['completion']}") for text in texts)
    typer.echo(f"{'':<{width}}  {'reward':>7}  {'gold':>7}")
    for text in texts:
        gold = "" if text["gold"] is None else f"{text['gold']:>7.3f}"
        typer.echo(f"{text['prompt'] + ' > ' + text['completion']:<{width}}  {text['reward']:>7.3f}  {gold:>7}")


def _keep_in(learner: Any, name: str, save: Path | None, resume: bool) -> None:
    """Lets an agent that can write its log and checkpoints into the run folder while it trains."""
    from textgym.errors import ConfigurationError

    if resume and (save is None or not hasattr(learner, "keep_in")):
        reason = "there is no folder to go on in; pass --save" if save is None else f"{name} writes no checkpoints"
        raise ConfigurationError(f"--resume: {reason}")
    if save is not None and hasattr(learner, "keep_in"):
        learner.keep_in(save, resume=resume)


def _learn(learner: Any, envs: EnvFactory, steps: int) -> None:
    from textgym.errors import BudgetSpent

    with contextlib.suppress(BudgetSpent):  # the normal end of training
        learner.learn(envs, steps)


def _tell_scores(agent: Any, factory: EnvFactory, splits: tuple[str, ...]) -> None:
    from textgym.evaluation import evaluate
    from textgym.keys import spawn_seed

    for split in splits:
        measured = evaluate(agent, factory, episodes=200, seed=spawn_seed(0, "evaluation", split), split=split)
        line = f"greedy, {split} prompts: reward {measured.mean_return:.3f} ± {measured.standard_error:.3f}"
        if measured.normalized is not None:
            random, best = ("about " * (name in measured.inexact) + name for name in ("random", "best"))
            line += f" (normalised {measured.normalized:.3f}: 0 {random}, 1 {best})"
        if measured.mean_gold is not None:
            line += f", gold {measured.mean_gold:.3f}"
        if measured.reward_calls is not None:
            line += f", {measured.reward_calls / len(measured.returns):g} reward calls a text"
        line += "".join(f", {count} {name}" for name, count in measured.tally.items())
        typer.echo(line)
        for warning in filter(None, (measured.impossible, measured.impossible_gold)):
            typer.echo(f"warning: {warning}")
