"""Which library works with which observations, autoreset mode and masks: tried, and not remembered.

``textgym bench compatibility`` runs every probe and prints the table. What is claimed to work stands here as data, so
that a claim that no longer holds is found by the same command (``--check``).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from platform import python_version, system

from textgym.errors import MissingDependencyError

from .compatibility_probes import (
    describe_error,
    probe_maskable,
    probe_metered,
    probe_minari,
    probe_rllib,
    probe_sb3,
    probe_sb3_native,
    probe_single,
    probe_sync,
    probe_torchrl,
    probe_torchrl_masked,
    probe_trl,
    probe_vector,
)

FORMATS = ("tokens", "dict", "one_hot", "text")
WORKS, NOT_HERE, NOT_TRIED = "works", "not installed", "–"
_ALL, _ARRAYS = FORMATS, FORMATS[:3]


@dataclass(frozen=True)
class Use:
    """One way in which a library uses textgym.

    Attributes:
        package: The distribution, as pip knows it.
        what: What is used of it.
        autoreset: The mode of the vector environment; "–" for single environments.
        masks: Whether illegal tokens are never chosen.
        formats: The observations with which it is claimed to work.
        probe: Tries it with one of them.
    """

    package: str
    what: str
    autoreset: str
    masks: bool
    formats: tuple[str, ...]
    probe: Callable[[str], None]


USES: tuple[Use, ...] = (
    Use("gymnasium", "`gym.make`, `check_env`", "–", True, _ALL, probe_single),
    Use("gymnasium", "`gym.make_vec`, native", "NextStep", True, _ALL, probe_vector("NextStep")),
    Use("gymnasium", "`gym.make_vec`, native", "SameStep", True, _ALL, probe_vector("SameStep")),
    Use("gymnasium", "`gym.make_vec`, native", "Disabled", True, _ALL, probe_vector("Disabled")),
    Use("gymnasium", "`SyncVectorEnv`", "NextStep", False, _ALL, probe_sync),
    Use("textgym", "`textgym train`, benchmarks", "SameStep", True, _ALL, probe_metered),
    Use("stable-baselines3", "PPO, plain", "–", False, _ARRAYS, probe_sb3("PPO")),
    Use("stable-baselines3", "DQN, plain", "–", False, _ARRAYS, probe_sb3("DQN")),
    Use("stable-baselines3", "PPO over `NativeVecEnv`", "SameStep", False, _ARRAYS, probe_sb3_native),
    Use("sb3-contrib", "MaskablePPO over `NativeVecEnv`", "SameStep", True, _ARRAYS, probe_maskable),
    Use("torchrl", "`GymWrapper`", "–", False, _ARRAYS, probe_torchrl),
    Use("torchrl", "`make_env` (masked)", "SameStep", True, ("dict",), probe_torchrl_masked),
    Use("ray", "RLlib: PPO's environment runner (masked)", "NextStep", True, ("dict",), probe_rllib),
    Use("trl", "`reward_function`, from token ids", "–", True, ("tokens",), probe_trl),
    Use("minari", "`textgym record`", "Disabled", True, _ALL, probe_minari),
)


@dataclass(frozen=True)
class Outcome:
    """What became of one use.

    Attributes:
        use: Which.
        version: Of the package; empty where it is not installed.
        cells: Format -> "works", "–" where it is not claimed, or what went wrong.
    """

    use: Use
    version: str
    cells: dict[str, str]

    @property
    def broken(self) -> list[str]:
        """A sentence for each claim that does not hold."""
        wrong = ((name, cell) for name, cell in self.cells.items() if cell not in (WORKS, NOT_HERE, NOT_TRIED))
        return [f"{self.use.package} {self.version}, {self.use.what}, {name}: {cell}" for name, cell in wrong]


def try_all(uses: Iterable[Use] = USES) -> Iterator[Outcome]:
    """Tries each use with each format that it claims, and yields what became of it."""
    for use in uses:
        try:
            found = version(use.package)
        except PackageNotFoundError:
            yield Outcome(use, "", {name: NOT_HERE if name in use.formats else NOT_TRIED for name in FORMATS})
            continue
        cells = {name: _try(use, name) if name in use.formats else NOT_TRIED for name in FORMATS}
        yield Outcome(use, found, cells)


def _try(use: Use, observation: str) -> str:
    try:
        with _quiet():
            use.probe(observation)
    except MissingDependencyError:  # of something else that the use needs
        return NOT_HERE
    except Exception as error:
        return f"{type(error).__name__}: {describe_error(error)}"
    return WORKS


@contextmanager
def _quiet() -> Iterator[None]:
    """Other libraries greet, warn and log; only errors count here."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def table_name() -> str:
    """The name of this table in a page: one for each version of Gymnasium."""
    return f"compatibility with gymnasium {version('gymnasium')}"


def markdown(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The table, with versions and the day below."""
    yield f"| Library | What | Autoreset | Masks | {' | '.join(f'`{name}`' for name in FORMATS)} |"
    yield f"| --- | --- | --- | --- |{' --- |' * len(FORMATS)}"
    for outcome in outcomes:
        use = outcome.use
        masks = "yes" if use.masks else "no"
        cells = " | ".join(outcome.cells[name] for name in FORMATS)
        yield f"| {use.package} {outcome.version} | {use.what} | {use.autoreset} | {masks} | {cells} |"
    yield ""
    yield f"Tried on {date.today():%d %B %Y} with Python {python_version()} on {system()}."
