"""Values on their way between the grader and a submission: JSON with a few marked extras, and nothing unpickled.

Numbers, strings, lists, dicts, tuples and NumPy arrays go both ways. Towards the submission there are also frozen
dataclasses of :mod:`textgym.course` (built anew from their fields), torch tensors, objects that the grader answers for
(:class:`Served`) and objects that the submission keeps (:class:`Handle`).
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from textgym.errors import TextGymError

PACKAGE = "textgym.course."
NUMBERS = "biuf"
"""Kinds of arrays that travel: booleans, integers, floats."""


class WireError(TextGymError, ValueError):
    """A value that cannot travel between the grader and a submission."""


@dataclass(frozen=True)
class Handle:
    """An object that stays in the submission's process: the result of :meth:`Student.new`."""

    number: int


@dataclass(frozen=True)
class Tensor:
    """An array that the submission shall get as a torch tensor."""

    array: Any


@dataclass(frozen=True, eq=False)
class Served:
    """An object of which the submission gets a stand-in: its methods are answered in the grader's process.

    Attributes:
        methods: Name -> function; ``"__call__"`` makes the stand-in callable.
        fields: Name -> constant value, sent along once.
    """

    methods: Mapping[str, Callable[..., Any]]
    fields: Mapping[str, Any] = field(default_factory=dict)


def function(answer: Callable[..., Any]) -> Served:
    """A function that the submission may call and the grader answers."""
    return Served({"__call__": answer})


@dataclass
class Encoder:
    """Turns values into what JSON holds.

    Attributes:
        serving: The objects that were handed out, by number; None where none may be.
    """

    serving: dict[int, Served] | None = None

    def dumps(self, message: Mapping[str, Any]) -> bytes:
        """One line of JSON."""
        return json.dumps(message, separators=(",", ":")).encode() + b"\n"

    def encode(self, value: Any) -> Any:
        """A value as JSON data.

        Raises:
            WireError: for a value that cannot travel.
        """
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.longdouble):
            return float(value)
        if isinstance(value, np.generic) and not isinstance(value.item(), np.generic):
            return self.encode(value.item())
        if isinstance(value, list):
            return [self.encode(item) for item in value]
        if isinstance(value, tuple):
            return {"$tuple": [self.encode(item) for item in value]}
        if isinstance(value, Mapping):
            return {"$dict": [[self.encode(key), self.encode(item)] for key, item in value.items()]}
        if isinstance(value, np.ndarray):
            return _encode_array(value)
        if callable(getattr(value, "detach", None)):  # a torch tensor
            return _encode_array(np.asarray(value.detach().cpu().numpy()))
        return self._encode_object(value)

    def _encode_object(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return {"$tensor": _encode_array(np.asarray(value.array))}
        if isinstance(value, Handle):
            return {"$handle": value.number}
        if isinstance(value, Served) and self.serving is not None:
            self.serving[len(self.serving)] = value
            fields = [[name, self.encode(item)] for name, item in value.fields.items()]
            return {"$served": len(self.serving) - 1, "methods": list(value.methods), "fields": fields}
        kind = type(value)
        if dataclasses.is_dataclass(value) and kind.__module__.startswith(PACKAGE) and self.serving is not None:
            fields = [[f.name, self.encode(getattr(value, f.name))] for f in dataclasses.fields(value) if f.init]
            return {"$object": f"{kind.__module__}:{kind.__qualname__}", "fields": fields}
        raise WireError(f"a value of type {kind.__name__}: expected numbers, strings, lists, tuples, dicts or arrays")


def _encode_array(array: np.ndarray[Any, Any]) -> Any:
    if array.dtype.kind not in NUMBERS:
        raise WireError(f"an array of {array.dtype}: expected numbers")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:  # more digits than JSON's numbers have
        array = array.astype(np.float64)
    return {"$array": array.dtype.str, "shape": list(array.shape), "items": array.ravel().tolist()}


@dataclass
class Decoder:
    """Turns JSON data into values.

    Attributes:
        serve: (number, methods, fields) -> the stand-in of a :class:`Served`; None refuses them, and objects, too.
        handles: The kept objects by number.
    """

    serve: Callable[[int, list[str], dict[str, Any]], Any] | None = None
    handles: Mapping[int, Any] = field(default_factory=dict)

    def decode(self, data: Any) -> Any:
        """The value of JSON data.

        Raises:
            WireError: for data that :class:`Encoder` does not write.
        """
        if isinstance(data, list):
            return [self.decode(item) for item in data]
        if not isinstance(data, dict):
            return data
        try:
            return self._decode_marked(data)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise WireError(f"a damaged value ({type(error).__name__}: {error})") from None

    def _decode_marked(self, data: dict[str, Any]) -> Any:
        if "$tuple" in data:
            return tuple(self.decode(item) for item in data["$tuple"])
        if "$dict" in data:
            return {self.decode(key): self.decode(item) for key, item in data["$dict"]}
        if "$array" in data:
            return _decode_array(data)
        if self.serve is None:
            raise WireError(f"a marked value {sorted(data)} that only the grader may send")
        if "$tensor" in data:
            return importlib.import_module("torch").as_tensor(_decode_array(data["$tensor"]))
        if "$handle" in data:
            return self.handles[data["$handle"]]
        fields = {name: self.decode(item) for name, item in data["fields"]}
        if "$served" in data:
            return self.serve(data["$served"], data["methods"], fields)
        module, _, name = data["$object"].partition(":")
        return getattr(importlib.import_module(module), name)(**fields)


def _decode_array(data: dict[str, Any]) -> np.ndarray[Any, Any]:
    dtype = np.dtype(data["$array"])
    if dtype.kind not in NUMBERS:
        raise WireError(f"an array of {dtype}: expected numbers")
    return np.array(data["items"], dtype=dtype).reshape(data["shape"])
