"""Tuning: a search for an agent's options within a budget that is stated before it starts.

A search makes trials; a trial is a comparison with one agent in a folder of its own, so that limits, records, resuming
and the key of a run are those of every comparison. Trial 0 is the agent with its defaults. Agents are judged by greedy
play on *training* prompts, gold where a task has it; held-out prompts are never shown to a search. Its seeds begin at
:data:`FIRST_SEED`, where no report's do, so that what is reported is not what was searched for.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from textgym import tasks as suite_tasks
from textgym.errors import ConfigurationError

from .comparison import compare
from .folder_lock import locked
from .limits import RunLimits
from .proposals import check_optuna, propose
from .records import RunSpec
from .run_files import move_aside
from .run_keys import ingredients
from .search_files import SEARCH, read_search, write_best, write_search
from .search_spaces import Space, describe, space_of
from .suites import Entry, Suite
from .trials import FAILED, RUNNING, Trial, best_of, judge

FIRST_SEED = 1_000_000
"""Seeds of a search are this and the following ones; a report's are 0, 1, 2 and so on."""

OnTrial = Callable[["Search", Trial, Trial | None], None]


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search for the options of one agent.

    Attributes:
        agent: A registered agent, or one's own as "module:Class".
        tasks: Names of the tasks.
        trials: How many sets of options are tried, the defaults included.
        steps: Tokens that each run may write in training; the reward model may score as many texts.
        level: Of all tasks.
        seeds: How many seeds each trial has on each task.
        episodes: Texts of each evaluation.
        seed: Of the proposals.

    Raises:
        UnknownNameError: for an agent, a task or a level that there is not.
        ConfigurationError: for numbers that make no search, or an agent without a search space.
    """

    agent: str
    tasks: tuple[str, ...]
    trials: int
    steps: int
    level: str = "easy"
    seeds: int = 1
    episodes: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"trials": 1, "steps": 1, "seeds": 1, "episodes": 1, "seed": 0}.items():
            if getattr(self, name) < least:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected a whole number of at least {least}")
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ConfigurationError(f"tasks={list(self.tasks)!r}: expected at least one, each once")
        for name in self.tasks:
            suite_tasks.get(name, self.level)
        _ = self.space

    @cached_property
    def space(self) -> Space:
        """Where the options are searched."""
        return space_of(self.agent)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds of every trial."""
        return tuple(range(FIRST_SEED, FIRST_SEED + self.seeds))

    @property
    def folder_name(self) -> str:
        """A name for the search's folder."""
        return "".join(letter if letter.isalnum() or letter in "_-." else "-" for letter in self.agent)

    @property
    def tokens(self) -> int:
        """What all trials together may write; they may ask the reward model as often."""
        return self.trials * self.steps * len(self.tasks) * self.seeds

    def plan(self) -> dict[str, Any]:
        """What must stay the same for a search to go on; more trials may be asked for at any time."""
        return {
            "agent": self.agent,
            "tasks": list(self.tasks),
            "level": self.level,
            "steps": self.steps,
            "seeds": list(self.all_seeds),
            "episodes": self.episodes,
            "seed": self.seed,
            "space": describe(self.space),
        }

    def suite(self, options: Mapping[str, Any], number: int) -> Suite:
        """A trial as a comparison with one agent."""
        return Suite(
            name=f"trial-{number}",
            title=f"Trial {number} of {self.agent}",
            entries=tuple(self._entry(name, options) for name in self.tasks),
            seeds=self.all_seeds,
            episodes=self.episodes,
            held_out=False,
        )

    def _entry(self, task: str, options: Mapping[str, Any]) -> Entry:
        known = task in suite_tasks.TASKS
        return Entry(
            agent=self.agent,
            steps=self.steps,
            reward_calls=self.steps,
            config=options,
            env_id=f"TextGen/{task}-v0" if known else "TextGen-v0",
            env={"level": self.level} if known else {"task": task, "level": self.level},
        )

    def __str__(self) -> str:
        runs = f"{_many(len(self.tasks), 'task')} x {_many(self.seeds, 'seed')}"
        return (
            f"{self.agent}: {_many(self.trials, 'trial')} x {self.steps:,} steps x {runs} = {self.tokens:,} tokens, "
            f"at most {self.tokens:,} reward calls"
        )


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What a search has found.

    Attributes:
        search: What was searched.
        trials: Every trial, in order.
        best: The best one, the earliest of equals; None if all failed.
        file: The best config with its budget; None if all failed.
    """

    search: Search
    trials: tuple[Trial, ...]
    best: Trial | None
    file: Path | None


def tune(
    search: Search,
    out: Path | str,
    *,
    processes: int | None = None,
    limits: RunLimits | None = None,
    resume: bool = True,
    on_trial: OnTrial | None = None,
) -> Tuned:
    """Makes the trials of a search, or those that are left; what is finished stays, whatever happens.

    Args:
        search: What to search.
        out: Folder of searches; this one has a folder in it, named after the agent.
        processes: Runs at a time, by default one a core; 0 makes all in this process.
        limits: What each run may use; they need worker processes.
        resume: Go on with the search that is there. Else its folder is given another name.
        on_trial: Told of each trial that is finished, and of the best so far.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the workers are ended; the trial at work is made again by the next start.
        MissingDependencyError: without Optuna.
        ConfigurationError: for a folder in use, with another search, or with more trials.
    """
    check_optuna()
    folder = Path(out) / search.folder_name
    if not resume:
        start_anew(search, out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the folder {str(folder)!r} cannot be made: {error.strerror or error}") from None
    with locked(folder):
        trials = trials_so_far(search, out)
        for number in range(search.trials):
            options = trials[number].options if number < len(trials) else _propose(search, trials)
            trial = Trial(number=number, options=options)
            known = number < len(trials) and trials[number].state != RUNNING
            if not known:
                trials[number:] = [trial]
                write_search(folder, search.plan(), trials)
            results = compare(search.suite(options, number), folder / trial.folder, processes=processes, limits=limits)
            trials[number] = judge(trial, results)
            if not known:
                write_search(folder, search.plan(), trials)
                if on_trial is not None:
                    on_trial(search, trials[number], best_of(trials))
        best = best_of(trials)
        file = write_best(folder, search.agent, best, tuning_record(search, trials)) if best else None
    return Tuned(search=search, trials=tuple(trials), best=best, file=file)


def start_anew(search: Search, out: Path | str) -> Path | None:
    """Gives the folder of a search another name, which is returned; nothing is ever deleted.

    Raises:
        ConfigurationError: if another process is at work there, or the folder holds something else.
    """
    folder = Path(out) / search.folder_name
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    if not (folder / SEARCH).is_file():
        raise ConfigurationError(f"{str(folder)!r} is no folder of a search; give another one with --out")
    with locked(folder):
        pass
    return move_aside(folder)


def trials_so_far(search: Search, out: Path | str) -> list[Trial]:
    """The trials of a search that were begun earlier, in order.

    Raises:
        ConfigurationError: if the folder holds another search, or more trials than this one is to have: agents are
            compared by what they were given, so that a budget cannot shrink afterwards.
    """
    folder = Path(out) / search.folder_name
    trials = read_search(folder, search.plan())
    if len(trials) > search.trials:
        raise ConfigurationError(
            f"trials={search.trials}: {str(folder)!r} holds {len(trials)} already; ask for at least as many, or pass "
            "--new to move them aside"
        )
    return trials


def trials_left(search: Search, out: Path | str) -> list[RunSpec]:
    """The runs of the trials that are not finished, as far as they are known: with the agent's defaults.

    Raises:
        ConfigurationError: as :func:`trials_so_far`.
    """
    done = sum(trial.state != RUNNING for trial in trials_so_far(search, out))
    return [spec for number in range(done, search.trials) for spec in search.suite({}, number).specs()]


def tuning_record(search: Search, trials: Sequence[Trial]) -> dict[str, Any]:
    """With which budget the best options were found, as reports tell it."""
    made, best = len(trials), best_of(trials)
    tokens = made * search.steps * len(search.tasks) * search.seeds
    return {
        "trials": made,
        "failed": sum(trial.state == FAILED for trial in trials),
        "steps": search.steps,
        "tasks": list(search.tasks),
        "level": search.level,
        "seeds": list(search.all_seeds),
        "tokens": tokens,
        "reward_calls": tokens,
        "tokens_spent": sum(trial.steps for trial in trials),
        "reward_calls_spent": sum(trial.reward_calls for trial in trials),
        "seconds": round(sum(trial.seconds for trial in trials), 1),
        "score": None if best is None else best.value,
        "default_score": trials[0].value,
        "prompts": "training",
        "optuna": importlib.metadata.version("optuna"),
    }


def _propose(search: Search, trials: Sequence[Trial]) -> dict[str, Any]:
    if not trials:
        return {}  # the defaults, so that what is found is never worse than these
    defaults = _defaults(search)
    tried = [({**defaults, **trial.options}, trial.value) for trial in trials]
    return propose(search.space, tried, seed=search.seed)


def _defaults(search: Search) -> Mapping[str, Any]:
    """The agent's own options where they are known; of an agent of one's own they are not."""
    (spec, *_) = search.suite({}, 0).specs()
    found: Mapping[str, Any] = ingredients(spec)["agent_config"]
    return found


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s'[: count != 1]}"
