"""Checkpoints: everything that the next update depends on, in one folder that is replaced as a whole.

The randomness of an update is a pure function of the seed and its number, so there are no generators to keep.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from textgym.agents.lm.export import replace_folder
from textgym.errors import ConfigurationError

FOLDER = "checkpoint"
STATE = "state.json"


def write_checkpoint(
    folder: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> Path:
    """Writes a checkpoint; a reader sees the old one or the new one, never a part.

    Args:
        folder: The run's.
        modules: Name -> what has weights.
        optimizer: Its state is a tensor or a number for each parameter.
        state: Whatever else is needed, as JSON.
    """
    path = folder / FOLDER
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for name, module in modules.items():
        save_file(_own(module.state_dict()), scratch / f"{name}.safetensors")
    save_file(_own(_flat(optimizer)), scratch / "optimizer.safetensors")
    (scratch / STATE).write_text(json.dumps(dict(state), indent=2) + "\n", encoding="utf-8")
    replace_folder(scratch, path)
    return path


def read_checkpoint(folder: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Puts the weights of a checkpoint back and returns its state.

    Raises:
        ConfigurationError: for a checkpoint that is damaged or belongs to another model.
    """
    path = find_checkpoint(folder)
    assert path is not None
    try:
        state: dict[str, Any] = json.loads((path / STATE).read_text(encoding="utf-8"))
        for name, module in modules.items():
            module.load_state_dict(load_file(path / f"{name}.safetensors"), strict=True)
        _fill(optimizer, load_file(path / "optimizer.safetensors"))
    except (OSError, SafetensorError, RuntimeError, KeyError, json.JSONDecodeError) as error:
        raise ConfigurationError(
            f"the checkpoint {str(path)!r} does not fit this run ({type(error).__name__}: {error}); go on with the "
            "options that it began with, or begin anew in another folder"
        ) from error
    return state


def checkpoint_modules(folder: Path) -> list[str]:
    """What has weights in the checkpoint of a run folder."""
    path = find_checkpoint(folder)
    return [] if path is None else sorted(file.stem for file in path.glob("*.safetensors") if file.stem != "optimizer")


def find_checkpoint(folder: Path | None) -> Path | None:
    """The checkpoint of a run folder, or None. One that was being replaced when the process died counts."""
    if folder is None:
        return None
    path = folder / FOLDER
    if (path / STATE).is_file():
        return path
    for old in sorted(folder.glob(f".{FOLDER}.*.old")) if folder.is_dir() else ():
        os.replace(old, path)
        return path
    return None


def _own(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies, since safetensors refuses tensors that share memory, as tied embeddings do."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def _fill(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    whole = optimizer.state_dict()
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        states.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**whole, "state": states})
