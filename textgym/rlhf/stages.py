"""The stages of a round. Each leaves a file behind, and is not done again where the file is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from textgym.agents.registry import agent_class
from textgym.atomic import write_whole
from textgym.benchmarks.records import RunResult, RunSpec
from textgym.benchmarks.runs import run
from textgym.comparison_files import read_comparisons, write_comparisons
from textgym.comparisons import Comparison
from textgym.errors import TrainingError
from textgym.feedback.gathering import Gatherer
from textgym.feedback.pairs import Pair, sample_pairs, to_batches
from textgym.folders import find_folder
from textgym.keys import spawn_seed
from textgym.preference_models import fit_preferences
from textgym.preference_models.cards import CARD
from textgym.preference_models.judgements import hash_comparisons
from textgym.rlhf.plan import COMPARISONS, Plan

PAIRS, MODEL, TRAINING = "pairs.jsonl", "model", "training"
"""What a round's folder holds, beside :data:`textgym.rlhf.plan.COMPARISONS`."""

RUN, AGENT = "run.json", "agent"


@dataclass(kw_only=True)
class Round:
    """What one round gave.

    Attributes:
        number: From 1 on.
        comparisons: Those of this round.
        seen: How many comparisons the reward model has learned from, those of earlier rounds included.
        fit: The reward model's metrics; empty where it was given.
        result: The training and its evaluations.
        seconds: Stage -> time, of those that were done now.
    """

    number: int
    comparisons: list[Comparison] = field(default_factory=list)
    seen: int = 0
    fit: dict[str, Any] = field(default_factory=dict)
    result: RunResult
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def choices(self) -> dict[str, int]:
        """Choice -> how often."""
        given = [item.choice for item in self.comparisons]
        return {choice: given.count(choice) for choice in dict.fromkeys(sorted(given))}


def sample(plan: Plan, folder: Path, number: int, previous: Path | None) -> list[Pair]:
    """Texts to be compared: of random play and demonstrations, later also of the agent of the round before."""
    if (folder / PAIRS).is_file():
        return [_pair(json.loads(line)) for line in (folder / PAIRS).read_text(encoding="utf-8").splitlines()]
    envs, seed = plan.factory(), spawn_seed(plan.seed, "rlhf", "pairs", str(number))
    # By the name that the plan gives: an agent of one's own is no less trusted now than when it was trained.
    agent = None if previous is None else agent_class(plan.algo).load(previous / TRAINING / AGENT)
    pairs = sample_pairs(envs, "mixed" if agent is None else agent, plan.pairs, seed=seed, other="mixed")
    write_whole(folder / PAIRS, "".join(json.dumps(asdict(pair)) + "\n" for pair in pairs))
    return pairs


def _pair(row: dict[str, Any]) -> Pair:
    return Pair(**{**row, "first_ids": tuple(row["first_ids"]), "second_ids": tuple(row["second_ids"])})


def label(pairs: Sequence[Pair], folder: Path, gatherer: Gatherer) -> list[Comparison]:
    """What is said of the pairs; who has judged some of them already is asked for the others.

    Raises:
        KeyboardInterrupt: after what was judged until then is in the file.
    """
    file = folder / COMPARISONS
    done = list(read_comparisons(file)) if file.is_file() else []
    known = {item.pair for item in done}
    waiting = [pair for pair in pairs if pair.id not in known]
    if not waiting:
        return done
    try:
        found = [*done, *gatherer.gather(waiting)]
    except KeyboardInterrupt:
        write_comparisons(file, [*done, *gatherer.poll()])
        raise
    write_comparisons(file, found)
    return found


def fit(plan: Plan, folder: Path, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """A reward model of all comparisons so far; returns its metrics.

    One that is there stays if it was fitted to the same comparisons; else it goes, and the agent that it paid.
    """
    model, task = folder / MODEL, plan.factory().task()
    if _hash_of_data(model) != hash_comparisons(comparisons):
        shutil.rmtree(folder / TRAINING, ignore_errors=True)
        fitted = fit_preferences(
            comparisons, task, kind=plan.model, ensemble=plan.ensemble, seed=spawn_seed(plan.seed, "rlhf", "model"),
            env_id=plan.env_id, env_kwargs=plan.env,
        )  # fmt: skip
        fitted.save(model)
    card: dict[str, Any] = json.loads((model / CARD).read_text(encoding="utf-8"))
    return dict(card["metrics"])


def _hash_of_data(model: Path) -> str:
    """Of the comparisons that a model was fitted to; "" where there is no model."""
    found = find_folder(model)
    if found is None:
        return ""
    return str(json.loads((found / CARD).read_text(encoding="utf-8"))["data"]["hash"])


def train(plan: Plan, folder: Path, number: int, reward: str | Mapping[str, Any]) -> RunResult:
    """An agent that is paid by the reward model, and measured by the truth where that is known.

    Raises:
        TrainingError: if the training failed, naming the record.
    """
    record = folder / TRAINING / RUN
    if record.is_file():
        found = RunResult.from_json(record.read_text(encoding="utf-8"))
        if found.status == "ok":
            return found
    spec = RunSpec(
        agent=plan.algo, env_id=plan.env_id, steps=plan.steps, seed=plan.seed, config=plan.config,
        env=plan.factory(reward).kwargs, label=f"round {number}",
    )  # fmt: skip
    result = run(spec, folder / TRAINING)
    if result.status != "ok":
        raise TrainingError(f"round {number}: training {plan.algo} failed: {result.error} (all of it: {str(record)!r})")
    return result


class Stopwatch:
    """Notes how long the stages take.

    Attributes:
        seconds: Stage -> time.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begin = perf_counter()

    def note(self, stage: str) -> None:
        """The time since the last note belongs to this stage."""
        now = perf_counter()
        self.seconds[stage] = now - self._begin
        self._begin = now


def agreement_with_gold(plan: Plan, comparisons: Sequence[Comparison]) -> float | None:
    """Share of decided comparisons whose chosen text has the higher gold score; None where there is no gold score."""
    task = plan.factory().task()
    decided = [item for item in comparisons if item.is_decided]
    if task.gold is None or not decided:
        return None
    pairs = [
        Pair(id="", prompt=item.prompt, first=item.chosen, second=item.rejected, first_ids=item.chosen_ids,
             second_ids=item.rejected_ids)
        for item in decided
    ]  # fmt: skip
    chosen, rejected = (batch.gold() for batch in to_batches(task, pairs))
    assert chosen is not None
    assert rejected is not None
    return float(np.mean(np.where(chosen == rejected, 0.5, chosen > rejected)))
