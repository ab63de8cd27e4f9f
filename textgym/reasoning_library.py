"""The library reasoning-gym as a source of items: its data sets, their configurations, one seed an item."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from textgym.errors import ConfigurationError, PromptError, TaskError, check_names, missing_dependency, unknown_name
from textgym.global_random import guarded
from textgym.keys import spawn_seed

SOLVED = 1.0 - 1e-9
"""What a right answer earns, but for rounding."""
HASH_ORDERED = ("isomorphic_strings", "polynomial_multiplication", "ransom_note", "word_ladder")
"""Data sets whose items hang on the order of Python's sets, and so on PYTHONHASHSEED."""

_OWN = ("seed", "size")  # fields of every configuration that are not the user's: items are keyed here


@dataclass(frozen=True)
class ItemSettings:
    """Which items: a data set of the library and how difficult it is.

    Attributes:
        name: Name of the level.
        difficulty: Level of the library's curriculum, from 0, where the data set has one.
        dataset: Name of the data set in the library.
        config: Fields of the data set's configuration, as a mapping or as JSON; kept as JSON with sorted keys.
        items: The most items of both splits together, a quarter of them for testing.
        allow_paid_silence: Take data sets that pay for an empty answer too.

    Raises:
        ConfigurationError: for values of another type.
    """

    name: str
    difficulty: int
    dataset: str = "basic_arithmetic"
    config: str | Mapping[str, Any] = "{}"
    items: int = 200
    allow_paid_silence: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, str):
            raise ConfigurationError(f"dataset={self.dataset!r}: expected a name, such as 'word_sorting'")
        if isinstance(self.items, bool) or not isinstance(self.items, int) or self.items < 2:
            raise ConfigurationError(f"items={self.items!r}: expected a whole number of at least 2")
        if not isinstance(self.allow_paid_silence, bool):
            raise ConfigurationError(f"allow_paid_silence={self.allow_paid_silence!r}: expected True or False")
        object.__setattr__(self, "config", _canonical(self.config))

    @property
    def overrides(self) -> dict[str, Any]:
        """The fields of the data set's configuration that are set."""
        found: dict[str, Any] = json.loads(str(self.config))
        return found


def _canonical(config: object) -> str:
    try:
        found = json.loads(config) if isinstance(config, str) else config
        if isinstance(found, Mapping):
            return json.dumps(dict(found), sort_keys=True)
    except (TypeError, ValueError):
        pass
    raise ConfigurationError(f"config={config!r}: expected a dict that JSON can hold, such as {{'max_words': 4}}")


class ItemSource:
    """A data set of the library under one configuration.

    Attributes:
        name: Name of the data set.
        generator: The library's object that scores answers.
        unsolved: How many items were seen whose own answer does not earn 1.
    """

    def __init__(self, settings: ItemSettings) -> None:
        self.name = settings.dataset
        self.unsolved = 0
        self._dataset, self._fields = _configure(settings)
        self.generator = self._open(0)
        self._reseeds = self._can_reseed()

    def draw(self, split: str, index: int) -> dict[str, Any]:
        """The library's item for a split and an index, with the library's own randomness seeded by them."""
        item, seed = f"item {split} {index} of the data set {self.name!r}", spawn_seed(0, self.name, split, str(index))
        try:
            with guarded(seed):
                entry: dict[str, Any] = self._draw_again(seed) if self._reseeds else self._open(seed)[0]
        except Exception as error:  # it is the library's code, so it may raise anything
            raise TaskError(f"reasoning-gym fails at {item}: {type(error).__name__}: {error}") from error
        for part in ("question", "answer"):
            text = entry[part]
            if (part == "question" or text is not None) and (not isinstance(text, str) or not text.strip()):
                raise PromptError(f"{item} has the {part} {text!r}, expected a text; change config= or the data set")
        return entry

    def solves(self, entry: dict[str, Any]) -> bool:
        """Whether the library's own answer, if it has one, earns 1."""
        if entry["answer"] is None or self.generator.score_answer(entry["answer"], entry) >= SOLVED:
            return True
        self.unsolved += 1
        return False

    def _open(self, seed: int) -> Any:
        config = self._fields(seed)
        try:
            return self._dataset(config)
        except Exception as error:
            raise ConfigurationError(f"reasoning-gym refuses {config!r}: {error}") from error

    def _draw_again(self, seed: int) -> dict[str, Any]:
        """The first item under another seed without reading the data set's files again."""
        self.generator.seed = self.generator.config.seed = seed
        entry: dict[str, Any] = self.generator[0]
        return entry

    def _can_reseed(self) -> bool:
        """Whether a new seed has the effect of a new object; a few data sets draw when they are made."""
        for seed in (1, 1000, 1_000_000):
            try:
                with guarded(seed):
                    fresh = self._open(seed)[0]
                with guarded(seed):
                    again = self._draw_again(seed)
            except Exception:  # said with the item's name if it happens to an item
                return False
            if (fresh["question"], fresh["answer"]) != (again["question"], again["answer"]):
                return False
        return True


def _configure(settings: ItemSettings) -> tuple[Any, Callable[[int], Any]]:
    """The data set's class, and a function from a seed to its configuration."""
    datasets, curricula = _import_library()
    name, overrides = settings.dataset, settings.overrides
    if name not in datasets:
        raise unknown_name("data set of reasoning-gym", name, datasets)
    if name in HASH_ORDERED and os.environ.get("PYTHONHASHSEED", "random") == "random":
        raise ConfigurationError(
            f"the items of {name!r} hang on Python's hash seed, so that they differ from process to process; start "
            "Python with PYTHONHASHSEED=0"
        )
    dataset, config_class = datasets[name]
    defaults = {field.name: field.default for field in fields(config_class) if field.name not in _OWN}
    check_names(f"field of the configuration of {name!r}", overrides, defaults)
    values = {key: _as_enum(value, defaults[key]) for key, value in overrides.items()}
    if name in curricula:
        curriculum = curricula[name]()
        curriculum.set_global_level(settings.difficulty)
        values = {key: vars(curriculum.generate_configuration())[key] for key in defaults} | values
    return dataset, lambda seed: config_class(**values, seed=seed, size=1)


def _as_enum(value: Any, default: Any) -> Any:
    """JSON has no enumerations: their values stand for them."""
    if not isinstance(default, Enum):
        return value
    known = {member.value: member for member in type(default)}
    if value not in known:
        raise unknown_name(f"value of {type(default).__name__}", value, known)
    return known[value]


def _import_library() -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    try:
        from reasoning_gym.factory import CURRICULA, DATASETS
    except ImportError as error:
        raise missing_dependency("reasoning-gym", "reasoning", "the task ReasoningGym") from error
    return DATASETS, CURRICULA


@contextmanager
def quiet(seed: int) -> Iterator[None]:
    """Nothing that the library does to global generators, prints or warns of is seen outside."""
    with guarded(seed), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
