"""Checkpoints: everything that the next update depends on, in one folder that is replaced as a whole.

The randomness of an update is a pure function of the seed and its number, so there are no generators to keep.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.folders import find_folder, old_of, replace_folder

FOLDER = "checkpoint"
STATE = "state.json"
OPTIMIZER = "optimizer"
TENSORS = "tensors"
INDIFFERENT = ("device", "tensorboard", "checkpoint_every", "kl_bound", "exact_every")


def write_checkpoint(
    folder: Path,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    tensors: Mapping[str, Tensor] | None = None,
) -> Path:
    """Writes a checkpoint; a reader sees the old one or the new one, never a part.

    Args:
        folder: The run's.
        modules: Name -> what has weights.
        optimizer: Its state is a tensor or a number for each parameter.
        state: Whatever else is needed, as JSON.
        tensors: And as tensors.
    """
    path = folder / FOLDER
    scratch = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for name, module in modules.items():
        save_file(_own(module.state_dict()), scratch / f"{name}.safetensors")
    save_file(_own(_flat(optimizer)), scratch / f"{OPTIMIZER}.safetensors")
    if tensors:
        save_file(_own(tensors), scratch / f"{TENSORS}.safetensors")
    (scratch / STATE).write_text(json.dumps(dict(state), indent=2) + "\n", encoding="utf-8")
    replace_folder(scratch, path)
    return path


def read_checkpoint(
    folder: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Puts the weights of a checkpoint back and returns its state and further tensors.

    Raises:
        ConfigurationError: for a checkpoint that is damaged or belongs to another model.
    """
    path = find_checkpoint(folder)
    assert path is not None
    try:
        state = read_state(folder)
        for name, module in modules.items():
            module.load_state_dict(load_file(path / f"{name}.safetensors"), strict=True)
        _fill(optimizer, load_file(path / f"{OPTIMIZER}.safetensors"))
        further = path / f"{TENSORS}.safetensors"
        return state, load_file(further) if further.is_file() else {}
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise _unfit(path, error) from error


def read_state(folder: Path) -> dict[str, Any]:
    """What a checkpoint says in JSON.

    Raises:
        ConfigurationError: for a checkpoint that is damaged.
    """
    path = find_checkpoint(folder)
    assert path is not None
    try:
        state: dict[str, Any] = json.loads((path / STATE).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise _unfit(path, error) from error
    return state


def _unfit(path: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the checkpoint {str(path)!r} does not fit this run ({type(error).__name__}: {error}); go on with the "
        "options that it began with, or begin anew in another folder"
    )


def options_of(config: Any, envs: EnvFactory, **others: Any) -> dict[str, Any]:
    """All that decides where a run ends; what only decides how fast, or what is seen of it, is left out."""
    names = {name: value for name, value in asdict(config).items() if name not in INDIFFERENT}
    plain = {name: value for name, value in envs.kwargs.items() if isinstance(value, bool | int | float | str)}
    return {**names, **others, "env": envs.env_id, **{f"env.{name}": value for name, value in plain.items()}}


def check_options(folder: Path, options: Mapping[str, Any]) -> None:
    """Compares the options of a run with those of the run that wrote the checkpoint.

    Raises:
        ConfigurationError: naming the first that differs, since the run would not end where it would have.
    """
    theirs, ours = read_state(folder)["options"], json.loads(json.dumps(dict(options)))
    for name in {**theirs, **ours}:
        mine, other = (found.get(name, "nothing") for found in (ours, theirs))
        if mine != other:
            raise ConfigurationError(
                f"{name}={mine!r}, but the checkpoint in {str(folder)!r} was written with {other!r}; go on with the "
                "options that it began with, or begin anew in another folder"
            )


def checkpoint_modules(folder: Path) -> list[str]:
    """What has weights in the checkpoint of a run folder."""
    path = find_checkpoint(folder)
    files = [] if path is None else sorted(path.glob("*.safetensors"))
    return [file.stem for file in files if file.stem not in (OPTIMIZER, TENSORS)]


def find_checkpoint(folder: Path | None) -> Path | None:
    """The checkpoint of a run folder, or None. One that was being replaced when the process died counts."""
    return None if folder is None else find_folder(folder / FOLDER)


def remove_checkpoint(folder: Path) -> None:
    """Removes what an earlier run left; a process that dies here leaves a whole checkpoint or none."""
    path, scratch = folder / FOLDER, folder / f".{FOLDER}.tmp"
    for litter in (old_of(path), scratch):
        shutil.rmtree(litter, ignore_errors=True)
    if path.exists():
        os.replace(path, scratch)
        shutil.rmtree(scratch, ignore_errors=True)


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
