"""Reference lines: what writers that need no training earn, to hold agents against.

    for environment, lines in reference_lines.read(folder).items():
        for line in lines:
            line.name, line.split, line.score, line.value, line.normalized

:func:`complete` measures what is missing for the environments of a comparison's plan and keeps it in
``reference_lines.json`` of its folder, so that each environment is measured once; :func:`read` only reads.
Environments are named as in :attr:`~textgym.benchmarks.records.RunSpec.environment`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textgym.atomic import write_whole
from textgym.degenerate import INFORMED, ORACLE, Desk, Plans, Speaks, WriteAnything, ask_oracle, writers
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, TaskError, TextGymError
from textgym.factory import EnvFactory
from textgym.task import Task

from .ledger import read_plan
from .records import RunSpec

Floats = NDArray[np.float64]

FILE = "reference_lines.json"
FORMAT = 1
TEXTS = 16  # for each prompt, where a line is that of a random writer
MOST_PROMPTS = 256  # that are written to
MOST_TEXTS = 50_000  # of the search for the best token

RANDOM, BLIND, DEGENERATE, DEMONSTRATIONS = "random", "blind", "degenerate", "demonstrations"
BEST_OF_RANDOM, BEST_OF_DEMONSTRATIONS = f"best of {TEXTS} random texts", f"best of {TEXTS} demonstrations"
NAMES = (RANDOM, BLIND, DEGENERATE, BEST_OF_RANDOM, DEMONSTRATIONS, BEST_OF_DEMONSTRATIONS, ORACLE)
"""All names, in the order in which reports show them; what a task does not have is left out."""

MEANINGS: Mapping[str, str] = {
    RANDOM: "every legal token equally likely",
    BLIND: "the best ONE text for all prompts",
    DEGENERATE: "the best writer of the audit that knows nothing of prompt and score, such as one token repeated",
    BEST_OF_RANDOM: f"of {TEXTS} random texts to each prompt the one that the reward prefers",
    DEMONSTRATIONS: "the task's own typical texts",
    BEST_OF_DEMONSTRATIONS: f"of {TEXTS} demonstrations to each prompt the one that the reward prefers",
    ORACLE: "the task's own best text to each prompt, under the true score",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """What one writer earns on one split under one score, averaged over the prompts.

    Attributes:
        name: One of :data:`NAMES`.
        split: The split of the prompts, as in a run's measures.
        score: "reward" or "gold".
        value: As it is paid.
        normalized: On the scale from random play (0) to the best text (1); None where that is not known.
        exact: Whether the value is exact and no estimate or bound.
        note: What else one should know, such as which degenerate writer it was; mostly nothing.
    """

    name: str
    split: str
    score: str
    value: float
    normalized: float | None
    exact: bool
    note: str = ""


def read(folder: Path | str) -> dict[str, tuple[Line, ...]]:
    """The lines that :func:`complete` has kept, by environment; empty where there are none yet.

    Raises:
        ConfigurationError: if the file is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return {}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["format"] != FORMAT:
            return {}  # written by another version: measured again
        return {name: tuple(Line(**line) for line in lines) for name, lines in kept["environments"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{str(path)!r} holds no reference lines ({error}); delete it, and the next run measures them again"
        ) from None


def complete(folder: Path | str, *, on_environment: Callable[[str], None] | None = None) -> dict[str, tuple[Line, ...]]:
    """Measures what is missing for the environments of the folder's plan, and keeps it.

    An environment that cannot be measured, say because a package is missing, has no lines, and is tried again the
    next time.

    Args:
        folder: Folder of a comparison.
        on_environment: Told the name of each environment before it is measured, which takes up to seconds.

    Returns:
        All lines, as :func:`read` has them.
    """
    lines = read(folder)
    for name, factory in _environments(folder).items():
        if name in lines:
            continue
        if on_environment is not None:
            on_environment(name)
        with contextlib.suppress(TextGymError, ImportError):
            lines[name] = tuple(measure(factory))
            _write(Path(folder), lines)
    return lines


def measure(env: EnvFactory, *, seed: int = 0) -> list[Line]:
    """All reference lines of one environment, on its split and, where that is "train", on the held-out prompts.

    Args:
        env: The environment.
        seed: Of all that is random.

    Example:
        >>> lines = measure(EnvFactory("TextGen-v0", {"level": "tiny"}))
        >>> [(line.name, round(line.value, 2)) for line in lines if line.score == "gold"][:2]
        [('random', -1.78), ('blind', 0.92)]
    """
    task = env.task()
    training = env.kwargs.get("split") or task.default_split
    splits = ("train", "test") if training == "train" and task.prompts.has_splits else (training,)
    return [line for split in splits for line in _Bench(env, task, split, seed).lines()]


def _environments(folder: Path | str) -> dict[str, EnvFactory]:
    known = set(RunSpec.__dataclass_fields__)
    runs = [RunSpec(**{key: run[key] for key in run.keys() & known}) for run in read_plan(folder).get("runs", [])]
    return {run.environment: run.factory() for run in runs}


def _write(folder: Path, lines: Mapping[str, tuple[Line, ...]]) -> None:
    kept = {name: [asdict(line) for line in found] for name, found in lines.items()}
    text = json.dumps({"format": FORMAT, "environments": kept}, ensure_ascii=False, indent=1)
    write_whole(folder / FILE, text + "\n")


@dataclass(frozen=True)
class _Scores:
    """What texts earned: ``(P, n)`` returns and, where there is gold, as many true scores; exact without chance."""

    returns: Floats
    golds: Floats | None
    exact: bool = False

    def means(self) -> dict[str, float]:
        return {"reward": float(self.returns.mean())} | (
            {} if self.golds is None else {"gold": float(self.golds.mean())}
        )

    def best(self) -> _Scores:
        """Of the texts to each prompt the one with the highest return."""
        chosen = self.returns.argmax(axis=1)[:, None]
        golds = None if self.golds is None else np.take_along_axis(self.golds, chosen, axis=1)
        return _Scores(np.take_along_axis(self.returns, chosen, axis=1), golds)


class _Bench:
    """The lines of one environment on one split."""

    def __init__(self, env: EnvFactory, task: Task, split: str, seed: int) -> None:
        self.task, self.split = task, split
        self.desk = Desk(EnvFactory(env.env_id, {**env.kwargs, "split": split}), split, seed=seed, max_texts=MOST_TEXTS)
        every = len(self.desk.rows)
        self.desk.rows = self.desk.rows[np.unique(np.linspace(0, every - 1, MOST_PROMPTS).astype(int))]
        self.sampled = f"{len(self.desk.rows)} of {every:,} prompts" if len(self.desk.rows) < every else ""

    def lines(self) -> Iterator[Line]:
        """All that the task has, in the order of :data:`NAMES`."""
        yield from self._stated(RANDOM) or self._say(RANDOM, self._random)
        yield from self._stated(BLIND)
        yield from self._degenerate()
        if self.task.partner is None:  # a conversation cannot be taken back, so there is no best of many
            yield from self._say(BEST_OF_RANDOM, self._random.best())
            if self.task.make_demonstration is not None:
                shown = self._demonstrations()
                yield from self._say(DEMONSTRATIONS, shown)
                yield from self._say(BEST_OF_DEMONSTRATIONS, shown.best())
        if self.task.make_oracle is not None:
            yield from self._oracle()

    def _stated(self, name: str) -> list[Line]:
        """What the task itself knows."""
        found = []
        for score in ("reward", "gold"):
            with contextlib.suppress(TaskError):
                known = self.task.returns(self.split, score)
                found.append(self._line(name, score, getattr(known, name), exact=known.is_exact(name)))
        return found

    def _degenerate(self) -> Iterator[Line]:
        """The best of those that know nothing, by gold where there is gold."""
        tried: dict[str, _Scores] = {}
        for name, plans, _ in writers(self.desk, {}):
            if name == RANDOM:
                break  # what follows searches for the best text
            if name not in INFORMED:
                tried[name] = self._written(plans, name)
        tried[RANDOM] = self._random
        measured = {name: scores.means() for name, scores in tried.items()}
        best = max(measured, key=lambda name: measured[name].get("gold", measured[name]["reward"]))
        yield from self._say(DEGENERATE, tried[best], note=best)

    def _oracle(self) -> Iterator[Line]:
        plans: Plans = Speaks(self.task.best_turn) if self.task.partner is not None else ask_oracle(self.desk)[0]
        yield from self._say(ORACLE, self._written(plans, ORACLE))

    @cached_property
    def _random(self) -> _Scores:
        return self._written(WriteAnything(self.desk.rng(RANDOM)), RANDOM)

    def _demonstrations(self) -> _Scores:
        rng, prompts = self.desk.rng("demonstrations"), self.task.prompts.prompts
        rows = np.repeat(self.desk.rows, TEXTS)
        plans = [self.task.encode_completion(self.task.demonstrate(prompts[row], rng)) for row in rows.tolist()]
        return self._score(*self.desk.write(rows, plans, purpose="demonstrations"))

    def _written(self, plans: Plans, purpose: str) -> _Scores:
        """Texts to each prompt: many where chance has a say, else one."""
        noisy = any(
            getattr(part, "stochastic", False) for part in (self.task.reward, self.task.gold, self.task.partner)
        )
        times = TEXTS if noisy or isinstance(plans, WriteAnything) else 1
        rows = np.repeat(self.desk.rows, times)
        if not isinstance(plans, WriteAnything | Speaks):
            plans = [plan for plan in plans for _ in range(times)]
        return self._score(*self.desk.write(rows, plans, purpose=purpose), exact=times == 1 and not self.sampled)

    def _score(self, batch: EpisodeBatch, returns: Floats, *, exact: bool = False) -> _Scores:
        golds, shape = batch.gold(), (len(self.desk.rows), -1)
        return _Scores(returns.reshape(shape), None if golds is None else golds.reshape(shape), exact)

    def _say(self, name: str, scores: _Scores, *, note: str = "") -> list[Line]:
        notes = "; ".join(filter(None, (note, self.sampled)))
        means = scores.means().items()
        return [self._line(name, score, value, exact=scores.exact, note=notes) for score, value in means]

    def _line(self, name: str, score: str, value: float, *, exact: bool, note: str = "") -> Line:
        normalized = None
        with contextlib.suppress(TaskError):
            normalized = self.task.returns(self.split, score).normalize(value)
        return Line(
            name=name, split=self.split, score=score, value=value, normalized=normalized, exact=exact, note=note
        )
