"""The loop itself: round after round of stages, and a report at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from textgym.annotators import BoltzmannAnnotator
from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError
from textgym.feedback.gathering import Gatherer, SyntheticGatherer
from textgym.feedback.labels import read_labels
from textgym.keys import spawn_seed
from textgym.rlhf.plan import Plan
from textgym.rlhf.report import write_report
from textgym.rlhf.stages import MODEL, Round, Stopwatch, fit, label, sample, train

Tell = Callable[[str], None]


def run_loop(
    plan: Plan, out: Path | str, *, gatherer: Gatherer | None = None, tell: Tell = lambda _: None
) -> list[Round]:
    """Samples, has compared, fits, trains and reports; started again, it goes on where it stopped.

    Args:
        plan: What is done.
        out: Folder of all that comes of it: a folder for each round, and ``report.html``.
        gatherer: Whoever compares the pairs; by default the simulated annotator of the plan.
        tell: Told in one line what has been done.

    Returns:
        What each round gave.

    Raises:
        ConfigurationError: for another plan's folder, people without a gatherer, a simulated annotator of a task
            without a gold score, and whatever :meth:`~textgym.rlhf.plan.Plan.check` finds, before anything is written.
        TrainingError: if a training fails.
    """
    out = Path(out)
    plan.check()
    plan.bind(out)
    if plan.reward is not None:
        rounds = [_train_only(plan, out, plan.reward, tell)]
    else:
        judge = simulated(plan) if gatherer is None and plan.asks else gatherer
        rounds = _rounds(plan, out, judge, tell)
    page = write_report(plan, rounds, out)
    tell(f"report: {page}")
    return rounds


def simulated(plan: Plan) -> Gatherer:
    """The simulated annotator of a plan.

    Raises:
        ConfigurationError: if the plan wants people, or nobody knows the true score.
    """
    if plan.annotator != "simulated":
        raise ConfigurationError(f"annotator={plan.annotator!r}: people need a gatherer that asks them; pass gatherer=")
    task = plan.factory().task()
    if task.gold is None:
        raise ConfigurationError(
            f"the task {task.name} has no gold score that a simulated annotator could go by; take annotator='browser' "
            "or 'terminal', or bring labels"
        )
    seed = spawn_seed(plan.seed, "rlhf", "annotator") % 2**31
    return SyntheticGatherer(task, BoltzmannAnnotator(task.gold, temperature=plan.temperature), seed=seed)


def _rounds(plan: Plan, out: Path, gatherer: Gatherer | None, tell: Tell) -> list[Round]:
    rounds: list[Round] = []
    known: list[Comparison] = []
    for number in range(1, plan.rounds + 1):
        folder = out / f"round-{number}"
        folder.mkdir(exist_ok=True)
        watch = Stopwatch()
        if number == 1 and plan.labels is not None:
            comparisons = list(read_labels(plan.labels).comparisons)
            tell(f"round 1: {len(comparisons):,} comparisons read from {plan.labels}")
        else:
            assert gatherer is not None
            pairs = sample(plan, folder, number, out / f"round-{number - 1}" if number > 1 else None)
            watch.note("sample")
            tell(f"round {number}: {len(pairs):,} pairs of texts to compare")
            comparisons = label(pairs, folder, gatherer)
            watch.note("label")
        known += comparisons
        metrics = fit(plan, folder, known)
        watch.note("fit")
        tell(f"round {number}: reward model of {len(known):,} comparisons")
        result = train(plan, folder, number, str(folder / MODEL))
        watch.note("train")
        tell(f"round {number}: {plan.algo} trained for {result.steps:,} tokens")
        seen, spent = len(known), watch.seconds
        rounds.append(
            Round(number=number, comparisons=comparisons, seen=seen, fit=metrics, result=result, seconds=spent)
        )
    return rounds


def _train_only(plan: Plan, out: Path, reward: str | Mapping[str, Any], tell: Tell) -> Round:
    folder, watch = out / "round-1", Stopwatch()
    folder.mkdir(exist_ok=True)
    result = train(plan, folder, 1, reward)
    watch.note("train")
    tell(f"{plan.algo} trained for {result.steps:,} tokens on {plan.reward_name}")
    return Round(number=1, result=result, seconds=watch.seconds)
