"""The records of a comparison: what to run, what was measured, what a run gave; all of it JSON."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from textgym.factory import EnvFactory

from .kept_texts import Text

PROTOCOL = 1
"""Raised when runs are made, measured or recorded in another way, so that their numbers cannot be compared."""

COSTS = ("train_seconds", "evaluation_seconds", "cpu_seconds", "gpu_seconds", "peak_memory_bytes")
"""The fields of a record that differ when the same run is repeated."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PACKAGES = ("textgym", "gymnasium", "numpy", "torch", "stable-baselines3", "sb3-contrib", "transformers")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """What to run.

    Attributes:
        agent: A name of :data:`textgym.agents.registry.AGENTS`.
        env_id: The environment.
        steps: Tokens that the agent may write in training.
        seed: The run's seed; the seeds of agent and evaluation are spawned from it.
        config: Arguments of the agent.
        env: Arguments of the environment.
        episodes: Texts of each evaluation.
        label: What the report calls the agent; its name by default.
        reward_calls: Texts that the reward model may score in training; None for no limit.
        facts: What decides the result besides, as :func:`textgym.benchmarks.run_keys.seal` notes it: sources,
            versions, defaults.
        held_out: Whether the agent is also evaluated on held-out prompts; where it is tuned, it is not.
        tuning: With which budget the config was found, as :mod:`textgym.benchmarks.tuning` writes it; empty if nobody
            searched. It decides nothing.
    """

    agent: str
    env_id: str
    steps: int
    seed: int
    config: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 200
    label: str = ""
    reward_calls: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    held_out: bool = True
    tuning: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.agent)

    def parts(self) -> dict[str, Any]:
        """All that decides the result, as JSON holds it."""
        parts = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in ("label", "tuning")}
        if self.held_out:
            del parts["held_out"]  # so that keys are what they were before there was a choice
        found: dict[str, Any] = json.loads(json.dumps(parts, default=describe_object))
        return found

    @cached_property
    def key(self) -> str:
        """Tells runs apart: a hash of all that decides the result, which the label does not."""
        return sha256(json.dumps(self.parts(), sort_keys=True).encode()).hexdigest()

    @cached_property
    def environment(self) -> str:
        """Names the environment with its arguments; runs with the same name are averaged."""
        arguments = ", ".join(f"{name}={value}" for name, value in sorted(self.env.items()))
        return f"{self.env_id}({arguments})" if arguments else self.env_id

    @property
    def folder_name(self) -> str:
        """A name for the run's folder, readable and different for different keys."""
        label = "".join(letter if letter.isalnum() else "-" for letter in self.label)
        return f"{label[-80:]}-seed{self.seed}-{self.key[:12]}"

    def factory(self) -> EnvFactory:
        """Makes the environments of this run."""
        return EnvFactory(self.env_id, dict(self.env))


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One cell of the table: what an agent earned, how it played, on which prompts, by which score.

    Attributes:
        play: "greedy" or "sampled".
        split: The split of the prompts.
        score: "reward" or "gold".
        mean: Mean over the texts.
        standard_error: Of that mean.
        normalized: On the scale from random play (0) to the best text (1); None where that is not known.
        n: Number of texts.
        impossible: A sentence if the mean is higher than anyone can earn, else None.
    """

    play: str
    split: str
    score: str
    mean: float
    standard_error: float
    normalized: float | None
    n: int
    impossible: str | None = None


@dataclass(kw_only=True)
class RunResult:
    """What a run gave; every field can be written as JSON.

    Attributes:
        spec: What was run.
        status: "ok", "failed" or "interrupted".
        task: Name of the task.
        level: Level of the task.
        training_split: The split that the agent was trained on.
        steps: Tokens that the agent wrote in training.
        episodes: Texts that it finished in training.
        reward_calls: Texts that the reward model scored in training.
        train_seconds: Wall time of training.
        evaluation_seconds: Wall time of all evaluations.
        cpu_seconds: Processor time of all threads.
        gpu_seconds: Wall time of a run that used a GPU, times the GPUs it saw; 0 without.
        gpu: The GPU's name; empty without.
        peak_memory_bytes: The most memory that the process has held; 0 where the system does not tell.
        measures: The evaluations.
        references: split -> score -> random, blind, best and which of them are inexact, where they are known.
        curve: About 50 points with steps, reward, gold (None without) and n, from training itself.
        tally: What an agent with ``tally()`` counted in the evaluations, such as answers that could not be read.
        texts: "start" and "end" of training, "greedy" and "held_out" from the evaluations.
        error: Why a run failed, in a sentence.
        trace: The traceback.
        failure: "error", "timeout", "memory", "budget" (it trained on when that was spent) or "died" (the process
            ended without a word); empty for a run that is ok.
        stage: Where it failed: "making the agent", "learn", "evaluation", "save" and so on.
        versions: Python and the packages that matter.
    """

    spec: RunSpec
    status: str = "failed"
    task: str = ""
    level: str = ""
    training_split: str = ""
    steps: int = 0
    episodes: int = 0
    reward_calls: int = 0
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    gpu: str = ""
    peak_memory_bytes: int = 0
    measures: list[Measure] = field(default_factory=list)
    references: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)
    tally: dict[str, int] = field(default_factory=dict)
    texts: dict[str, list[Text]] = field(default_factory=dict)
    error: str = ""
    trace: str = ""
    failure: str = ""
    stage: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def fail(self, error: BaseException, *, status: str = "failed", failure: str = "error", stage: str = "") -> None:
        """Turns this into the record of a failed or interrupted run."""
        self.status, self.failure, self.stage = status, failure, stage
        sentence = _ADDRESS.sub("", "".join(traceback.format_exception_only(error)).strip())
        self.error = (f"in {stage}: " if stage else "") + sentence[-2000:]
        self.trace = _ADDRESS.sub("", "".join(traceback.format_exception(error)))[-20_000:]

    def count(self, tally: Mapping[str, int]) -> None:
        """Adds what the agent counted in an evaluation."""
        self.tally |= {name: self.tally.get(name, 0) + int(count) for name, count in tally.items()}

    def without_costs(self) -> dict[str, Any]:
        """What must be the same whenever the run is repeated on the same machine."""
        return {name: value for name, value in json.loads(self.to_json()).items() if name not in COSTS}

    def measure(self, play: str, split: str, score: str) -> Measure | None:
        """The evaluation of that kind, or None."""
        wanted = (play, split, score)
        return next((m for m in self.measures if (m.play, m.split, m.score) == wanted), None)

    def to_json(self) -> str:
        """One line of JSON."""
        data = _shallow(self) | {"spec": _shallow(self.spec), "measures": [_shallow(item) for item in self.measures]}
        return json.dumps(data, default=describe_object, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> RunResult:
        """Reads :meth:`to_json`; fields of a later version are ignored.

        Raises:
            ValueError: if the line is not such a record.
        """
        try:
            data = _known(cls, json.loads(line))
            data["spec"] = RunSpec(**_known(RunSpec, data["spec"]))
            data["measures"] = [Measure(**_known(Measure, item)) for item in data.get("measures", [])]
            return cls(**data)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a record of a run: {error}") from error


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that matter, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe_object(value: Any) -> Any:
    """What JSON shows for an object that it cannot hold: "module:name" where it has a name."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    name = getattr(value, "__qualname__", None)
    return f"{value.__module__}:{name}" if name else _ADDRESS.sub("", repr(value))


def _known(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    names = _names(kind)
    return {name: value for name, value in data.items() if name in names}


def _shallow(item: Any) -> dict[str, Any]:
    """Field -> value; ``dataclasses.asdict`` would copy every text and point, which takes longer than writing them."""
    return {entry.name: getattr(item, entry.name) for entry in fields(item)}


@cache
def _names(kind: type) -> frozenset[str]:
    return frozenset(item.name for item in fields(kind))
