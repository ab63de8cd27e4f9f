"""The nouns of a labelling project: what is asked, of whom, and what they said.

:mod:`textgym.feedback.store` keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import Any, Literal

from textgym.comparisons import Choice
from textgym.errors import ConfigurationError, TextGymError, unknown_name

Role = Literal["annotator", "teacher"]
MOST_SHARE = 0.4
"""Of repeats, and of attention checks: most tasks must show something new."""
ROLES: tuple[Role, ...] = ("annotator", "teacher")


class StoreError(TextGymError, RuntimeError):
    """The label database cannot do what was asked of it."""


class UnknownTaskError(StoreError):
    """There is no such task."""


class ForeignTaskError(StoreError):
    """The task belongs to another annotator."""


class AnsweredError(StoreError):
    """The task has another answer already, perhaps from another tab; undo takes it back."""


class TaskGoneError(StoreError):
    """The task was left open for so long that somebody else has got it."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """What a labelling project is about. Two databases belong together if their projects have the same :attr:`id`.

    Attributes:
        env_id: The environment in which the texts were written.
        env_kwargs: Its arguments, in values that JSON knows.
        guidelines: What annotators are told before they begin, as plain text.
        seed: Decides sides, order, and where repeats and attention checks stand.
        overlap: How many annotators judge each pair.
        repeat_share: Share of an annotator's tasks that show an earlier pair again, with the sides swapped.
        check_share: Share of an annotator's tasks that are attention checks, as long as there are any.
        ask_strength: Whether to ask how much better the chosen text is.
        strategy: Which pairs come first; see :mod:`textgym.feedback.assignment`.

    Raises:
        ConfigurationError: for a value that cannot be.
    """

    env_id: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    guidelines: str = ""
    seed: int = 0
    overlap: int = 1
    repeat_share: float = 0.1
    check_share: float = 0.05
    ask_strength: bool = False
    strategy: str = "random"

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("overlap", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(f"{name}={value!r}: expected a whole number of at least {least}")
        for name in ("repeat_share", "check_share"):
            if not 0.0 <= getattr(self, name) <= MOST_SHARE:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected a share from 0 to {MOST_SHARE}")
        try:
            self.to_json()
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"env_kwargs={self.env_kwargs!r}: expected names, numbers, lists and objects, as JSON has "
                f"them ({error})"
            ) from None

    @property
    def id(self) -> str:
        """Names what is asked about: environment, guidelines, seed and whether strength is asked."""
        asked = (self.env_id, self.env_kwargs, self.guidelines, self.seed, self.ask_strength)
        return sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """The project as a JSON object."""
        return json.dumps(asdict(self), ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Project:
        """Reads what :meth:`to_json` wrote.

        Raises:
            ConfigurationError: if it is no such thing.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"the project is no JSON object ({error})") from None
        if not isinstance(values, dict):
            raise ConfigurationError(f"the project is a {type(values).__name__}; expected a JSON object")
        known = [one.name for one in fields(cls)]
        for name in values:
            if name not in known:
                raise unknown_name("setting of a labelling project", name, known)
        if "env_id" not in values:
            raise ConfigurationError("the project says no env_id: expected at least that")
        return cls(**values)


@dataclass(frozen=True)
class Annotator:
    """Somebody who may come in.

    Attributes:
        id: Names the person in the database.
        name: What others see; goes into each comparison.
        role: "annotator" judges, "teacher" looks on.
    """

    id: str
    name: str
    role: Role = "annotator"


@dataclass(frozen=True)
class Invitation:
    """A new annotator, with the secret that only this moment knows: the database holds its SHA-256.

    Attributes:
        id: Names the person in the database.
        name: What others see.
        token: The secret of the personal link.
    """

    id: str
    name: str
    token: str = field(repr=False)

    def link(self, url: str) -> str:
        """The personal link to a label server at this address."""
        return f"{url.rstrip('/')}/a/{self.token}"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question for one annotator: two texts on their sides.

    Attributes:
        id: Names the task.
        pair: The pair's id.
        prompt: The prompt's original string.
        left: The text to show on the left.
        right: The text to show on the right.
        swapped: Whether the pair's second text stands on the left.
        repeats: The id of the earlier task whose pair this one shows again; "" for a new pair. Nothing for the page.
        done: Tasks that the annotator has answered so far.
        total: About how many it will be in the end; changes with what the others do.
        left_ids: The left text as token ids, where they are known.
        right_ids: The right text as token ids.
    """

    id: str
    pair: str
    prompt: str
    left: str
    right: str
    swapped: bool
    repeats: str
    done: int
    total: int
    left_ids: tuple[int, ...] = ()
    right_ids: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """An answer, as it stands in the database. Rows are only ever added.

    Attributes:
        id: Names the row.
        task: The task's id.
        annotator: The annotator's id.
        choice: What was chosen, in terms of what was shown.
        strength: How much better, if that was asked.
        seconds: Time taken, if it was measured.
        created: When, in seconds since 1970.
        supersedes: The id of the undone answer to the same task that this one replaces; "" for a first answer.
    """

    id: str
    task: str
    annotator: str
    choice: Choice
    strength: int | None
    seconds: float | None
    created: float
    supersedes: str = ""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one annotator has done.

    Attributes:
        annotator: Who.
        done: Tasks answered, skips included.
        skipped: Tasks skipped.
        undone: Answers taken back.
        median_seconds: Median time for an answer; None where none was measured.
        last: When the latest answer came, in seconds since 1970; None if none has.
    """

    annotator: Annotator
    done: int
    skipped: int
    undone: int
    median_seconds: float | None
    last: float | None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a project is.

    Attributes:
        pairs: Pairs to be judged, without attention checks.
        checks: Attention checks.
        complete: Pairs with as many answers as they need.
        places: Answers that are needed in all: the sum of what each pair needs.
        filled: Answers that have come, without repeats, attention checks and skips.
        open: Tasks that somebody is looking at.
        answers: All answers in force: repeats, attention checks and skips too.
        rows: All rows ever written, undone ones included.
        per_minute: Answers in force that came within the last minutes, for each minute.
        shares: What each annotator has done, in the order in which they were added.
    """

    pairs: int
    checks: int
    complete: int
    places: int
    filled: int
    open: int
    answers: int
    rows: int
    per_minute: float
    shares: tuple[Share, ...]
