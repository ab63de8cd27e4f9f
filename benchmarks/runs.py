"""One run: an agent trained on one environment from one seed, evaluated, recorded and saved.

A run never raises because of what it runs. A crash, a NaN or an exception makes it a failed run, which is
recorded and counted like any other.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.agents.base import CARD
from textgym.agents.registry import agent_class
from textgym.atomic import write_whole
from textgym.errors import BudgetSpent, ConfigurationError, RewardError, TaskError
from textgym.evaluation import Evaluation, evaluate
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.scales import standard_error
from textgym.task import Task

from .kept_texts import Text
from .limits import limited_memory
from .machine import CostClock, used_gpu
from .meter import BudgetOverrunError, Meter
from .metering import MeteredFactory
from .records import Measure, RunResult, RunSpec, versions
from .run_files import AGENT, begin, publish, write_run

OnProgress = Callable[[int], None]
_SHOWN_TEXTS = 12  # different texts kept of a greedy evaluation


def run(spec: RunSpec, folder: Path, *, on_progress: OnProgress | None = None) -> RunResult:
    """Trains, evaluates and saves one agent.

    The folder appears when all is in it; :mod:`textgym.benchmarks.run_files` says what that is.

    Args:
        spec: What to run.
        folder: Where; made if missing.
        on_progress: Called with the steps spent so far, about 100 times.

    Returns:
        The record, with status "failed" if anything went wrong.

    Raises:
        KeyboardInterrupt: after the interrupted run is recorded.
    """
    partial = begin(folder)
    try:
        return run_in(partial, spec, on_progress=on_progress)
    finally:
        publish(partial, folder)


def run_in(
    partial: Path,
    spec: RunSpec,
    *,
    on_progress: OnProgress | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_stubborn: Callable[[], None] | None = None,
    memory_bytes: int | None = None,
) -> RunResult:
    """As :func:`run`, in a folder that is there, and within a limit of memory.

    Args:
        partial: A folder that :func:`textgym.benchmarks.run_files.begin` made.
        spec: What to run.
        on_progress: Called with the steps spent so far.
        on_stage: Called with what begins: "making the environment", "making the agent", "learn", "evaluation", "save".
        on_stubborn: Called if the agent swallows everything that tells it to stop; it must end the process.
        memory_bytes: Memory that this process may ask for meanwhile.
    """
    meter = Meter(spec.steps, reward_calls=spec.reward_calls, on_progress=on_progress, on_stubborn=on_stubborn)
    attempt = _Attempt(RunResult(spec=spec, versions=versions()), meter, partial, on_stage)
    result = attempt.result
    try:
        with limited_memory(memory_bytes):
            attempt.make()
        result.status = "ok"
    except KeyboardInterrupt as interrupt:
        result.fail(interrupt, status="interrupted", stage=attempt.stage)
        raise
    except (Exception, SystemExit, BudgetOverrunError) as error:
        result.fail(error, failure=_kind_of(error), stage=attempt.stage)
    finally:
        attempt.finish()
    return result


def _kind_of(error: BaseException) -> str:
    if isinstance(error, BudgetOverrunError):
        return "budget"
    return "memory" if isinstance(error, MemoryError) or "out of memory" in str(error) else "error"


class _Attempt:
    """One run on its way to a record."""

    def __init__(self, result: RunResult, meter: Meter, folder: Path, on_stage: Callable[[str], None] | None) -> None:
        self.result, self.meter, self.folder, self._on_stage = result, meter, folder, on_stage
        self.stage, self._clock = "", CostClock()
        self.config: dict[str, Any] | None = None

    def _enter(self, stage: str) -> None:
        self.stage = stage
        if self._on_stage is not None:
            self._on_stage(stage)

    def make(self) -> None:
        """Trains, evaluates and saves."""
        result, spec = self.result, self.result.spec
        self._enter("making the environment")
        factory = spec.factory()
        read_task(result, factory.task())
        self._enter("making the agent")
        agent = _make_agent(spec)
        config: Any = getattr(agent, "config", None)
        self.config = asdict(config) if is_dataclass(config) and not isinstance(config, type) else None
        start = time.perf_counter()
        try:
            self._train(agent, factory)
        finally:
            result.train_seconds = time.perf_counter() - start
        self._enter("evaluation")
        try:
            evaluate_agent(result, agent, factory)
        finally:
            result.evaluation_seconds = time.perf_counter() - start - result.train_seconds
        self._enter("save")
        _save(agent, self.folder / AGENT)

    def _train(self, agent: Any, factory: EnvFactory) -> None:
        self._enter("learn")
        with contextlib.suppress(BudgetSpent):  # the normal end of training
            agent.learn(MeteredFactory.around(factory, self.meter), self.result.spec.steps)

    def finish(self) -> None:
        """Adds what the meter saw, also to a failed run, and writes the record."""
        result, meter, texts = self.result, self.meter, list[Text]()
        result.steps, result.episodes, result.reward_calls = meter.steps, meter.episodes, meter.reward_calls
        spent = self._clock.read()
        result.cpu_seconds, result.gpu_seconds = spent.cpu_seconds, spent.gpu_seconds
        result.peak_memory_bytes, result.gpu = spent.peak_memory_bytes, used_gpu()
        try:
            result.curve = meter.learning_curve()
            kept = meter.texts.describe()
            texts = kept.pop("moments")
            result.texts |= kept
            result.to_json()
        except Exception as error:  # a gold score that raises, or a NaN that JSON cannot hold
            if result.status == "ok":
                result.fail(error, stage="recording")
            result.curve, result.texts, result.measures = [], {}, []
        write_run(self.folder, result, texts=texts, config=self.config)


def _make_agent(spec: RunSpec) -> Any:
    seed = spawn_seed(spec.seed, "agent", spec.agent, spec.env_id)
    kind = agent_class(spec.agent)
    try:
        inspect.signature(kind).bind(seed=seed, **spec.config)
    except TypeError as error:
        given = ", ".join(["seed", *spec.config])
        raise ConfigurationError(
            f"{spec.agent} cannot be made with {given} ({error}); expected __init__(self, seed=0, ...)"
        ) from None
    except ValueError:  # compiled classes may not tell their signature
        pass
    agent = kind(seed=seed, **spec.config)
    for names in (("learn",), ("act", "write"), ("save",)):
        if not any(callable(getattr(agent, name, None)) for name in names):
            raise ConfigurationError(
                f"{spec.agent} has no method {' or '.join(names)}; an agent has learn, act and save"
            )
    return agent


def _save(agent: Any, path: Path) -> None:
    agent.save(path)
    if not path.exists():
        raise ConfigurationError("save(path) wrote nothing at its path; expected a folder from which load(path) reads")
    if path.is_dir() and not (path / CARD).exists():  # an agent of one's own need not know of cards
        card = {"class": f"{type(agent).__module__}:{type(agent).__qualname__}"}
        write_whole(path / CARD, json.dumps(card) + "\n")


def read_task(result: RunResult, task: Task) -> None:
    """Notes in a record which task it is about, and what is known of its returns."""
    result.task, result.level = task.name, task.level
    result.training_split = result.spec.env.get("split", task.default_split)
    for split in _splits(result, task):
        for score in ("reward", "gold"):
            try:
                known = task.returns(split, score)
            except TaskError:
                continue  # not known once parts of the task are replaced; nothing is normalised then
            facts = {**asdict(known), "inexact": list(known.inexact)}  # as JSON has it
            result.references.setdefault(split, {})[score] = facts


def _splits(result: RunResult, task: Task) -> tuple[str, ...]:
    training = result.training_split
    both = training == "train" and task.prompts.has_splits and result.spec.held_out
    return ("train", "test") if both else (training,)


def evaluate_agent(result: RunResult, agent: Any, factory: EnvFactory) -> None:
    """Adds to a record what a trained agent earns: the same again whenever the same agent is given."""
    spec = result.spec
    for split in _splits(result, factory.task()):
        for play in ("greedy", "sampled"):
            # The agent's name is no part of the seed, so that all agents meet the same prompts.
            seed = spawn_seed(spec.seed, "evaluation", spec.env_id, split)
            measured = evaluate(
                agent, factory, episodes=spec.episodes, seed=seed, deterministic=play == "greedy", split=split
            )
            result.measures += _measures(measured, play, split)
            result.count(measured.tally)
            if play == "greedy":
                result.texts["greedy" if split == result.training_split else "held_out"] = _different(measured.texts)


def _measures(measured: Evaluation, play: str, split: str) -> list[Measure]:
    found = [_measure(play, split, "reward", measured.returns, measured.normalized, measured.impossible)]
    if measured.golds is not None:
        found.append(_measure(play, split, "gold", measured.golds, measured.normalized_gold, measured.impossible_gold))
    return found


def _measure(
    play: str,
    split: str,
    score: str,
    values: NDArray[np.float64],
    normalized: float | None,
    impossible: str | None,
) -> Measure:
    mean = float(values.mean())
    if not math.isfinite(mean):
        raise RewardError(f"the {score} of {play} play on the {split} prompts is {mean}; expected a finite number")
    return Measure(
        play=play,
        split=split,
        score=score,
        mean=mean,
        standard_error=standard_error(values),
        normalized=normalized,
        n=len(values),
        impossible=impossible,
    )


def _different(texts: Iterable[Mapping[str, Any]]) -> list[Text]:
    """The first few different texts, sorted by prompt."""
    unique = {(text["prompt"], text["completion"]): dict(text) for text in texts}
    by_prompt: dict[str, list[Text]] = {}
    for (prompt, _), text in unique.items():
        by_prompt.setdefault(prompt, []).append(text)
    share = max(1, _SHOWN_TEXTS // max(1, len(by_prompt)))
    return [text for prompt in sorted(by_prompt) for text in by_prompt[prompt][:share]][:_SHOWN_TEXTS]
