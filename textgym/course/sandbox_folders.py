"""How the process of a submission is started: commands, environment, and the folders that it may see."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from textgym.course.sandbox_limits import SandboxLimits

HERE = Path(__file__).resolve().parent
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/nix/store", "/gnu/store", "/etc/ld.so.cache", "/etc/localtime")
CommandOf = Callable[[Path, SandboxLimits, Sequence[str]], "list[str] | str"]
"""(scratch folder, limits, forbidden modules) -> the command, or the reason why there is none."""

OWN_GROUP: dict[str, Any] = (
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    if sys.platform == "win32"
    else {"start_new_session": True}
)


def plain_command(scratch: Path, limits: SandboxLimits, forbidden: Sequence[str]) -> list[str]:
    """Python in isolated mode on the child's script."""
    settings = {
        "folder": str(scratch / "files"),
        "paths": [str(HERE.parents[1])],
        "gigabytes": limits.gigabytes,
        "seconds": limits.total_seconds,
        "megabytes": limits.disk_megabytes,
        "confined": False,
        "hidden": hidden_places(forbidden),
    }
    return _worker(settings)


def _worker(settings: dict[str, Any]) -> list[str]:
    flags = ["-I", "-u", "-B", "-X", "utf8"] if _is_found_alone() else ["-P", "-u", "-B", "-X", "utf8"]
    return [sys.executable, *flags, str(HERE / "sandbox_child.py"), json.dumps(settings)]


def _is_found_alone() -> bool:
    """Whether an isolated Python would find NumPy: it would not in the user's own site-packages."""
    found = find_spec("numpy")
    user = site.getusersitepackages()
    return found is None or found.origin is None or not found.origin.startswith(user)


def confined_command(scratch: Path, limits: SandboxLimits, forbidden: Sequence[str]) -> list[str] | str:
    """The same inside namespaces of Linux."""
    if not sys.platform.startswith("linux"):
        return "namespaces are a matter of Linux"
    (scratch / "root").mkdir()
    worker = plain_command(scratch, limits, forbidden)
    worker[-1] = json.dumps({**json.loads(worker[-1]), "confined": True})
    settings = {
        "root": str(scratch / "root"),
        "private": str(scratch / "files"),
        "disk_bytes": limits.disk_megabytes * 1024**2,
        "shown": shown_folders(),
        "hidden": hidden_places(forbidden),
        "command": worker,
    }
    return [sys.executable, "-I", "-S", "-B", str(HERE / "sandbox_linux.py"), json.dumps(settings)]


def shown_folders() -> list[str]:
    """What a Python process with textgym needs to see: the system's libraries, the interpreter, the packages."""
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    own = [_package_folder(name) for name in ("textgym", "textgym.agents", "textgym.benchmarks")]
    own += [os.path.realpath(folder) for folder in own if folder]  # packages may be folders of links
    interpreter = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
    found = [*SYSTEM, *interpreter, *packages, *own]
    return [path for path in dict.fromkeys(found) if path and os.path.lexists(path) and path != "/"]


def hidden_places(forbidden: Sequence[str]) -> list[str]:
    """What a submission shall not even be able to read: folders of forbidden packages, files of forbidden modules.

    Compiled files are among them, and what a link leads to.
    """
    specs = [spec for name in forbidden if (spec := find_spec(name)) is not None]
    found = [folder for spec in specs for folder in spec.submodule_search_locations or ()]
    files = [Path(spec.origin) for spec in specs if spec.origin and not spec.submodule_search_locations]
    for file in files:
        found += map(str, [file, *file.parent.glob(f"__pycache__/{file.stem}.*.pyc")])
    return list(dict.fromkeys([*found, *map(os.path.realpath, found)]))


def _package_folder(name: str) -> str:
    spec = find_spec(name)
    return "" if spec is None or spec.origin is None else str(Path(spec.origin).parent)


def environment(folder: Path, extra: dict[str, str]) -> dict[str, str]:
    """The variables of the process: nothing of the grader's own but what the system cannot do without."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT", "PATH", "LD_LIBRARY_PATH") if name in os.environ}
    own = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "MPLCONFIGDIR"), str(folder))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **own, **threads, "LANG": "C.UTF-8", **extra}
