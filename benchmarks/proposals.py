"""Proposals: what a search tries next, by the tree-structured Parzen estimator of Optuna.

A proposal is a function of the search space, the trials so far and a seed, and of nothing else: no generator is carried
from one trial to the next. So a search that was killed and goes on proposes what an undisturbed one would have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from textgym.errors import missing_dependency
from textgym.keys import spawn_seed

from .search_spaces import Choice, Range, Space

RANDOM_TRIALS = 8
"""Trials drawn at random before the estimator is asked."""

Tried = tuple[Mapping[str, Any], float | None]
"""Options of a trial and what it earned; None where it failed."""


def check_optuna() -> None:
    """Says how to install Optuna where it is missing.

    Raises:
        MissingDependencyError: with the line for pip.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise missing_dependency(error.name or "optuna", "tune", "textgym bench tune") from error


def propose(space: Space, tried: Sequence[Tried], *, seed: int) -> dict[str, Any]:
    """The options of the next trial.

    Args:
        space: Where to search.
        tried: The trials so far, in order; the number of the next one is theirs.
        seed: Of the search.

    Raises:
        MissingDependencyError: without Optuna.
    """
    check_optuna()
    import optuna

    distributions = {name: _distribution(option) for name, option in space.items()}
    sampler = optuna.samplers.TPESampler(
        seed=spawn_seed(seed, "trial", str(len(tried))), n_startup_trials=RANDOM_TRIALS
    )
    with _quiet():
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for options, value in tried:
            study.add_trial(_frozen(space, distributions, options, value))
        asked = study.ask(distributions).params
    return {name: _value(space[name], asked[name]) for name in space}


def study_of(space: Space, tried: Sequence[Tried]) -> Any:
    """The trials as an ``optuna.Study``, for Optuna's own analyses and pictures.

    Raises:
        MissingDependencyError: without Optuna.
    """
    check_optuna()
    import optuna

    distributions = {name: _distribution(option) for name, option in space.items()}
    with _quiet():
        study = optuna.create_study(direction="maximize")
        study.add_trials([_frozen(space, distributions, options, value) for options, value in tried])
    return study


def _distribution(option: Range | Choice) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(option, Choice):
        return CategoricalDistribution([json.dumps(value) for value in option.values])
    kind: Any = IntDistribution if option.is_whole else FloatDistribution
    return kind(option.low, option.high, log=option.log)


def _value(option: Range | Choice, asked: Any) -> Any:
    return json.loads(asked) if isinstance(option, Choice) else asked


def _frozen(space: Space, distributions: Mapping[str, Any], options: Mapping[str, Any], value: float | None) -> Any:
    """A trial as Optuna has it; options outside the space are not told."""
    import optuna

    inside = [name for name, option in space.items() if name in options and option.holds(options[name])]
    shown = {name: json.dumps(options[name]) if isinstance(space[name], Choice) else options[name] for name in inside}
    state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=state, value=value, params=shown, distributions={name: distributions[name] for name in inside}
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Optuna from telling of every study on standard error."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
