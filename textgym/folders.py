"""Folders that are replaced as a whole: a reader sees the old one or the new one, never a part."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def replace_folder(scratch: Path, path: Path) -> None:
    """Puts a finished folder in the place of another.

    Whenever the process dies, the old folder or the new one is whole: at ``path``, or between the two renames at
    :func:`old_of`, which is only ever emptied while ``path`` is there.
    """
    old = old_of(path)
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(path, old)
    os.replace(scratch, path)
    shutil.rmtree(old, ignore_errors=True)


def old_of(path: Path) -> Path:
    """Where a folder stands while it is being replaced."""
    return path.with_name(f".{path.name}.old")


def find_folder(path: Path) -> Path | None:
    """The folder, brought back where the process died while it was being replaced; None where there is none."""
    if not path.is_dir() and old_of(path).is_dir():
        os.replace(old_of(path), path)
    return path if path.is_dir() else None
