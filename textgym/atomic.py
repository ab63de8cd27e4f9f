"""Files that are written whole: a reader sees the old content or the new, never a part."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from textgym.errors import ConfigurationError


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Writes a file beside its place and then moves it there.

    Args:
        path: Where to; the folder must exist.
        content: Text is written as UTF-8, with the line ends that it has.

    Raises:
        ConfigurationError: if it cannot be written there.
    """
    place = Path(path)
    scratch = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
    try:
        scratch.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        os.replace(scratch, place)
    except OSError as error:
        raise ConfigurationError(f"{str(place)!r} cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            scratch.unlink()
