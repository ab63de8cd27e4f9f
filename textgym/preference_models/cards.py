"""The folder of a reward model: ``card.json`` beside ``model.safetensors``, written as a whole, checked when read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError
from textgym.folders import find_folder, replace_folder

FORMAT = "textgym reward model 1"
CARD = "card.json"
WEIGHTS = "model.safetensors"
PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib")

_NUMBER = (int, float)
_FIELDS: Mapping[str, Any] = {
    "format": str,
    "kind": str,
    "env_id": str,
    "env_kwargs": dict,
    "tokenizer": {"fingerprint": str, "vocab_size": int, "eos_ids": list, "vocabulary": list},
    "data": {"hash": str, "judgements": int, "skipped": int, "ties": int, "texts": int, "prompts": int},
    "split": {"unit": str, "holdout": _NUMBER, "held_out": list, "refitted": bool, "judgements": int},
    "seed": int,
    "settings": dict,
    "limit": _NUMBER,
    "members": list,
    "metrics": dict,
}
_MEMBER: Mapping[str, Any] = {
    "seed": int,
    "center": _NUMBER,
    "spread": _NUMBER,
    "judging": {"sharpness": _NUMBER, "side": _NUMBER, "tie": _NUMBER, "reliabilities": dict},
    "description": dict,
}


def refuse_pickle(path: Path) -> None:
    """Raises ConfigurationError for a file whose name says that it is a pickle; it is not opened."""
    if path.suffix.lower() in PICKLES:
        raise ConfigurationError(
            f"{str(path)!r} looks like a pickle, which can run any code when it is read; expected a folder with "
            f"{CARD} and {WEIGHTS}, or a .safetensors file written by NGramModel.save"
        )


def is_reward_model(folder: Path) -> bool:
    """Whether there is a reward model in this folder, or was when the process that replaced it died."""
    found = find_folder(folder)
    return found is not None and (found / CARD).is_file() and not (found / "config.json").exists()  # a classifier's


def check_place(path: Path) -> None:
    """Raises ConfigurationError if there is something that a reward model must not replace."""
    if path.exists() and not (path.is_dir() and (is_reward_model(path) or not any(path.iterdir()))):
        raise ConfigurationError(
            f"{str(path)!r} exists and holds no reward model, so it is not replaced; name another folder"
        )


def write_folder(
    path: Path,
    card: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    write_more: Callable[[Path], None] | None = None,
) -> None:
    """Writes a reward model; a reader sees the old one or the new one, never a part.

    Args:
        path: The folder; it may not exist, be empty, or hold a reward model, which is replaced.
        card: What is said of it.
        arrays: The weights.
        write_more: Puts further files into the folder.

    Raises:
        ConfigurationError: if something else is there.
    """
    path = Path(path)
    check_place(path)
    check_card(card, str(path))
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        _write(scratch, card, arrays)
        if write_more is not None:
            write_more(scratch)
        replace_folder(scratch, path)
    except OSError as error:
        raise ConfigurationError(f"the reward model {str(path)!r} cannot be written: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(folder: Path, card: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / WEIGHTS)
    (folder / CARD).write_text(json.dumps(dict(card), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_folder(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The card and the weights of a reward model.

    Raises:
        ConfigurationError: for a pickle, a folder without a reward model, and a card that is not as it must be.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    card = read_card(path)
    try:
        return card, load_file(Path(path) / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ConfigurationError(f"the weights of {str(path)!r} cannot be read ({error}); fit it again") from error


def read_card(path: Path) -> dict[str, Any]:
    """The card of a reward model, checked.

    Raises:
        ConfigurationError: for a pickle, a folder without a card, and a card that is not as it must be.
    """
    path = Path(path)
    refuse_pickle(path)
    if not is_reward_model(path):
        raise ConfigurationError(f"{str(path)!r} is no reward model: expected a folder with {CARD} and {WEIGHTS}")
    try:
        card = json.loads((path / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the card of {str(path)!r} cannot be read ({error})") from error
    return check_card(card, str(path))


def check_card(card: Any, source: str) -> dict[str, Any]:
    """The card, if it is as it must be.

    Raises:
        ConfigurationError: naming the first field that is missing or of another kind.
    """
    if not isinstance(card, Mapping) or card.get("format") != FORMAT:
        found = card.get("format") if isinstance(card, Mapping) else type(card).__name__
        raise ConfigurationError(f"the card of {source!r} has the format {found!r}; this textgym reads {FORMAT!r}")
    _check(card, _FIELDS, source, "")
    if not card["members"]:
        raise ConfigurationError(f"the card of {source!r} has no members: expected at least one")
    for number, member in enumerate(card["members"]):
        _check(member, _MEMBER, source, f"members[{number}].")
        if not member["spread"] > 0:
            raise ConfigurationError(f"the card of {source!r}: members[{number}].spread must be above 0")
    return dict(card)


def _check(values: Any, fields: Mapping[str, Any], source: str, where: str) -> None:
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"the card of {source!r}: {where.rstrip('.')} is no object")
    for name, kind in fields.items():
        if name not in values:
            raise ConfigurationError(f"the card of {source!r} lacks {where}{name}")
        if isinstance(kind, Mapping):
            _check(values[name], kind, source, f"{where}{name}.")
        elif not isinstance(values[name], kind) or (isinstance(values[name], bool) and kind is not bool):
            raise ConfigurationError(
                f"the card of {source!r}: {where}{name} is {values[name]!r}; expected {_name(kind)}"
            )


def _name(kind: Any) -> str:
    names = {str: "a text", int: "a whole number", bool: "true or false", dict: "an object", list: "a list"}
    return names.get(kind, "a number")
