"""``textgym bench tune``: the options of agents, searched within one stated budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textgym.cli.options import Memory, Processes, Resume, Timeout, make_folder

if TYPE_CHECKING:
    from textgym.benchmarks.trials import Trial
    from textgym.benchmarks.tuning import Search, Tuned


def tune(
    agents: Annotated[
        list[str], typer.Argument(help="Names from `textgym agents`, or module:Class; all get the same.")
    ],
    tasks: Annotated[str, typer.Option(help="Tasks to search on, with commas between them.")] = "Reviews",
    trials: Annotated[int, typer.Option(min=1, help="Sets of options for each agent, its defaults included.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Tokens that each run may write in training.")] = 50_000,
    out: Annotated[Path, typer.Option(help="Folder of the searches.")] = Path("runs/tune"),
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each trial; none of them is one of a report.")] = 1,
    level: Annotated[str, typer.Option(help="Level of the tasks.")] = "easy",
    episodes: Annotated[int, typer.Option(min=1, help="Texts of each evaluation.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is proposed.")] = 0,
    processes: Processes = None,
    resume: Resume = True,
    timeout: Timeout = None,
    memory: Memory = None,
) -> None:
    """Search options for agents, each with the same budget; started again, it goes on where it stopped."""
    from textgym.benchmarks.limits import limits_of
    from textgym.benchmarks.proposals import check_optuna
    from textgym.benchmarks.tuning import Search, start_anew
    from textgym.benchmarks.tuning import tune as search_for

    check_optuna()
    names = tuple(name.strip() for name in tasks.split(",") if name.strip())
    common: dict[str, Any] = {"trials": trials, "steps": steps, "level": level, "seeds": seeds, "episodes": episodes}
    searches = [Search(agent=agent, tasks=names, seed=seed, **common) for agent in dict.fromkeys(agents)]
    limits = limits_of(timeout, memory)
    make_folder(out)
    for search in searches:
        moved = None if resume else start_anew(search, out)
        if moved is not None:
            typer.echo(f"what was in {out / search.folder_name} is now in {moved}")
    _try_agents(searches)
    _tell_plan(searches, out, processes)
    try:
        found = [
            search_for(search, out, processes=processes, limits=limits, on_trial=_tell_trial) for search in searches
        ]
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on from here")
        raise typer.Exit(130) from None
    for tuned in found:
        _tell_best(tuned)
    if any(tuned.best is None for tuned in found):
        raise typer.Exit(1)


def _try_agents(searches: Sequence[Search]) -> None:
    """Agents of one's own are tried before anything starts."""
    from textgym.benchmarks.agent_trials import check_agents

    for found in check_agents(spec for search in searches for spec in search.suite({}, 0).specs()[:1]):
        typer.echo(f"agent {found.agent}: meets the protocol, tried for {found.steps:,} steps")


def _tell_plan(searches: Sequence[Search], out: Path, processes: int | None) -> None:
    from textgym.benchmarks.costs import duration, estimate
    from textgym.benchmarks.machine import available_cores
    from textgym.benchmarks.tuning import trials_left

    runs = [trials_left(search, out) for search in searches]
    cores = available_cores() if processes is None else processes
    seconds = 0.0
    for search, left in zip(searches, runs, strict=True):
        typer.echo(f"planned: {search}")
        at_once = min(cores, len(search.tasks) * search.seeds)  # trials come one after another
        seconds += estimate(left, processes=at_once).seconds if left else 0.0
    count = sum(map(len, runs))
    guess = f"about {duration(seconds)}, a rough guess" if count else "nothing is left to do"
    typer.echo(f"{count:,} run{'s'[: count != 1]} to go on training prompts alone: {guess}")


def _tell_trial(search: Search, trial: Trial, best: Trial | None) -> None:
    options = ", ".join(f"{name}={_shown(value)}" for name, value in trial.options.items()) or "its defaults"
    outcome = f"FAILED: {trial.error}" if trial.value is None else f"{trial.value:.3f}"
    leader = "" if best is None or best.number == trial.number else f" (best {best.value:.3f}, trial {best.number})"
    typer.echo(
        f"[{trial.number + 1}/{search.trials}] {search.agent}: {outcome}{leader}, {trial.seconds:.0f} s: {options}"
    )


def _tell_best(tuned: Tuned) -> None:
    search, best = tuned.search, tuned.best
    if best is None or tuned.file is None:
        typer.echo(
            f"{search.agent}: all {len(tuned.trials)} trials failed; the first: {tuned.trials[0].error}", err=True
        )
        return
    first = tuned.trials[0]
    before = "its defaults failed" if first.value is None else f"its defaults {first.value:.3f}"
    spent = sum(trial.steps for trial in tuned.trials), sum(trial.reward_calls for trial in tuned.trials)
    options = ", ".join(f"{name}={_shown(value)}" for name, value in best.options.items()) or "its defaults"
    typer.echo(f"{search.agent}: best {best.value:.3f} (trial {best.number}), {before}: {options}")
    typer.echo(f"  budget: {search}; {spent[0]:,} tokens and {spent[1]:,} reward calls were spent")
    typer.echo(f"  use it: textgym bench run --config {search.agent}={tuned.file}")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
