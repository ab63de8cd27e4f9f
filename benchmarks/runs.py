"""One run: an agent trained on one environment from one seed, evaluated, recorded and saved.

A run never raises because of what it runs. A crash, a NaN or an exception makes it a failed run, which is
recorded and counted like any other.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.agents.base import write_atomically
from textgym.agents.registry import make_agent
from textgym.errors import BudgetSpent, RewardError, TaskError
from textgym.evaluation import Evaluation, evaluate
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.scales import standard_error
from textgym.task import Task

from .meter import Meter, Text
from .metering import MeteredFactory
from .records import Measure, RunResult, RunSpec, versions

CURVE_POINTS = 50
_SHOWN_TEXTS = 12  # different texts kept of a greedy evaluation


def run(spec: RunSpec, folder: Path, *, on_progress: Callable[[int], None] | None = None) -> RunResult:
    """Trains, evaluates and saves one agent.

    The folder then holds ``run.json`` and the saved agent.

    Args:
        spec: What to run.
        folder: Where; made if missing.
        on_progress: Called with the steps spent so far, about 100 times.

    Returns:
        The record, with status "failed" if anything went wrong.

    Raises:
        KeyboardInterrupt: after the interrupted run is recorded.
    """
    meter = Meter(spec.steps, on_progress=on_progress)
    result = RunResult(spec=spec, versions=versions())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _train_and_evaluate(result, meter, folder)
        result.status = "ok"
    except KeyboardInterrupt as interrupt:
        result.fail(interrupt, status="interrupted")
        raise
    except (Exception, SystemExit) as error:
        result.fail(error)
    finally:
        _finish(result, meter, folder)
    return result


def _train_and_evaluate(result: RunResult, meter: Meter, folder: Path) -> None:
    spec = result.spec
    factory = spec.factory()
    _read_task(result, factory.task())
    agent = make_agent(spec.agent, seed=spawn_seed(spec.seed, "agent", spec.agent, spec.env_id), **spec.config)
    start = time.perf_counter()
    try:
        agent.learn(MeteredFactory.around(factory, meter), spec.steps)
    except BudgetSpent:
        pass  # the normal end of training
    finally:
        result.train_seconds = time.perf_counter() - start
    try:
        _evaluate(result, agent, factory)
    finally:
        result.evaluation_seconds = time.perf_counter() - start - result.train_seconds
    agent.save(folder / "agent")


def _read_task(result: RunResult, task: Task) -> None:
    result.task, result.level = task.name, task.level
    result.training_split = result.spec.env.get("split", task.default_split)
    for split in _splits(result.training_split, task):
        for score in ("reward", "gold"):
            try:
                known = task.returns(split, score)
            except TaskError:
                continue  # not known once parts of the task are replaced; nothing is normalised then
            facts = {**asdict(known), "inexact": list(known.inexact)}  # as JSON has it
            result.references.setdefault(split, {})[score] = facts


def _splits(training: str, task: Task) -> tuple[str, ...]:
    return ("train", "test") if training == "train" and task.prompts.has_splits else (training,)


def _evaluate(result: RunResult, agent: Any, factory: EnvFactory) -> None:
    spec = result.spec
    for split in _splits(result.training_split, factory.task()):
        for play in ("greedy", "sampled"):
            # The agent's name is no part of the seed, so that all agents meet the same prompts.
            seed = spawn_seed(spec.seed, "evaluation", spec.env_id, split)
            measured = evaluate(
                agent, factory, episodes=spec.episodes, seed=seed, deterministic=play == "greedy", split=split
            )
            result.measures += _measures(measured, play, split)
            if play == "greedy":
                name = "greedy" if split == result.training_split else "held_out"
                result.texts[name] = _different(measured.texts)


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


def _finish(result: RunResult, meter: Meter, folder: Path) -> None:
    """Adds what the meter saw, also to a failed run, and writes the record."""
    result.steps, result.episodes, result.reward_calls = meter.steps, meter.episodes, meter.reward_calls
    try:
        result.curve = learning_curve(meter, result.spec.steps)
        result.texts |= {"start": meter.first_texts(), "end": meter.last_texts()}
        text = result.to_json()
    except Exception as error:  # a gold score that raises, or a NaN that JSON cannot hold
        if result.status == "ok":
            result.fail(error)
        result.curve, result.texts, result.measures = [], {}, []
        text = result.to_json()
    if folder.is_dir():
        write_atomically(folder / "run.json", text + "\n")


def learning_curve(meter: Meter, steps: int, *, points: int = CURVE_POINTS) -> list[dict[str, Any]]:
    """Averages the metered episodes over equal stretches of the budget.

    Returns:
        One dictionary for each stretch in which a text ended: ``steps`` at the stretch's end, mean
        ``reward``, mean ``gold`` of the thin sample (None where there is none) and ``n`` texts.
    """
    log = meter.log()
    gold_steps, golds = meter.gold_samples()
    edges = np.linspace(0, steps, points + 1)[1:]
    bins, gold_bins = np.searchsorted(edges, log.steps), np.searchsorted(edges, gold_steps)
    curve: list[dict[str, Any]] = []
    for point in np.unique(bins):
        inside, sampled = bins == point, gold_bins == point
        gold = float(golds[sampled].mean()) if sampled.any() else None
        curve.append(
            {
                "steps": int(edges[min(point, points - 1)]),
                "reward": float(log.returns[inside].mean()),
                "gold": gold,
                "n": int(inside.sum()),
            }
        )
    return curve
