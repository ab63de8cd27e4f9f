"""Rewards made of something else: of a plain function on one text, or of other rewards."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch, Score
from textgym.errors import ConfigurationError, RewardError, TextGymError, suggestion

UNBOUNDED = (-math.inf, math.inf)
TEXT_PARAMETERS = ("prompt", "completion", "reference", "references")

Range = tuple[float, float]


@dataclass(frozen=True, init=False, repr=False)
class PerText:
    """A plain function that scores one text, as a reward.

    The function is called by parameter name: ``prompt``, ``completion``, ``reference`` (the first one or
    None) and ``references`` (a tuple) get those, any other parameter gets the prompts' metadata column
    of its name. A parameter with a default keeps it where there is no such column.

    Args:
        f: The function; it returns a number.
        range: The least and the greatest value that it can return.

    Raises:
        ConfigurationError: if no parameter of ``f`` can be filled by name, or, at the first call, if one is neither
            a part of the text nor a column of the prompts.

    Example:
        >>> from textgym.prompts import PromptTable, load_prompts
        >>> from textgym.tokenizers import CharTokenizer
        >>> letters = CharTokenizer("ab")
        >>> batch = EpisodeBatch.from_ids(PromptTable(load_prompts(["a"]), letters), letters, [0, 0], [[1], [0, 0]])
        >>> PerText(lambda completion: completion.count("a"), range=(0.0, 8.0))(batch)
        array([0., 2.])
    """

    f: Callable[..., float]
    range: Range

    def __init__(self, f: Callable[..., float], range: Range | None = None) -> None:  # noqa: A002 - the contract's word
        object.__setattr__(self, "f", f)
        object.__setattr__(self, "range", _check_range(range))
        if not self._parameters:
            raise ConfigurationError(f"{_name(f)} takes no argument by name; expected {_listed(TEXT_PARAMETERS)}")

    @cached_property
    def _parameters(self) -> dict[str, inspect.Parameter]:
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        parameters = _signature(self.f)
        for parameter in parameters:
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise ConfigurationError(f"{_name(self.f)}: the parameter {parameter.name!r} cannot be given by name")
        return {parameter.name: parameter for parameter in parameters if parameter.kind in by_name}

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Calls the function once for each text and returns ``(B,)`` float64."""
        columns = {name: self._column(batch, name) for name in self._parameters if self._is_filled(batch, name)}
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        return np.array([self._number(self.f(**arguments)) for arguments in rows], dtype=np.float64)

    def _is_filled(self, batch: EpisodeBatch, name: str) -> bool:
        known = {*TEXT_PARAMETERS, *batch.prompts.columns}
        if name not in known and self._parameters[name].default is inspect.Parameter.empty:
            raise ConfigurationError(
                f"the reward {_name(self.f)} has the parameter {name!r}, which is neither one of "
                f"{_listed(TEXT_PARAMETERS)} nor a column of the prompts "
                f"({_listed(batch.prompts.columns) or 'they have none'}).{suggestion(name, known)}"
            )
        return name in known

    def _column(self, batch: EpisodeBatch, name: str) -> list[Any]:
        if name == "prompt":
            return batch.prompt_texts
        if name == "completion":
            return batch.completions
        if name == "reference":
            return [references[0] if references else None for references in batch.references]
        return batch.references if name == "references" else batch.metadata(name)

    def _number(self, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            raise RewardError(f"{_name(self.f)} returned {value!r}; expected one finite number per text") from None

    def __repr__(self) -> str:
        return f"PerText({_name(self.f)})"

    def __getstate__(self) -> dict[str, Any]:
        return {"f": self.f, "range": self.range}

    def __deepcopy__(self, memo: dict[int, Any]) -> PerText:
        return self


@dataclass(frozen=True, init=False, repr=False)
class WeightedSum:
    """A sum of rewards, each with a weight; infos show what every term contributed.

    Args:
        parts: Name -> reward (weight 1) or ``(weight, reward)``. A reward may be a plain function, as in
            :func:`as_reward`. A weight of 0 shows a term without paying it.

    Attributes:
        terms: ``(name, weight, reward)`` in the order given, which is the order of the sum.

    Example:
        >>> short = PerText(lambda completion: -float(len(completion)), range=(-20.0, 0.0))
        >>> WeightedSum({"short": (0.5, short), "bonus": PerText(lambda completion: 1.0, range=(1.0, 1.0))}).range
        (-9.0, 1.0)
    """

    terms: tuple[tuple[str, float, Score], ...]

    def __init__(self, parts: Mapping[str, Score | tuple[float, Score]]) -> None:
        if not isinstance(parts, Mapping) or not parts:
            raise ConfigurationError(f"WeightedSum({parts!r}): expected {{name: reward}} or {{name: (weight, reward)}}")
        object.__setattr__(self, "terms", tuple(_term(name, part) for name, part in parts.items()))
        if len(self._fingerprints) > 1:
            raise ConfigurationError("the parts of a WeightedSum are bound to different tokenizers; use one vocabulary")

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """The weighted sum, ``(B,)``."""
        return self.score_parts(batch)[0]

    def score_parts(self, batch: EpisodeBatch) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """The sum and its weighted terms: adding the terms up in order gives the sum bit for bit."""
        total = np.zeros(len(batch))
        parts = {}
        for name, weight, reward in self.terms:
            scores = np.asarray(reward(batch), dtype=np.float64)
            if scores.shape != total.shape:  # a shape such as (1,) would spread over the batch in silence
                raise RewardError(f"the part {name!r} returned shape {scores.shape} for {len(batch)} texts")
            parts[name] = weight * scores
            total = total + parts[name]
        return total, parts

    @property
    def range(self) -> Range:
        """The sum of the terms' intervals."""
        low = high = 0.0
        for _, weight, reward in self.terms:
            if weight:  # 0 * inf is not a number
                ends = sorted(weight * float(end) for end in getattr(reward, "range", UNBOUNDED))
                low, high = low + ends[0], high + ends[1]
        return low, high

    @property
    def stochastic(self) -> bool:
        """Whether any term is."""
        return any(getattr(reward, "stochastic", False) for _, _, reward in self.terms)

    @property
    def tokenizer_fingerprint(self) -> str | None:
        """The vocabulary that the terms are bound to, if any is."""
        return next(iter(self._fingerprints), None)

    @property
    def _fingerprints(self) -> set[str]:
        found = (getattr(reward, "tokenizer_fingerprint", None) for _, _, reward in self.terms)
        return {fingerprint for fingerprint in found if fingerprint}

    def __repr__(self) -> str:
        return f"WeightedSum({', '.join(f'{name}: {weight:g} * {reward!r}' for name, weight, reward in self.terms)})"

    def __deepcopy__(self, memo: dict[int, Any]) -> WeightedSum:
        return self


@dataclass(frozen=True, repr=False)
class BatchFunction:
    """A plain function of one parameter as a reward, which says so where it fails.

    Someone who meant it to score one text at a time then learns why it was handed a batch.

    Raises:
        RewardError: if the function raises, or returns something that is not one number a text.
    """

    f: Callable[..., Any]

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """What the function makes of the batch, ``(B,)`` float64."""
        try:
            scores = np.asarray(self.f(batch), dtype=np.float64)
        except TextGymError:
            raise
        except Exception as error:
            raise RewardError(f"{type(error).__name__}: {error}. {self._hint}") from error
        if scores.shape != (len(batch),):
            raise RewardError(f"it returned shape {scores.shape} for {len(batch)} texts. {self._hint}")
        return scores

    @property
    def _hint(self) -> str:
        name = next(parameter.name for parameter in _signature(self.f) if _is_required(parameter))
        return (
            f"{_name(self.f)} has one parameter {name!r}, so it is given the whole batch; call it 'completion' to get "
            "one text at a time"
        )

    def __repr__(self) -> str:
        return _name(self.f)


def as_reward(function: object) -> Score:
    """Takes a reward as it is and wraps a plain function in :class:`PerText`; the signature decides.

    A callable with a parameter named ``prompt``, ``completion``, ``reference`` or ``references`` scores one
    text. Any other callable with one required parameter is a reward, which takes an
    :class:`~textgym.episodes.EpisodeBatch`.

    Raises:
        ConfigurationError: for a class, for something that cannot be called, and for any other signature.

    Example:
        >>> as_reward(lambda batch: batch.lengths.astype(float)).__name__
        '<lambda>'
        >>> type(as_reward(lambda prompt, completion: 0.0)).__name__
        'PerText'
    """
    if isinstance(function, type):
        raise ConfigurationError(f"reward={function.__name__} is a class; pass an instance: {function.__name__}(...)")
    if not callable(function):
        raise ConfigurationError(f"reward={function!r}: expected a function, a reward object or a reward's name")
    parameters = _signature(function)
    if any(parameter.name in TEXT_PARAMETERS for parameter in parameters):
        return PerText(function)
    required = [parameter for parameter in parameters if _is_required(parameter)]
    if len(required) != 1 or required[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise ConfigurationError(
            f"the reward {_name(function)} takes {_listed(p.name for p in parameters) or 'no argument'}; expected "
            "parameters named 'prompt', 'completion', 'reference' (one text a call) or a single one (an EpisodeBatch)"
        )
    # A parameter named 'batch', or attributes such as f.range, show that the author knows what a reward is.
    return BatchFunction(function) if required[0].name != "batch" and _is_plain(function) else function


def _is_plain(function: Any) -> bool:
    return inspect.isfunction(function) and not vars(function)


def _is_required(parameter: inspect.Parameter) -> bool:
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in starred


def _signature(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise ConfigurationError(f"{_name(function)} does not say what it takes; wrap it in a function") from None


def _term(name: object, part: Any) -> tuple[str, float, Score]:
    weight, reward = part if isinstance(part, tuple | list) and len(part) == 2 else (1.0, part)
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"the part {name!r} of a WeightedSum: expected a name, as in {{'fluency': reward}}")
    if isinstance(weight, bool) or not isinstance(weight, int | float | np.number) or not math.isfinite(weight):
        raise ConfigurationError(f"the part {name!r} of a WeightedSum has weight {weight!r}; expected a finite number")
    return name, float(weight), as_reward(reward)


def _check_range(ends: Range | None) -> Range:
    if ends is None:
        return UNBOUNDED
    pair = isinstance(ends, tuple | list) and len(ends) == 2
    if not pair or not all(isinstance(end, int | float | np.number) for end in ends) or not ends[0] <= ends[1]:
        raise ConfigurationError(f"range={ends!r}: expected two numbers, (least, greatest)")
    return float(ends[0]), float(ends[1])


def _name(function: object) -> str:
    return getattr(function, "__name__", None) or repr(function)


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names))
