"""What a plan will cost, said before anything starts: runs, tokens, reward calls, time and disk.

Agents that have finished runs in the folder are judged by these; others by what reference agents typically need,
scaled by how fast this machine is at this moment, which a calibration of a fraction of a second says.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from textgym.agents.registry import make_agent
from textgym.factory import EnvFactory

from .ledger import Ledger
from .machine import available_cores
from .records import RunResult, RunSpec

START_SECONDS = 2.0  # of a process, with the imports that all runs share
CALIBRATION_STEPS, CALIBRATION_SECONDS = (
    16_384,
    0.12,
)  # of the table, on an idle core of the machine of the figures below
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Typical:
    """What an agent typically needs on an idle core.

    Attributes:
        fixed: Seconds of each run, whatever its budget: imports, demonstrations, evaluation.
        seconds: Of training, for 100,000 tokens.
        megabytes: Of a run's folder.
    """

    fixed: float
    seconds: float
    megabytes: float


_NETWORK, _LANGUAGE_MODEL = Typical(4.0, 8.0, 0.5), Typical(30.0, 35.0, 1.5)
TYPICAL: Mapping[str, Typical] = {
    "uniform": Typical(0.5, 0.2, 0.1),
    "q_learning": Typical(0.5, 0.6, 0.2),
    "a2c": Typical(4.0, 4.0, 0.5),
    "ppo": _NETWORK,
    "maskable_ppo": _NETWORK,
    "dqn": Typical(4.0, 14.0, 0.5),
    **dict.fromkeys(("frozen_lm", "sft", "best_of_n", "beam"), Typical(30.0, 0.0, 1.5)),
    **dict.fromkeys(("reinforce", "rloo", "grpo", "lm_ppo", "dpo"), _LANGUAGE_MODEL),
}


@dataclass(frozen=True)
class Cost:
    """What the runs that are left will cost.

    Attributes:
        runs: How many there are.
        steps: Tokens that they may write in training, all together.
        reward_calls: Texts that the reward model may score; None if that has no limit anywhere.
        seconds: Wall time, with as many processes as were said; an estimate.
        megabytes: On disk; an estimate.
        basis: What the time was estimated from.
    """

    runs: int
    steps: int
    reward_calls: int | None
    seconds: float
    megabytes: float
    basis: str

    def __str__(self) -> str:
        calls = "" if self.reward_calls is None else f", at most {self.reward_calls:,} reward calls"
        return (
            f"planned: {self.runs:,} run{'s'[: self.runs != 1]}, {self.steps:,} steps (= tokens){calls}; "
            f"about {duration(self.seconds)} ({self.basis}), {max(1, round(self.megabytes)):,} MB on disk"
        )


def cost_of_rest(ledger: Ledger, processes: int | None = None) -> Cost:
    """What is left to run of a comparison will cost.

    Args:
        ledger: Of the comparison, before it starts.
        processes: Runs at a time, by default one a core.
    """
    left = [spec for spec in ledger.specs if spec.key not in ledger.results]
    runs = available_cores() if processes is None else processes
    return estimate(left, processes=runs, earlier=ledger.results.values(), folder=ledger.out)


def estimate(
    specs: Iterable[RunSpec],
    *,
    processes: int,
    earlier: Iterable[RunResult] = (),
    folder: Path | None = None,
    slowness: float | None = None,
) -> Cost:
    """What these runs will cost.

    Args:
        specs: The runs that are left.
        processes: Runs at a time; 0 counts as one.
        earlier: Finished runs to judge by.
        folder: Of the comparison, where the folders of earlier runs say how large they are.
        slowness: How many times slower than the reference machine this one is; by default it is measured.
    """
    left = list(specs)
    known = _measured(earlier, folder)
    typical = sorted({spec.label for spec in left} - known.keys())
    if slowness is None:
        slowness = measure_slowness() if typical else 1.0
    needs = {spec.label: known.get(spec.label) or _typical(spec.agent, slowness) for spec in left}
    seconds = [needs[spec.label].fixed + needs[spec.label].seconds * spec.steps / 100_000 for spec in left]
    calls = [spec.reward_calls for spec in left if spec.reward_calls is not None]
    return Cost(
        runs=len(left),
        steps=sum(spec.steps for spec in left),
        reward_calls=sum(calls) if calls and len(calls) == len(left) else None,
        seconds=max([sum(seconds) / max(1, processes), *seconds]),
        megabytes=sum(needs[spec.label].megabytes for spec in left),
        basis="by the runs in this folder" if not typical else "a rough guess from a short calibration",
    )


def measure_slowness() -> float:
    """How many times slower than the reference machine this one is now: a table learns the tiny level, three times."""
    envs, times = EnvFactory("TextGen-v0", {"level": "tiny"}), []
    for _ in range(3):
        agent = make_agent("q_learning")
        start = time.perf_counter()
        agent.learn(envs, CALIBRATION_STEPS)
        times.append(time.perf_counter() - start)
    return min(times) / CALIBRATION_SECONDS


def duration(seconds: float) -> str:
    """A time as people say it.

    Example:
        >>> duration(42), duration(600), duration(9000)
        ('1 min', '10 min', '2.5 h')
    """
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


def _typical(agent: str, slowness: float) -> Typical:
    found = TYPICAL.get(agent, _NETWORK)  # an agent of one's own: as if it were a small network
    return Typical((found.fixed + START_SECONDS) * slowness, found.seconds * slowness, found.megabytes)


def _measured(earlier: Iterable[RunResult], folder: Path | None) -> dict[str, Typical]:
    runs: dict[str, list[RunResult]] = {}
    for result in earlier:
        if result.status == "ok":
            runs.setdefault(result.spec.label, []).append(result)
    return {label: _need(found, folder) for label, found in runs.items()}


def _need(runs: Sequence[RunResult], folder: Path | None) -> Typical:
    """What runs of one agent needed; those that spent little say more of what is fixed."""
    steps = sum(run.steps for run in runs)
    training, evaluation = (sum(getattr(run, f"{part}_seconds") for run in runs) for part in ("train", "evaluation"))
    if not steps:
        return Typical(START_SECONDS + (training + evaluation) / len(runs), 0.0, _size(runs, folder))
    return Typical(START_SECONDS + evaluation / len(runs), training / steps * 100_000, _size(runs, folder))


def _size(runs: Sequence[RunResult], folder: Path | None) -> float:
    """Megabytes of a run's folder: of the latest that is there."""
    places = () if folder is None else (folder / run.spec.folder_name for run in reversed(runs))
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        return TYPICAL.get(runs[0].spec.agent, _NETWORK).megabytes
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / _MEGABYTE
