"""A submission in a process of its own: limited, confined where the system can, and asked questions.

What it says is never believed: answers are JSON, the grader compares them with the truth that it has worked out itself.
On Linux the process sits in namespaces (:mod:`textgym.course.sandbox_linux`); elsewhere it has limits, a watchdog and
the audit hook of :mod:`textgym.course.guard`, and :attr:`Student.warning` says so.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from textgym.course import sandbox_folders, sandbox_watch
from textgym.course.sandbox_limits import Raised, SandboxError, SandboxLimits, Unanswered, complaint, ending, plain
from textgym.course.sandbox_pipes import Keeper, TooLong, read_lines
from textgym.course.wire import Decoder, Encoder, Handle, Served, WireError

__all__ = ["FORBIDDEN", "Raised", "SandboxError", "SandboxLimits", "Student", "Unanswered"]

FORBIDDEN = ("textgym.exact", "textgym.course.weeks", "textgym.course.models")
LOOK_SECONDS = 0.05
START_SECONDS = 60.0
MOST_PROCESSES = 32
MOST_ASKS = 1_000_000
MOST_ANSWER_BYTES = 8 * 1024**2


@dataclass
class Student:
    """A submission that is asked questions. Use it as a context manager; it starts when it is first asked.

    After a crash, a time-out or :meth:`restart` the next question begins a new process, which runs the file anew.

    Attributes:
        source: The submitted file's text.
        limits: What it may use.
        forbidden: Modules that it may not import.
        confine: Whether to try namespaces; None stands for "where the system can".
        warning: Why the process is not confined, or None.
        attempts: What it tried that is not allowed, in words.
        printed: What it printed, cut.
        memory: What the grader wants to keep as long as this process lives, such as handles; a restart empties it.
    """

    source: str
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    forbidden: Sequence[str] = FORBIDDEN
    confine: bool | None = None
    warning: str | None = None
    attempts: list[str] = field(default_factory=list)
    printed: Keeper = field(default_factory=Keeper)
    memory: dict[Any, Any] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _folder: Path | None = field(default=None, init=False)
    _names: list[str] = field(default_factory=list, init=False)
    _broken: str | None = field(default=None, init=False)
    _waited: float = field(default=0.0, init=False)
    mark: str = field(default="", init=False)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a function of the submission and returns what it returns.

        Args:
            name: A function of the file; or ``"package.module:function"`` of textgym, a driver that runs over there
                and gets the student's module as its first argument.
            *args: Values of :mod:`textgym.course.wire`.
            **kwargs: Likewise.

        Raises:
            Unanswered: if it raises, hangs, ends, uses too much or returns something that cannot travel.
        """
        return self._ask("call", None, name, args, kwargs)

    def new(self, name: str, *args: Any, **kwargs: Any) -> Handle:
        """Calls a class or function of the submission and keeps the result over there; see :meth:`call`."""
        return Handle(self._ask("keep", None, name, args, kwargs))

    def on(self, handle: Handle, method: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a method of an object from :meth:`new`; see :meth:`call`."""
        return self._ask("call", handle.number, method, args, kwargs)

    def defines(self, name: str) -> bool:
        """Whether the file defines this name."""
        self._start()
        return name in self._names

    def restart(self) -> None:
        """Ends the process: the next question begins a new one."""
        process, self._process = self._process, None
        self.memory.clear()
        if process is None:
            return
        sandbox_watch.end(process.pid, self.mark)
        process.wait()
        self._reader.close()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        self.printed.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restart()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _start(self) -> None:
        """Starts the process and runs the file in it."""
        if self._broken is not None:
            raise Unanswered(self._broken)
        if self._process is not None:
            return
        if self.confine is not False and self.warning is None:
            reason = self._launch(sandbox_folders.confined_command)
            if reason is not None:
                if self.confine:
                    raise SandboxError(
                        f"this system cannot confine a submission ({reason}); leave --confine away, or grade elsewhere"
                    )
                self.warning = f"files and network are not confined here ({reason})"
        if self._process is None:
            if self.warning is None:
                self.warning = "files and network are not confined, as asked"
            reason = self._launch(sandbox_folders.plain_command)
            if reason is not None:
                raise SandboxError(f"the process of a submission could not be started: {reason}")
        question = {"do": "load", "source": self.source, "forbidden": list(self.forbidden)}
        try:
            names = self._converse(question, "running the file", {})
        except Unanswered as error:
            self._broken = str(error)  # it would fail again
            self.restart()
            raise
        self._names = [*map(str, names)] if isinstance(names, list) else []

    def _launch(self, command_of: sandbox_folders.CommandOf) -> str | None:
        """Starts the process by this command; the reason if it does not say hello."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="textgym-")).resolve()
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / "files").mkdir(parents=True)
        command = command_of(self._folder, self.limits, self.forbidden)
        if isinstance(command, str):
            return command
        self.mark, self._waited = secrets.token_hex(8), 0.0
        environment = sandbox_folders.environment(self._folder / "files", {sandbox_watch.MARK: self.mark})
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=self._folder / "files",
            **sandbox_folders.OWN_GROUP,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._reader = read_lines(self._process.stdout, MOST_ANSWER_BYTES)
        self.printed.follow(self._process.stderr)
        before = len(self.printed.text)
        line = self._reader.get(START_SECONDS)
        if line is not None and not isinstance(line, TooLong) and line.startswith(b'{"hello":'):
            return None
        self.restart()
        reason = self.printed.text[before:].strip().splitlines()
        self.printed.forget()
        return reason[-1] if reason else "it does not start"

    def _ask(self, do: str, on: int | None, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self._start()
        if on is None and ":" not in name and name not in self._names:
            raise Unanswered(f"the file defines no {name}")
        serving: dict[int, Served] = {}
        encoder = Encoder(serving)
        question = {"do": do, "on": on, "name": name, "args": encoder.encode(list(args))}
        question["kwargs"] = encoder.encode(dict(kwargs))
        return self._converse(question, name.rpartition(":")[2] + "()", serving)

    def _converse(self, question: dict[str, Any], what: str, serving: dict[int, Served]) -> Any:
        """Sends a question and serves the submission until it answers."""
        heard = looked = time.monotonic()
        used: float | None = None
        asked = 0
        self._send(question, what)
        while True:
            began = time.monotonic()
            line = self._reader.get(LOOK_SECONDS)
            self._waited += time.monotonic() - began
            if line is None or time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                used = self._check_limits(what, looked - heard, used)
            if line is None:
                continue
            heard = time.monotonic()
            message = self._read(line, what)
            if "ask" in message:
                asked += 1
                if asked > MOST_ASKS:
                    self._give_up(f"{what} asked more than {MOST_ASKS:,} times for what it was given")
                self._send(self._serve(message, serving), what)
            elif "note" in message:
                self._note(plain(str(message["note"]), 300))
            elif "error" in message:
                raise Raised(complaint(what, message["error"], self.limits))
            elif "value" in message:
                return self._decode(message["value"], what)
            else:
                self._give_up(f"{what} sent something that is no answer")

    def _note(self, attempt: str) -> None:
        if attempt not in self.attempts and len(self.attempts) < 20:
            self.attempts.append(attempt)

    def _send(self, message: Mapping[str, Any], what: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(Encoder().dumps(message))
            self._process.stdin.flush()
        except OSError:
            self._ended(what)

    def _read(self, line: bytes | TooLong, what: str) -> dict[str, Any]:
        """A message; a damaged one ends the process."""
        if line == b"":
            self._ended(what)
        if isinstance(line, TooLong):
            self._give_up(f"{what} sent an answer of more than {MOST_ANSWER_BYTES // 1024**2} MB")
        try:
            message = json.loads(line)  # type: ignore[arg-type]
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self._give_up(f"{what} sent something that is no answer")
        found: dict[str, Any] = message
        return found

    def _serve(self, message: dict[str, Any], serving: dict[int, Served]) -> dict[str, Any]:
        """Answers what the submission asks of an object that it was given."""
        decode = Decoder().decode
        try:
            method = serving[message["ask"]].methods[message["method"]]
            value = method(*decode(message["args"]), **decode(message["kwargs"]))
            return {"reply": Encoder().encode(value)}
        except Exception as error:
            return {"fault": str(error), "kind": type(error).__name__}

    def _decode(self, value: Any, what: str) -> Any:
        try:
            return Decoder().decode(value)
        except (WireError, RecursionError) as error:
            raise Unanswered(f"{what} returned {error}") from None

    def _check_limits(self, what: str, silent: float, used_before: float | None) -> float | None:
        """Ends a process that uses too much; the processor time that it had used when it was first looked at."""
        assert self._process is not None
        limits, usage = self.limits, sandbox_watch.measure(self._process.pid)
        if usage.processes > MOST_PROCESSES:
            self._give_up(f"{what} started more than {MOST_PROCESSES} processes")
        if usage.gigabytes is not None and usage.gigabytes > 1.25 * limits.gigabytes:
            self._give_up(f"{what} used more than the {limits.gigabytes:g} GB of memory that it may use")
        before = usage.seconds if used_before is None else used_before
        spent = 0.0 if usage.seconds is None or before is None else usage.seconds - before
        if spent > limits.seconds or silent > limits.seconds * limits.patience:
            self._give_up(f"{what} did not come to an end within {limits.seconds:g} seconds")
        if self._waited > limits.total_seconds:
            self._give_up(f"{what} came after the grader had waited for {limits.total_seconds} seconds in all")
        return before

    def _give_up(self, sentence: str) -> None:
        self.restart()
        raise Unanswered(f"{sentence}, and was stopped")

    def _ended(self, what: str) -> None:
        """The process has ended by itself."""
        assert self._process is not None
        self._check_limits(what, 0.0, None)
        try:
            status = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:  # it has only closed its pipe
            self._give_up(f"{what} cut the connection to the grader")
        self.restart()
        raise Unanswered(ending(what, status, self.limits))
