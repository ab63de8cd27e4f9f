"""What a submission may not do, said in sentences: an audit hook in its own process.

The hook turns away imports of what would give the answers, writing outside the private folder, other processes and the
network, and tells the grader. It is the friendly half of the confinement and works on every system, but Python code
that means harm can get around it: limits of the system, namespaces and the watchdog hold what it does not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {
    "os.remove": "delete",
    "os.rename": "move",
    "os.mkdir": "make",
    "os.rmdir": "delete",
    "os.chmod": "change",
    "os.truncate": "cut",
    "os.symlink": "make",
    "os.link": "make",
}
PROCESSES = (
    "subprocess.Popen os.system os.fork os.forkpty os.exec os.posix_spawn os.spawn os.startfile pty.spawn".split()
)
SIGNALS = ("os.kill", "os.killpg")
NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo")


@dataclass
class Guard:
    """Judges audit events, and imports as a finder of ``sys.meta_path``.

    Attributes:
        folder: The private folder, where everything may be written.
        forbidden: Modules that may not be imported, with all below them.
        hidden: Their files and folders, which may not be read either.
        tell: Is told each kind of attempt once, in words.
    """

    folder: str
    forbidden: tuple[str, ...]
    hidden: tuple[str, ...]
    tell: Callable[[str], None]
    _told: set[str] = field(default_factory=set)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raises for what is not allowed (PermissionError, or ImportError for modules)."""
        if event == "import":
            self._import(arguments[0])
        elif event == "open":
            self._open(*arguments[:3])
        elif event in CHANGES:
            paths = arguments[1:2] if event in ("os.symlink", "os.link") else arguments[:1]
            for path in paths:
                if not self._is_inside(path):
                    self._refuse(f"tried to {CHANGES[event]} {_shown(path)}, which is outside its folder")
        elif event in PROCESSES:
            self._refuse("tried to start another process")
        elif event in SIGNALS:
            self._refuse("tried to send a signal to a process")
        elif event in NETWORK:
            self._refuse("tried to use the network")

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Finds no module, but turns away what is forbidden: ``importlib.import_module`` raises no audit event."""
        self._import(name)

    def _import(self, name: str) -> None:
        for module in self.forbidden:
            if name == module or name.startswith(module + "."):
                self._note(f"tried to import {name}, which would give the answers away")
                raise ImportError(f"{name} is not there while a submission is graded: the point is to write it")

    def _open(self, path: Any, mode: Any, flags: Any) -> None:
        writes = set(mode or "") & set("wax+") if isinstance(mode, str) else (flags or 0) & WRITES
        if isinstance(path, int) or path is None or _shown(path) in (os.devnull, "/dev/tty"):
            return
        if _is_below(path, *self.hidden):
            self._refuse(f"tried to read {Path(_shown(path)).name}, which would give the answers away")
        if writes and not self._is_inside(path):
            self._refuse(f"tried to write {_shown(path)}, which is outside its folder")

    def _is_inside(self, path: Any) -> bool:
        if isinstance(path, int):
            return True  # a descriptor: opening it was judged
        return _is_below(path, self.folder)

    def _refuse(self, attempt: str) -> None:
        self._note(attempt)
        raise PermissionError(f"a submission {attempt}: that is not allowed while it is graded")

    def _note(self, attempt: str) -> None:
        if attempt not in self._told and len(self._told) < 20:
            self._told.add(attempt)
            self.tell(attempt)


def _is_below(path: Any, *folders: str) -> bool:
    place = os.path.realpath(os.fsdecode(path))
    return any(place == folder or place.startswith(folder + os.sep) for folder in folders)


def _shown(path: Any) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        return str(path)


def install(folder: Path, forbidden: Iterable[str], hidden: Iterable[str], tell: Callable[[str], None]) -> None:
    """Guards this process from now on; there is no way back."""
    guard = Guard(os.path.realpath(folder), tuple(forbidden), tuple(hidden), tell)
    sys.meta_path.insert(0, guard)
    sys.addaudithook(guard)
