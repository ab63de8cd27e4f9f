"""What a plan will cost, said before anything starts: runs, tokens, reward calls, time and disk.

Agents that have finished runs in the folder are judged by these; others by what reference agents typically need,
scaled by how fast this machine is at this moment, which a calibration of a fraction of a second says. What networks
need grows with the environment: their input is a one-hot code of the observation, their output the vocabulary.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from textgym.agents.registry import make_agent
from textgym.factory import EnvFactory

from .ledger import Ledger
from .machine import available_cores
from .records import RunResult, RunSpec, describe_object

START_SECONDS = 2.0  # of a process, with the imports that all runs share
CALIBRATION_STEPS, CALIBRATION_SECONDS = (
    16_384,
    0.12,
)  # of the table, on an idle core of the machine of the figures below
_MEGABYTE = 1_000_000
_BASIS = "a rough guess: typical times by the size of each environment, and a short calibration"


@dataclass(frozen=True)
class Typical:
    """What an agent typically needs on an idle core.

    Attributes:
        fixed: Seconds of each run, whatever its budget: imports, demonstrations, evaluation.
        seconds: Of training, for 100,000 tokens in the smallest environment.
        megabytes: Of a run's folder.
        inputs: Seconds more for 100,000 tokens and 1,000 inputs: positions of the observation times tokens that may
            stand there.
        outputs: Seconds more for 100,000 tokens and 1,000 tokens of the vocabulary.
    """

    fixed: float
    seconds: float
    megabytes: float
    inputs: float = 0.0
    outputs: float = 0.0

    def training(self, size: Size) -> float:
        """Seconds for 100,000 tokens in an environment of this size."""
        return self.seconds + (self.inputs * size.inputs + self.outputs * size.outputs) / 1000


@dataclass(frozen=True)
class Size:
    """What decides how long a step of a network takes.

    Attributes:
        inputs: Positions of an observation times the tokens that may stand there.
        outputs: Tokens of the vocabulary.
    """

    inputs: int = 200
    outputs: int = 20


_NETWORK = Typical(4.0, 8.0, 0.5, inputs=10.5, outputs=12.0)
_LANGUAGE_MODEL = Typical(30.0, 35.0, 1.5)
TYPICAL: Mapping[str, Typical] = {
    "uniform": Typical(0.5, 0.2, 0.1, outputs=1.0),
    "q_learning": Typical(0.5, 0.6, 0.2, inputs=0.25, outputs=1.5),
    "a2c": Typical(4.0, 2.5, 0.5, inputs=3.5, outputs=10.0),
    "ppo": _NETWORK,
    "maskable_ppo": _NETWORK,
    "dqn": Typical(4.0, 17.0, 0.5, inputs=20.0, outputs=12.0),
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
        steps = f"{self.steps:,} step{'s'[: self.steps != 1]} (= tokens)"
        return (
            f"planned: {self.runs:,} run{'s'[: self.runs != 1]}, {steps}{calls}; "
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
    left, earlier = list(specs), list(earlier)
    known = measured(earlier)
    sizes = {label: _size(runs, folder) for label, runs in _by_label(earlier).items()}
    typical = {spec.label for spec in left} - known.keys()
    if slowness is None:
        slowness = measure_slowness() if typical else 1.0
    seconds = [known[spec.label].seconds(spec) if spec.label in known else guess(spec) * slowness for spec in left]
    calls = [spec.reward_calls for spec in left if spec.reward_calls is not None]
    return Cost(
        runs=len(left),
        steps=sum(spec.steps for spec in left),
        reward_calls=sum(calls) if calls and len(calls) == len(left) else None,
        seconds=max([sum(seconds) / max(1, processes), *seconds]),
        megabytes=sum(sizes.get(spec.label) or typical_of(spec.agent).megabytes for spec in left),
        basis="by the runs in this folder" if not typical else _BASIS,
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


@dataclass(frozen=True)
class Measured:
    """What an agent needed in runs that are finished.

    Attributes:
        fixed: Seconds of a run besides its training.
        factor: Seconds of training, as a multiple of what is typical.
    """

    fixed: float
    factor: float

    def seconds(self, spec: RunSpec) -> float:
        """What a run of that agent will take."""
        return self.fixed + self.factor * _training(spec)


def measured(runs: Iterable[RunResult]) -> dict[str, Measured]:
    """Agent -> what it needed in those of the runs that did not fail; agents without any are missing."""
    found = {}
    for label, own in _by_label(runs).items():
        training, evaluation = (sum(getattr(run, f"{part}_seconds") for run in own) for part in ("train", "evaluation"))
        usual = sum(_training(run.spec) * run.steps / run.spec.steps for run in own)
        # Who spends no steps, or typically no time on them, has its training counted with what is fixed.
        fixed = evaluation / len(own) if usual else (training + evaluation) / len(own)
        found[label] = Measured(START_SECONDS + fixed, training / usual if usual else 0.0)
    return found


def guess(spec: RunSpec) -> float:
    """Seconds that a run typically takes on the reference machine."""
    return START_SECONDS + typical_of(spec.agent).fixed + _training(spec)


def typical_of(agent: str) -> Typical:
    """What an agent typically needs; one of one's own, as if it were a small network."""
    return TYPICAL.get(agent, _NETWORK)


def _training(spec: RunSpec) -> float:
    typical = typical_of(spec.agent)
    sized = typical.inputs or typical.outputs
    return typical.training(size_of(spec) if sized else Size()) * spec.steps / 100_000


def size_of(spec: RunSpec) -> Size:
    """The size of a run's environment; a small one where it cannot be made, since that run will fail."""
    name = (spec.env_id, json.dumps(dict(spec.env), sort_keys=True, default=describe_object))
    if name not in _SIZES:
        _SIZES[name] = _measure_size(spec)
    return _SIZES[name]


_SIZES: dict[tuple[str, str], Size] = {}


def _measure_size(spec: RunSpec) -> Size:
    try:
        task = spec.factory().task()
        outputs, positions = task.tokenizer.vocab_size, task.prompts.width + task.budget
    except Exception:  # whatever a task of one's own does
        return Size()
    return Size(inputs=outputs * positions, outputs=outputs)


def _by_label(runs: Iterable[RunResult]) -> dict[str, list[RunResult]]:
    found: dict[str, list[RunResult]] = {}
    for run in runs:
        if run.status == "ok":
            found.setdefault(run.spec.label, []).append(run)
    return found


def _size(runs: Sequence[RunResult], folder: Path | None) -> float:
    """Megabytes of a run's folder: of the latest that is there."""
    places = () if folder is None else (folder / run.spec.folder_name for run in reversed(runs))
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        return typical_of(runs[0].spec.agent).megabytes
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / _MEGABYTE
