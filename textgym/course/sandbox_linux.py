"""Locks a process in, with the kernel's own means: a script that starts another one inside Linux namespaces.

The process that is started sees only the folders that it needs, read-only; one small folder of its own in memory; no
network, no other processes, and no rights that it could use to get out. When it ends, whatever it has started ends with
it. Needs no rights and no other package, only a kernel (5.12 or later) that lets users make namespaces. Where any of it
fails, it says so and starts nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from functools import cache
from pathlib import Path
from typing import Any

# linux/sched.h, linux/mount.h, linux/prctl.h; the numbers of the system calls are those of every architecture.
NEW_NAMESPACES = 0x10000000 | 0x00020000 | 0x40000000 | 0x20000000 | 0x08000000 | 0x04000000  # user fs net pid ipc uts
BIND, REC, PRIVATE, NOSUID, NODEV, NOEXEC = 4096, 16384, 1 << 18, 2, 4, 8
DETACH, AT_FDCWD, AT_RECURSIVE = 2, -100, 0x8000
READ_ONLY, ATTR_NOSUID = 1, 2
SYS_MOUNT_SETATTR = 442
SET_PDEATHSIG, SET_NO_NEW_PRIVS = 1, 38
INNER_ID = 1000
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
FAILED = 97
"""The exit status that means: nothing was started."""


@cache
def libc() -> ctypes.CDLL:
    """The C library."""
    return ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raises OSError where a call of the C library has failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """The system call of this name."""
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    check(libc().mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]), f"mount {target}")


class MountAttributes(ctypes.Structure):
    """struct mount_attr."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "namespace")]


def seal(target: str, *, recursive: bool = True) -> None:
    """Makes a mounted folder, and all that is mounted below it, read-only."""
    attributes = MountAttributes(READ_ONLY | ATTR_NOSUID, 0, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    call = (ctypes.c_long(SYS_MOUNT_SETATTR), AT_FDCWD, target.encode(), flags, ctypes.byref(attributes), size)
    check(libc().syscall(*call), f"seal {target}")


def enter_namespaces() -> None:
    """New namespaces of every kind, in which this user has another number and no rights outside."""
    user, group = os.getuid(), os.getgid()
    check(libc().unshare(NEW_NAMESPACES), "unshare")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{INNER_ID} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{INNER_ID} {group} 1", encoding="ascii")


def show(path: str, root: str) -> None:
    """Shows a file or folder at the same place below ``root``, read-only; links stay links."""
    place = Path(root + path)
    if place.is_symlink() or not os.path.lexists(path):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if Path(path).is_symlink():
        place.symlink_to(Path(path).readlink())
        return
    if Path(path).is_dir():
        place.mkdir(exist_ok=True)
    elif not place.exists():
        place.touch()
    mount(path, str(place), None, BIND | REC)
    seal(str(place))


def build_view(settings: dict[str, Any]) -> None:
    """A root of its own: the folders to show, the ones to hide again, some devices and the private folder."""
    root, private, size = settings["root"], settings["private"], settings["disk_bytes"]
    mount("none", "/", None, REC | PRIVATE)
    mount("view", root, "tmpfs", NOSUID | NODEV, "size=1m,mode=755")
    for path in (*settings["shown"], *DEVICES):
        show(path, root)
    for path in settings["hidden"]:
        if Path(root + path).is_dir():
            mount("nothing", root + path, "tmpfs", NOSUID | NODEV, "size=4k,mode=755")
            seal(root + path)
        elif Path(root + path).is_file():
            mount("/dev/null", root + path, None, BIND)
    Path(root + private).mkdir(parents=True, exist_ok=True)
    mount("private", root + private, "tmpfs", NOSUID | NODEV, f"size={size},mode=700")
    Path(root, "proc").mkdir()
    Path(root, ".old").mkdir()


def change_root(root: str) -> None:
    """Makes ``root`` the only thing there is."""
    with contextlib.suppress(OSError):  # inside containers it may not be mounted; what is needed works without it
        mount("proc", f"{root}/proc", "proc", NOSUID | NODEV | NOEXEC)
    os.chdir(root)
    check(libc().syscall(ctypes.c_long(_pivot_root()), b".", b".old"), "pivot_root")
    os.chdir("/")
    check(libc().umount2(b"/.old", DETACH), "umount")
    seal("/", recursive=False)


def _pivot_root() -> int:
    """The number of the call, which is older than the common numbers."""
    return {"x86_64": 155, "aarch64": 41, "riscv64": 41}[os.uname().machine]


def drop_rights(settings: dict[str, Any]) -> None:
    """No further namespaces, no new rights; what exec keeps of the old ones is nothing, for a user that is not root."""
    for name in ("user", "mnt", "net", "pid"):
        with contextlib.suppress(OSError):  # without /proc: the other locks hold
            Path(f"/proc/sys/user/max_{name}_namespaces").write_text("0", encoding="ascii")
    check(libc().prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    os.chdir(settings["private"])


def follow(pid: int) -> int:
    """Waits for a child; its exit status, or 128 and the number of the signal that ended it."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main() -> None:
    """Three processes: this one waits outside, one buries the dead inside, the third is what was asked for."""
    settings = json.loads(sys.argv[1])
    libc().prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        enter_namespaces()
        build_view(settings)
    except (OSError, KeyError, AttributeError) as error:
        os.write(2, f"no namespaces: {error}\n".encode())
        os._exit(FAILED)
    inside = os.fork()
    if inside:
        os._exit(follow(inside))
    libc().prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        change_root(settings["root"])
        drop_rights(settings)
    except (OSError, KeyError) as error:
        os.write(2, f"no view of its own: {error}\n".encode())
        os._exit(FAILED)
    worker = os.fork()
    if worker:
        for number in (0, 1, 2):
            os.close(number)
        os._exit(follow(worker))
    os.execve(settings["command"][0], settings["command"], os.environ)


if __name__ == "__main__":
    main()
