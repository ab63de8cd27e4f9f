"""One comparison at a time in a folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from textgym.errors import ConfigurationError

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder; the system lets go of it when the process ends, however it ends.

    Raises:
        ConfigurationError: if another process holds it, or nothing can be written there.
    """
    try:
        opened = (folder / LOCK).open("ab")
    except OSError as error:
        raise ConfigurationError(
            f"nothing can be written into {str(folder)!r}: {error.strerror or error}; give another folder"
        ) from None
    with opened as file:
        try:
            _take(file.fileno())
        except OSError:
            raise ConfigurationError(
                f"another process is running a comparison in {str(folder)!r}; wait for it, or give another folder"
            ) from None
        yield


def _take(descriptor: int) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
