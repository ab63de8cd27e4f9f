"""The records of a comparison: what to run, what was measured, what a run gave; all of it JSON."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from textgym.factory import EnvFactory

from .meter import Text

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
    """

    agent: str
    env_id: str
    steps: int
    seed: int
    config: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 200
    label: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.agent)

    @property
    def key(self) -> str:
        """Tells runs apart: two specs with the same key are the same run, whatever their label."""
        parts = {name: value for name, value in asdict(self).items() if name != "label"}
        return json.dumps(parts, sort_keys=True, default=describe_object)

    @property
    def folder_name(self) -> str:
        """A name for the run's folder, readable and different for different keys."""
        label = "".join(letter if letter.isalnum() else "-" for letter in self.label)
        return f"{label}-seed{self.seed}-{sha256(self.key.encode()).hexdigest()[:8]}"

    def factory(self) -> EnvFactory:
        """Makes the environments of this run."""
        return EnvFactory(self.env_id, dict(self.env))


@dataclass(frozen=True, kw_only=True)
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
        measures: The evaluations.
        references: split -> score -> random, blind, best and which of them are inexact, where they are known.
        curve: About 50 points with steps, reward, gold (None without) and n, from training itself.
        texts: "start" and "end" of training, "greedy" and "held_out" from the evaluations.
        error: Last line of the exception of a failed run.
        trace: Its traceback.
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
    measures: list[Measure] = field(default_factory=list)
    references: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)
    texts: dict[str, list[Text]] = field(default_factory=dict)
    error: str = ""
    trace: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def fail(self, error: BaseException, *, status: str = "failed") -> None:
        """Turns this into the record of a failed or interrupted run."""
        self.status = status
        self.error = "".join(traceback.format_exception_only(error)).strip()[-2000:]
        self.trace = "".join(traceback.format_exception(error))[-20_000:]

    def measure(self, play: str, split: str, score: str) -> Measure | None:
        """The evaluation of that kind, or None."""
        wanted = (play, split, score)
        return next((m for m in self.measures if (m.play, m.split, m.score) == wanted), None)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), default=describe_object, ensure_ascii=False, allow_nan=False)

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
    return f"{value.__module__}:{name}" if name else repr(value)


def _known(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    names = {item.name for item in fields(kind)}
    return {name: value for name, value in data.items() if name in names}
