"""Does the record of a run agree with itself, with its files and with what is possible? Nothing is replayed here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .records import Measure, RunResult, RunSpec
from .run_files import AGENT, CONFIG, CURVE, EXIT, MACHINE, PACKAGES, RECORD, TEXTS

FILES = (CONFIG, RECORD, CURVE, TEXTS, PACKAGES, MACHINE, EXIT)
"""What the folder of every run holds; that of one that did not fail has the policy too."""

_ERRORS_ABOVE_BEST = 3.0  # standard errors by which a mean may lie above the best return


@dataclass(frozen=True, slots=True)
class Difference:
    """A place in which two records differ.

    Attributes:
        path: Names and numbers from the root to it, with dots between them.
        before: What the first one has.
        now: What the second one has.
    """

    path: str
    before: Any
    now: Any


def differing_fields(before: Any, now: Any, *, share: float = 0.0, path: str = "") -> Iterator[Difference]:
    """Where two JSON values differ, numbers by more than a share of their size.

    Example:
        >>> [field.path for field in differing_fields({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]})]
        ['a.1']
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*before, *now]):
            yield from differing_fields(before.get(name), now.get(name), share=share, path=_join(path, name))
    elif _is_list(before) and _is_list(now) and len(before) == len(now):
        for number, (left, right) in enumerate(zip(before, now, strict=True)):
            yield from differing_fields(left, right, share=share, path=_join(path, number))
    elif not _equal(before, now, share):
        yield Difference(path, before, now)


def file_problems(folder: Path, result: RunResult) -> list[str]:
    """What is missing in a run's folder, or does not agree with its record in the ledger."""
    if not folder.is_dir():
        return [f"its folder {folder.name} is missing"]
    wanted = (*FILES, AGENT) if result.status == "ok" else FILES
    problems = [f"{name} is missing" for name in wanted if not (folder / name).exists()]
    for name, check in ((CONFIG, _config_problems), (RECORD, _record_problems), (CURVE, _curve_problems)):
        if (folder / name).is_file():
            try:
                problems += check((folder / name).read_text(encoding="utf-8"), result)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                problems.append(f"{name} cannot be read: {error}")
    return problems


def impossible_numbers(result: RunResult) -> list[str]:
    """Numbers that no run can have given, whatever its agent does."""
    spec = result.spec
    problems = []
    if not 0 <= result.steps <= spec.steps:
        problems.append(f"{result.steps} steps: expected at most its budget of {spec.steps}")
    if not 0 <= result.episodes <= result.steps:
        problems.append(f"{result.episodes} texts in {result.steps} steps: a text has at least one token")
    if result.status != "ok" and result.measures:
        problems.append(f"it is recorded as {result.status} and has measures all the same")
    if result.status == "ok" and not result.measures:
        problems.append("it is recorded as ok and has no measures")
    points = [point["steps"] for point in result.curve]
    if points != sorted(set(points)) or (points and points[-1] > spec.steps):
        problems.append("its curve is not one over its budget")
    if sum(point["n"] for point in result.curve) > result.episodes:
        problems.append("its curve has more texts than it wrote")
    for measure in result.measures:
        problems += [f"{measure.play} {measure.split} {measure.score}: {words}" for words in _measure(result, measure)]
    return problems


def _measure(result: RunResult, measure: Measure) -> Iterator[str]:
    if not all(map(math.isfinite, (measure.mean, measure.standard_error))) or measure.standard_error < 0.0:
        yield f"{measure.mean} ± {measure.standard_error} is no mean with its standard error"
        return
    if measure.n != result.spec.episodes:
        yield f"{measure.n} texts, where {result.spec.episodes} were to be written"
    if measure.impossible:
        yield f"impossible score: {measure.impossible}"
    facts = result.references.get(measure.split, {}).get(measure.score)
    if facts is None or measure.normalized is None:
        return
    span = facts["best"] - facts["random"]
    expected = (measure.mean - facts["random"]) / span if span else measure.normalized
    if not _equal(expected, measure.normalized, 1e-9):
        yield f"normalised {measure.normalized:.6g}, but {measure.mean:.6g} is {expected:.6g} on the recorded scale"
    above = measure.mean - facts["best"] - _ERRORS_ABOVE_BEST * measure.standard_error
    if "best" not in facts["inexact"] and above > 1e-9 * max(1.0, abs(span)) and not measure.impossible:
        yield f"{measure.mean:.6g}, more than the best text earns ({facts['best']:.6g}), and not marked as impossible"


def _config_problems(text: str, result: RunResult) -> list[str]:
    data = json.loads(text)
    names = {item.name for item in fields(RunSpec)}
    spec = RunSpec(**{name: value for name, value in data.items() if name in names})
    problems = []
    if spec.key != data["key"]:
        problems.append(f"{CONFIG}: the key does not belong to the configuration; one of them was edited")
    elif spec.key != result.spec.key:
        problems.append(f"{CONFIG} is that of another run")
    return problems


def _record_problems(text: str, result: RunResult) -> list[str]:
    if text.rstrip("\n") == result.to_json():
        return []
    recorded, kept = json.loads(text), json.loads(result.to_json())
    found = [difference.path for difference in differing_fields(kept, recorded)]
    return [f"{RECORD} and the ledger differ in {', '.join(found[:3])}{' and more' if len(found) > 3 else ''}"] * (
        1 if found else 0
    )


def _curve_problems(text: str, result: RunResult) -> list[str]:
    points = [json.loads(line) for line in text.splitlines()]
    return [f"{CURVE} is not the curve of its record"] if any(differing_fields(result.curve, points)) else []


def _equal(before: Any, now: Any, share: float) -> bool:
    numbers = isinstance(before, int | float) and isinstance(now, int | float)
    if not numbers or isinstance(before, bool) or isinstance(now, bool):
        return bool(before == now)
    return before == now or abs(before - now) <= share * max(1.0, abs(before), abs(now))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
