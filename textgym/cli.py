"""The command ``textgym``: train, generate, compare. Heavy imports stand inside the commands."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textgym.errors import ConfigurationError, TextGymError
from textgym.progress import ComparisonProgress, TrainingProgress

if TYPE_CHECKING:
    from textgym.factory import EnvFactory

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Reinforcement learning on text."
)
bench = typer.Typer(no_args_is_help=True, help="Compare agents and measure speed.")
app.add_typer(bench, name="bench")

EnvId = Annotated[str, typer.Option("--env", help="Environment id.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Argument of the environment as KEY=VALUE, e.g. level=tiny or reward=module:function; repeatable."
    ),
]
EnvConfigFile = Annotated[
    Path | None, typer.Option("--env-config", help="JSON file with arguments of the environment.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all that is random.")]
Trust = Annotated[bool, typer.Option("--trust", help="Also load agents from outside textgym, which runs their code.")]

ENV_FILE = "env.json"


@app.command("list")
def list_envs() -> None:
    """List the environment ids with the levels and tags of their tasks."""
    from textgym import registration, tasks

    for env_id in registration.env_ids():
        listing = tasks.TASKS[registration.task_name(env_id)]
        typer.echo(f"{env_id:<24} levels: {', '.join(listing.levels)}; tags: {', '.join(listing.tags)}")


@app.command()
def agents() -> None:
    """List the agents that can be trained."""
    from textgym.agents.registry import AGENTS, SUMMARIES

    for name in AGENTS:
        typer.echo(f"{name:<14} {SUMMARIES[name]}")


@app.command()
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
) -> None:
    """Train an agent and say what it earns."""
    from textgym.agents.base import CARD, write_atomically
    from textgym.agents.registry import make_agent
    from textgym.benchmarks.meter import Meter
    from textgym.benchmarks.metering import MeteredFactory
    from textgym.factory import EnvFactory

    factory = EnvFactory(env, _settings(settings, env_config))
    learner = make_agent(agent, seed=seed, **_pairs(option))
    task = factory.task()  # a wrong argument is an error now, not after the training
    if save is not None:
        _make_folder(save)
    _one_thread()
    with TrainingProgress(f"{agent} on {env}", steps) as advance:
        meter = Meter(steps, on_progress=advance)
        _learn(learner, MeteredFactory.around(factory, meter), steps)
    typer.echo(f"trained {agent} for {meter.steps:,} tokens, {meter.episodes:,} texts")
    if save is not None:
        learner.save(save)
        if not (save / CARD).exists():  # an agent of one's own need not know of cards
            write_atomically(save / CARD, json.dumps({"class": agent}) + "\n")
        write_atomically(save / ENV_FILE, json.dumps({"env_id": env, "kwargs": dict(factory.kwargs)}, indent=2) + "\n")
        typer.echo(f"saved to {save}")
    _tell_scores(learner, factory, task.prompts.splits)


@app.command()
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
    factory = _saved_factory(run, env, _settings(settings, env_config))
    _one_thread()
    texts = evaluate_prompts(agent, factory, prompts=prompt, n=n, seed=seed, deterministic=greedy)
    width = max(len(f"{text['prompt']} > {text['completion']}") for text in texts)
    typer.echo(f"{'':<{width}}  {'reward':>7}  {'gold':>7}")
    for text in texts:
        gold = "" if text["gold"] is None else f"{text['gold']:>7.3f}"
        typer.echo(f"{text['prompt'] + ' > ' + text['completion']:<{width}}  {text['reward']:>7.3f}  {gold:>7}")


@bench.command("run")
def bench_run(
    suite: Annotated[str, typer.Option(help="Name of the suite.")] = "demo",
    out: Annotated[Path | None, typer.Option(help="Folder of the results; default runs/SUITE.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Number of seeds instead of the suite's own.")] = None,
    budget: Annotated[float, typer.Option(help="Multiplies every number of steps.")] = 1.0,
    agent: Annotated[list[str] | None, typer.Option(help="Only this agent; repeatable.")] = None,
    processes: Annotated[int | None, typer.Option(help="Runs at a time; default one a core.")] = None,
) -> None:
    """Train and compare the agents of a suite; started again, it goes on where it stopped."""
    from textgym.benchmarks.comparison import compare

    folder = out or Path("runs") / suite
    _make_folder(folder)
    listener = ComparisonProgress()
    try:
        compare(
            suite,
            folder,
            seeds=None if seeds is None else range(seeds),
            budget=budget,
            processes=processes,
            agents=agent,
            on_event=listener,
        )
    except KeyboardInterrupt:
        listener.close()
        _tell_report(folder)
        raise typer.Exit(130) from None
    finally:
        listener.close()
    _tell_report(folder)


@bench.command("report")
def bench_report(folder: Annotated[Path, typer.Argument(help="Folder that `textgym bench run` wrote.")]) -> None:
    """Build the report again from the runs that are finished."""
    _tell_report(folder)


@bench.command("throughput")
def bench_throughput(
    rounds: Annotated[int, typer.Option(min=1, help="Paired rounds; medians are printed.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.01, help="Length of one measurement.")] = 0.3,
    sb3: Annotated[
        bool, typer.Option("--sb3", help="Also measure stable-baselines3's PPO through both adapters.")
    ] = False,
) -> None:
    """Measure tokens a second against Gymnasium's CartPole, as ratios within this run."""
    from textgym.benchmarks import throughput

    for line in throughput.report(rounds=rounds, seconds=seconds, sb3=sb3):
        typer.echo(line)


def _settings(pairs: list[str] | None, file: Path | None) -> dict[str, Any]:
    """Arguments of the environment: those of the JSON file, then those of ``--set``."""
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"--env-config {str(file)!r}: {error}") from None
        if not isinstance(values, dict):
            raise ConfigurationError(f"--env-config {str(file)!r}: expected a JSON object, got {type(values).__name__}")
    return {**values, **_pairs(pairs)}


def _pairs(pairs: list[str] | None) -> dict[str, Any]:
    """``KEY=VALUE`` strings as a dict; values are JSON where they parse as such, else text."""
    values: dict[str, Any] = {}
    for pair in pairs or []:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise ConfigurationError(f"{pair!r}: expected KEY=VALUE, such as level=tiny")
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    return values


def _saved_factory(run: Path, env: str | None, settings: dict[str, Any]) -> EnvFactory:
    from textgym.factory import EnvFactory

    file = run / ENV_FILE
    saved: dict[str, Any] = {"env_id": "TextGen-v0", "kwargs": {}}
    try:
        if file.is_file():
            saved = json.loads(file.read_text(encoding="utf-8"))
        return EnvFactory(env or saved["env_id"], {**saved["kwargs"], **settings})
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{str(file)!r} is damaged ({type(error).__name__}: {error})") from None


def _one_thread() -> None:
    """One torch thread: two busy ones on two busy cores wait for each other most of the time."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _learn(learner: Any, envs: EnvFactory, steps: int) -> None:
    from textgym.errors import BudgetSpent

    with contextlib.suppress(BudgetSpent):  # the normal end of training
        learner.learn(envs, steps)


def _make_folder(folder: Path) -> None:
    """Makes the folder of a run, now: afterwards it would be too late to say that it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the folder {str(folder)!r} cannot be made: {error}") from None


def _tell_scores(agent: Any, factory: EnvFactory, splits: tuple[str, ...]) -> None:
    from textgym.evaluation import evaluate
    from textgym.keys import spawn_seed

    for split in splits:
        measured = evaluate(agent, factory, episodes=200, seed=spawn_seed(0, "evaluation", split), split=split)
        line = f"greedy, {split} prompts: reward {measured.mean_return:.3f} ± {measured.standard_error:.3f}"
        if measured.normalized is not None:
            line += f" (normalised {measured.normalized:.3f}: 0 random, 1 best)"
        if measured.mean_gold is not None:
            line += f", gold {measured.mean_gold:.3f}"
        typer.echo(line)


def _tell_report(folder: Path) -> None:
    from textgym.benchmarks.report import build_report, table_lines

    for line in table_lines(folder):
        typer.echo(line)
    typer.echo(f"report: {build_report(folder)}")


def main() -> None:
    """The console script: a user's mistake is one line on standard error and exit status 2."""
    import gymnasium as gym

    sys.path.append(str(Path.cwd()))  # so that reward=my_module:function finds a file beside the user
    try:
        app()
    except (TextGymError, gym.error.Error) as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
