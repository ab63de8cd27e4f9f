"""The rule that a fresh process, whatever its hash seed, writes the same texts."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator

from textgym.checks._rollout import UNREADABLE, rollout
from textgym.checks.copies import pickles
from textgym.checks.recording import compare
from textgym.checks.rules import NotApplicableError, rule
from textgym.checks.scores import reward_alone
from textgym.checks.subject import Subject

HASH_SEEDS = ("0", "1")
SECONDS = 300.0


@rule(
    mend="Never let the order of a set, hash() or id() decide anything: sort, or use zlib.crc32",
    needs=(pickles, reward_alone),
    full=True,
)
def processes(subject: Subject) -> Iterator[str]:
    """Fresh processes under PYTHONHASHSEED 0 and 1 play as this one does."""
    try:
        work = pickle.dumps(subject.spec)
    except Exception as error:
        raise NotApplicableError(f"it cannot be sent to another process: {error}") from None
    children = [_start(seed) for seed in HASH_SEEDS]
    try:
        outputs = [child.communicate(work, timeout=SECONDS) for child in children]
    finally:
        for child in children:
            child.kill()  # nothing happens to one that has ended
    for child, (_, message) in zip(children, outputs, strict=True):
        if child.returncode == UNREADABLE:
            raise NotApplicableError(f"another process cannot read it: {_last_line(message)}; put it into a module")
        if child.returncode:
            yield f"in another process it failed: {_last_line(message)}"
    first, second = (pickle.Unpickler(io.BytesIO(output)).load() for output, _ in outputs)  # noqa: S301 - our own
    if found := compare(first, second, tolerance=subject.tolerance):
        yield f"PYTHONHASHSEED=0 and PYTHONHASHSEED=1 give different plays: {found}"
    if found := compare(first, rollout(subject.single()), tolerance=subject.tolerance):
        yield f"a fresh process plays otherwise than this one: {found}"


def _start(hash_seed: str) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109 - a string is what is needed
    return subprocess.Popen(
        [sys.executable, "-m", "textgym.checks._rollout"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths},
    )


def _last_line(message: bytes) -> str:
    return (message.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
