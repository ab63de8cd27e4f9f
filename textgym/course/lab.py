"""What a lab hour gives: how far the class agrees, a reward model for each group, and an agent trained on each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.atomic import write_whole
from textgym.comparison_files import write_comparisons
from textgym.comparisons import Comparison
from textgym.course.lab_groups import find_groups, write_groups
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.feedback.agreement import Agreement, measure_agreement
from textgym.feedback.labels import read_labels
from textgym.feedback.quality import Share
from textgym.feedback.ratings import first_answers, preference
from textgym.feedback.sheet import make_sheet
from textgym.feedback.store import Store
from textgym.rlhf.loop import run_loop
from textgym.rlhf.plan import COMPARISONS, Plan
from textgym.rlhf.stages import MODEL, Round
from textgym.writing import score

CLASS = "the whole class"
"""What stands for all groups together."""

LEAST = 10
"""Decided judgements below which there is no reward model to speak of."""

GROUPS = "groups.csv"

Tell = Callable[[str], None]


@dataclass(kw_only=True)
class GroupResult:
    """What one group has taught.

    Attributes:
        name: The group's.
        people: Who is in it.
        judgements: Their judgements of pairs, without repeats, attention checks and skips.
        decided: Those that prefer one text.
        agreement: How far the group agrees within itself.
        like_others: Judgements of other groups of the same pairs that say the same.
        folder: Where its reward model, its agent and their report are.
        round: The fit and the training; None where there were too few judgements.
        problem: Why there is no reward model; "" where there is.
    """

    name: str
    people: Sequence[str]
    judgements: int
    decided: int
    agreement: Agreement
    like_others: Share
    folder: Path
    round: Round | None = None
    problem: str = ""

    @property
    def model(self) -> Path:
        """The folder of the reward model."""
        return self.folder / "round-1" / MODEL

    @property
    def texts(self) -> list[Mapping[str, Any]]:
        """What the trained agent writes to training prompts, greedily."""
        return [] if self.round is None else list(self.round.result.texts.get("greedy", []))


@dataclass(kw_only=True)
class Lab:
    """What a lab hour gave.

    Attributes:
        envs: Where the texts were written.
        agreement: How far the whole class agrees.
        groups: The groups, the whole class last; of a class without groups that alone.
        likes: ``(G, G)`` what the reward model of each group with one (column) pays the agent of each (row) for a text,
            on average; NaN where there is no agent.
    """

    envs: EnvFactory
    agreement: Agreement
    groups: Sequence[GroupResult]
    likes: NDArray[np.float64] = field(repr=False)


def run_lab(
    database: str | Path, out: str | Path, plan: Plan, *, groups: str | Path | None = None, tell: Tell = lambda _: None
) -> Lab:
    """Evaluates a label database: the agreement sheet, and for each group a reward model and an agent paid by it.

    Started again, it does only what has changed.

    Args:
        database: From a label server.
        out: Folder of the results.
        plan: How reward models are fitted and agents trained; environment and labels come from the database.
        groups: A CSV file with the columns name and group; by default names such as ``blue: Ann`` tell.
        tell: Told in one line what has been done.

    Raises:
        ConfigurationError: for a database without judgements, for groups that do not fit, and whatever
            :meth:`~textgym.rlhf.plan.Plan.check` finds.
    """
    folder = Path(out)
    with Store(database) as store:
        everything = store.comparisons()
    asked = read_labels(database)
    plan = replace(plan, env_id=asked.env_id, env=asked.env_kwargs)
    plan.check()
    judged = [item for item in asked.comparisons if item.choice != "skip"]
    teams = find_groups((item.annotator for item in judged), groups)
    if not teams or CLASS in teams:
        fault = f"{CLASS!r} stands for all groups; give that group another name" if teams else "nobody has judged yet"
        raise ConfigurationError(f"{str(database)!r}: {fault}")
    for path in make_sheet(everything).write(folder):
        tell(f"written: {path}")
    write_whole(folder / GROUPS, write_groups(teams))
    entries = {**(teams if len(teams) > 1 else {}), CLASS: [name for names in teams.values() for name in names]}
    results = [_describe(name, people, judged, folder) for name, people in entries.items()]
    for result in results:
        _teach(result, [item for item in judged if item.annotator in result.people], plan, tell)
    envs = EnvFactory(plan.env_id, dict(plan.env))
    return Lab(envs=envs, agreement=measure_agreement(everything), groups=results, likes=_cross(envs, results))


def _describe(name: str, people: Sequence[str], judged: Sequence[Comparison], out: Path) -> GroupResult:
    own = [item for item in judged if item.annotator in people]
    return GroupResult(
        name=name,
        people=people,
        judgements=len(own),
        decided=sum(item.is_decided for item in own),
        agreement=measure_agreement(own),
        like_others=_like_others(judged, set(people)),
        folder=out / folder_name(name),
    )


def folder_name(group: str) -> str:
    """A group's folder; different groups have different ones.

    Example:
        >>> folder_name("blue"), folder_name("the whole class")
        ('blue', 'the-whole-class')
        >>> folder_name("a/b")
        'group-c14cddc033f6'
    """
    if re.fullmatch(r"[a-z0-9]+( [a-z0-9]+)*", group):
        return group.replace(" ", "-")
    return f"group-{sha256(group.encode()).hexdigest()[:12]}"


def _like_others(judged: Sequence[Comparison], people: set[str]) -> Share:
    """Of all pairs of judgements of one pair of texts, one from inside the group, one from outside: how many agree."""
    pairs: dict[tuple[str, ...], tuple[list[float], list[float]]] = {}
    for (name, annotator), item in first_answers(judged).items():
        pairs.setdefault(name, ([], []))[annotator in people].append(preference(item))
    same = sum(outside.count(value) for outside, inside in pairs.values() for value in inside)
    return Share(same, sum(len(outside) * len(inside) for outside, inside in pairs.values()))


def _teach(result: GroupResult, own: Sequence[Comparison], plan: Plan, tell: Tell) -> None:
    """A reward model of a group's judgements, and an agent trained on it."""
    if result.decided < LEAST:
        result.problem = f"{result.decided} judgements that prefer a text are too few: expected at least {LEAST}"
    else:
        result.folder.mkdir(parents=True, exist_ok=True)
        labels = result.folder / COMPARISONS
        write_comparisons(labels, own)
        mine = replace(plan, labels=str(labels))
        mine.bind(result.folder)
        try:
            (result.round,) = run_loop(mine, result.folder)
        except ConfigurationError as error:  # of one group's judgements; the others can do without it
            result.problem = str(error)
    tell(f"{result.name}: {result.problem or f'{result.judgements:,} judgements, a reward model and an agent'}")


def _cross(envs: EnvFactory, groups: Sequence[GroupResult]) -> NDArray[np.float64]:
    """What each reward model pays each agent for a text."""
    table = np.full((len(groups), len(groups)), np.nan)
    known = [place for place, group in enumerate(groups) if group.texts]
    for column in known:
        paying = EnvFactory(envs.env_id, {**envs.kwargs, "reward": str(groups[column].model)})
        for row in known:
            texts = groups[row].texts
            found = score(paying, [text["prompt"] for text in texts], [text["completion"] for text in texts])
            table[row, column] = float(found.mean())
    return table
