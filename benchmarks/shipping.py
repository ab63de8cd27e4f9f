"""What travels between machines that share no disk: modules of one's own to a worker, the folder of a run back."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from textgym.errors import ConfigurationError

from .records import RunSpec
from .run_keys import own_modules
from .sources import source_files

FOLDER_BYTES = 256 * 1024**2


def own_sources(specs: Iterable[RunSpec]) -> dict[str, bytes]:
    """The source of the modules of one's own that runs name, with what these import from beside them.

    What is installed is left out: it must be installed wherever it is to run.

    Returns:
        Path below a folder of modules, such as "mylab/agent.py" -> content.

    Raises:
        ConfigurationError: if a run names something in the script that is running, which nobody else can import.
    """
    found: dict[str, bytes] = {}
    for module in sorted(set().union(*(own_modules(spec) for spec in specs))):
        if module == "__main__":
            raise ConfigurationError(
                "a run names something in the script that is running (__main__), which another machine cannot import; "
                "move it into a module of its own and name that"
            )
        for name, path in source_files(module, installed=False).items():
            found |= {place: file.read_bytes() for place, file in _with_packages(name, path)}
    return found


def _with_packages(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    """A module's file, and the ``__init__`` files of the packages that it lies in."""
    parts = name.split(".")
    depth = len(parts) if path.name == "__init__.py" else len(parts) - 1
    root = path.parents[depth]
    yield path.relative_to(root).as_posix(), path
    for count in range(1, len(parts)):
        init = root.joinpath(*parts[:count], "__init__.py")
        if init.is_file():
            yield init.relative_to(root).as_posix(), init


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """A temporary folder of this process; what killed processes left of theirs is removed."""
    mine = f"textgym-{platform.node()}-"
    for left in Path(tempfile.gettempdir()).glob(f"{mine}*"):
        if not _is_alive(left.name.removeprefix(mine).partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{mine}{os.getpid()}-") as folder:
        yield Path(folder)


def _is_alive(process: str) -> bool:
    if not process.isdigit() or os.name == "nt":  # where asking would end it
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


@contextlib.contextmanager
def importable(sources: Mapping[str, bytes], folder: Path) -> Iterator[None]:
    """Makes modules importable that cannot be imported otherwise, here and in processes that are started meanwhile.

    They stand last in ``sys.path``: where the same module is there already, with its data files, that one is taken.

    Args:
        sources: What :func:`own_sources` found.
        folder: Where to write them.
    """
    unpack(sources, folder)
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def pack(folder: Path, limit: int = FOLDER_BYTES) -> dict[str, bytes]:
    """The files of a folder, by their paths below it.

    Raises:
        ConfigurationError: if they hold more bytes than the limit; nothing has been read then.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in paths)
    if size > limit:
        largest = max(paths, key=lambda path: path.stat().st_size)
        raise ConfigurationError(
            f"the run's folder holds {size:,} bytes, most of them in {largest.relative_to(folder).as_posix()}; at most "
            f"{limit:,} are sent back from another machine. Let save() write less, or run it with the executor 'local'"
        )
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def unpack(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes the files that :func:`pack` read.

    Raises:
        ConfigurationError: for a path that leads out of the folder; nothing has been written then.
    """
    for name in files:
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise ConfigurationError(f"{name!r} leads out of the folder of a run; nothing of it was written")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
