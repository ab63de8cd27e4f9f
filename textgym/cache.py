"""Folders that are written once and used by every process: where they are, and how half of one is never seen."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textgym.errors import PromptError


def cache_folder() -> Path:
    """Where streamed prompts are kept: ``$TEXTGYM_CACHE``, else the user's cache folder.

    It may be deleted whenever no environment uses it.
    """
    if named := os.environ.get("TEXTGYM_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "textgym"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "textgym"


def keep(parent: Path, name: str, write: Callable[[Path], None]) -> Path:
    """The folder of that name, written first if it is not there; nobody ever sees half of it.

    Raises:
        PromptError: if it cannot be written.
    """
    folder = parent / name
    if folder.is_dir():
        return folder
    try:
        parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
        try:
            write(new)
            _move(new, folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise PromptError(
            f"streamed prompts cannot be kept in {str(parent)!r} ({error.strerror or error}); name a folder with room "
            "in the environment variable TEXTGYM_CACHE"
        ) from None
    return folder


def _move(new: Path, folder: Path) -> None:
    try:
        new.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was quicker, with the same
            raise


def hash_key(*parts: Any) -> str:
    """A short name for everything that a cached folder depends on."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:24]
