"""``textgym bench``: ``run``, ``matrix``, ``throughput``, ``optimality``, ``resets`` and so on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textgym.cli.options import (
    EnvId,
    Memory,
    Processes,
    Resume,
    Settings,
    Timeout,
    make_folder,
    one_thread,
    read_settings,
)
from textgym.cli.reporting import tell_report
from textgym.errors import missing_dependency
from textgym.progress import ComparisonProgress

if TYPE_CHECKING:
    from textgym.benchmarks.ledger import Ledger
    from textgym.benchmarks.records import RunSpec


def run(
    suite: Annotated[str, typer.Option(help="Name of the suite.")] = "demo",
    out: Annotated[Path | None, typer.Option(help="Folder of the results; default runs/SUITE.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Number of seeds instead of the suite's own.")] = None,
    budget: Annotated[float, typer.Option(help="Multiplies every number of steps.")] = 1.0,
    agent: Annotated[
        list[str] | None, typer.Option(help="Only this agent, or module:Class for one of your own; repeatable.")
    ] = None,
    config: Annotated[
        list[str] | None,
        typer.Option(help="Options of an agent as AGENT=FILE.json, such as one that `bench tune` wrote; repeatable."),
    ] = None,
    processes: Processes = None,
    resume: Resume = True,
    timeout: Timeout = None,
    memory: Memory = None,
    executor: Annotated[
        str, typer.Option(help="local: processes on this machine; ray: tasks of a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="HOST:PORT of a Ray cluster, or auto; without it, one is started here.")
    ] = None,
    track: Annotated[
        list[str] | None, typer.Option(help="Also write tensorboard or wandb (offline) files; repeatable.")
    ] = None,
) -> None:
    """Train and compare the agents of a suite; started again, it goes on where it stopped."""
    from textgym.benchmarks.agent_configs import check_used, configured, read_agent_configs
    from textgym.benchmarks.comparison import compare, start_anew
    from textgym.benchmarks.executors import make_executor
    from textgym.benchmarks.limits import limits_of
    from textgym.benchmarks.suites import get_suite
    from textgym.benchmarks.tracking import Tracker

    configs = read_agent_configs(config)
    check_used(configs, agent)
    chosen = configured(get_suite(suite), configs)
    numbers = None if seeds is None else range(seeds)
    specs = chosen.specs(seeds=numbers, budget=budget, agents=agent)
    folder = out or Path("runs") / chosen.name
    place = make_executor(executor, processes=processes, limits=limits_of(timeout, memory), address=address)
    make_folder(folder)
    _try_agents(specs)
    moved = None if resume else start_anew(folder)
    if moved is not None:
        typer.echo(f"what was in {folder} is now in {moved}")
        make_folder(folder)
    listener = ComparisonProgress()
    tracker = Tracker(folder, track or (), on_event=listener)
    try:
        compare(
            chosen,
            folder,
            seeds=numbers,
            budget=budget,
            agents=agent,
            executor=place,
            on_event=tracker,
            on_plan=lambda ledger: _tell_cost(ledger, processes, executor),
        )
    except KeyboardInterrupt:
        listener.close()
        tell_report(folder)
        raise typer.Exit(130) from None
    finally:
        listener.close()
    _measure_lines(folder)
    tell_report(folder)
    _check_success(folder)


def _check_success(folder: Path) -> None:
    """A comparison in which nothing succeeded is a failure of the command."""
    from textgym.benchmarks.ledger import read_results

    results = read_results(folder)
    if results and all(result.status != "ok" for result in results):
        typer.echo(f"every run failed, the first because: {results[0].error or results[0].status}", err=True)
        raise typer.Exit(1)


def matrix(
    folder: Annotated[Path, typer.Argument(help="Folder that `textgym bench run` wrote.")],
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the degenerate writers, which take time.")] = False,
    page: Annotated[Path | None, typer.Option(help="Renew the table in this page, such as docs/matrix.md.")] = None,
) -> None:
    """Print every agent on every environment as a Markdown table; bold where an agent has beaten it."""
    from textgym.benchmarks.matrix import build_matrix, markdown, table_name
    from textgym.benchmarks.pages import renew_page

    lines = build_matrix(folder, audited=not quick)
    if page is not None:
        renew_page(page, table_name(lines), markdown(lines))
        typer.echo(f"renewed: {page}")
        return
    for line in markdown(lines):
        typer.echo(line)


def throughput(
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Paired rounds; medians are printed. [default: 5; with --lm 3, quick 2]")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Length of one measurement.")] = 0.3,
    sb3: Annotated[
        bool, typer.Option("--sb3", help="Also measure stable-baselines3's PPO through both adapters.")
    ] = False,
    suite: Annotated[bool, typer.Option("--suite", help="Measure every task of the suite instead.")] = False,
    overlaps: Annotated[
        bool, typer.Option("--overlaps", help="Measure BLEU, chrF and ROUGE-L against sacrebleu and rouge-score.")
    ] = False,
    lm: Annotated[
        bool, typer.Option("--lm", help="Measure language models that write against generate of transformers.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="With --lm: the small model only, in under a minute.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="With --suite: print a Markdown table.")] = False,
    page: Annotated[
        Path | None, typer.Option(help="With --suite: renew the table in this page, such as docs/speed.md.")
    ] = None,
) -> None:
    """Measure tokens a second against Gymnasium's CartPole, as ratios within this run."""
    from textgym.benchmarks import overlaps as overlap_scores
    from textgym.benchmarks import throughput
    from textgym.benchmarks.pages import renew_page

    tabled = markdown or page is not None
    if tabled and not suite:
        raise typer.BadParameter("--markdown and --page tell of the suite; add --suite")
    if quick and not lm:
        raise typer.BadParameter("--quick tells of language models; add --lm")
    if lm:
        for line in _language_model_lines(rounds, quick=quick):
            typer.echo(line)
        return
    rounds = rounds or 5
    if overlaps:
        lines = overlap_scores.report(rounds=rounds)
    elif tabled:
        lines = throughput.markdown(throughput.measure_suite(rounds=rounds, seconds=seconds), rounds=rounds)
        if page is not None:
            renew_page(page, throughput.TABLE, lines)
            lines = iter([f"renewed: {page}"])
    elif suite:
        lines = throughput.suite(rounds=rounds, seconds=seconds)
    else:
        lines = throughput.report(rounds=rounds, seconds=seconds, sb3=sb3)
    for line in lines:
        typer.echo(line)


def _language_model_lines(rounds: int | None, *, quick: bool) -> Iterator[str]:
    try:
        from textgym.agents.lm import throughput
    except ImportError as error:
        raise missing_dependency(error.name or "torch", "lm", "textgym bench throughput --lm") from error
    if quick:
        return throughput.report((throughput.SMALL,), rounds=rounds or 2)
    return throughput.report(rounds=rounds or 3)


def optimality(
    env: EnvId = "TextGen-v0",
    settings: Settings = None,
    agent: Annotated[list[str] | None, typer.Option(help="rloo, grpo or lm_ppo; repeatable. [default: all]")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each agent.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Tokens that each run may write.")] = 60_000,
    temperature: Annotated[float, typer.Option(min=1e-6, help="What a nat of divergence costs.")] = 0.2,
    page: Annotated[Path | None, typer.Option(help="Renew the table in this page of the docs.")] = None,
) -> None:
    """Train language models and print how much of the exact soft optimum they reach."""
    from textgym.benchmarks.pages import renew_page
    from textgym.factory import EnvFactory

    try:
        from textgym.agents.lm import optimality
    except ImportError as error:
        raise missing_dependency(error.name or "torch", "lm", "textgym bench optimality") from error
    envs = EnvFactory(env, read_settings(settings or ["level=tiny"], None))
    one_thread()
    lines = optimality.report(
        envs, agents=agent or optimality.AGENTS, seeds=seeds, steps=steps, temperature=temperature
    )
    if page is not None:
        renew_page(page, "share of the soft optimum", lines)
        lines = iter([f"renewed: {page}"])
    for line in lines:
        typer.echo(line)


def resets(
    rounds: Annotated[int, typer.Option(min=1, help="Paired rounds; medians are printed.")] = 7,
    seconds: Annotated[float, typer.Option(min=0.01, help="Length of one measurement.")] = 0.3,
) -> None:
    """Measure what a reset costs with a thousand and with a million prompts, in memory and on disk."""
    from textgym.benchmarks import resets

    for line in resets.report(rounds=rounds, seconds=seconds):
        typer.echo(line)


def overhead(
    steps: Annotated[int, typer.Option(min=20_000, help="Tokens of a run.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each kind; the median is printed.")] = 5,
) -> None:
    """Measure what metering and recording add to a random agent's time."""
    from textgym.benchmarks import overhead

    for line in overhead.report(steps=steps, rounds=rounds):
        typer.echo(line)


def rendering(
    tokens: Annotated[int, typer.Option(min=1, help="Length of the texts.")] = 500,
    rounds: Annotated[int, typer.Option(min=1, help="Texts; the median is printed.")] = 15,
) -> None:
    """Measure how long a picture of a text takes, in milliseconds."""
    from textgym.benchmarks import rendering

    for line in rendering.report(tokens=tokens, rounds=rounds):
        typer.echo(line)


def solving(rounds: Annotated[int, typer.Option(min=1, help="Repetitions; the median is printed.")] = 3) -> None:
    """Measure how long exact solutions take, and how much memory."""
    from textgym.benchmarks import solving

    for line in solving.report(rounds=rounds):
        typer.echo(line)


def _try_agents(specs: Sequence[RunSpec]) -> None:
    """Options are tried before anything starts, and so are agents of one's own."""
    from textgym.benchmarks.agent_configs import check_options
    from textgym.benchmarks.agent_trials import check_agents

    check_options(specs)
    for found in check_agents(specs):
        typer.echo(f"agent {found.agent}: meets the protocol, tried for {found.steps:,} steps")
        for warning in found.warnings:
            typer.echo(f"warning: {warning}")


def _tell_cost(ledger: Ledger, processes: int | None, executor: str) -> None:
    from textgym.benchmarks.costs import cost_of_rest
    from textgym.benchmarks.forecast import Forecast

    if len(ledger.results) < len(ledger.specs):
        here = "; on the cores of this machine alone" if executor == "ray" and processes is None else ""
        typer.echo(f"{cost_of_rest(ledger, processes)}{here}")
    ledger.forecast = Forecast(ledger)


def _measure_lines(folder: Path) -> None:
    """The lines that agents are held against; each environment is measured once."""
    from textgym.benchmarks.reference_lines import complete

    complete(folder, on_environment=lambda name: typer.echo(f"reference lines: {name}"))
