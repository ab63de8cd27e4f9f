"""The process of a submission: it runs the student's file and answers the grader's questions, line by line.

It is started as a script. Questions come in on standard input, answers leave on what was standard output; whatever the
submission prints goes where standard error goes. Nothing that this process says is believed: the grader knows the
truth and compares.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

SUBMISSION = "submission"


class StandIn:
    """What a submission holds of an object that the grader answers for."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.__dict__.update(fields)


class Worker:
    """Answers questions until there are no more.

    Args:
        questions: Lines of JSON from the grader.
        answers: Where lines of JSON go.
        hidden: Files and folders that may not be read.
    """

    def __init__(self, questions: BinaryIO, answers: BinaryIO, hidden: Sequence[str]) -> None:
        from textgym.course.wire import Decoder, Encoder, WireError

        self.questions, self.answers, self.hidden = questions, answers, hidden
        self.lock = threading.Lock()
        self.kept: dict[int, Any] = {}
        self.module = ModuleType(SUBMISSION)
        self.encoder, self.unsent = Encoder(), WireError
        self.decoder = Decoder(self._stand_in, self.kept)

    def say(self, **message: Any) -> None:
        """Sends one line."""
        line = self.encoder.dumps(message)
        with self.lock:
            self.answers.write(line)
            self.answers.flush()

    def run(self) -> None:
        """Answers each question in turn."""
        while line := self.questions.readline():
            question = json.loads(line)
            answered = False
            try:
                value = self._answer(question)
                answered = True
                self.say(value=self.encoder.encode(value))
            except BaseException as error:
                self.say(error={**_described(error), "returned": answered and isinstance(error, self.unsent)})

    def _answer(self, question: dict[str, Any]) -> Any:
        if question["do"] == "load":
            return self._load(question["source"], question["forbidden"])
        arguments = self.decoder.decode(question["args"])
        options = self.decoder.decode(question["kwargs"])
        value = self._target(question)(*arguments, **options)
        if question["do"] == "keep":
            self.kept[len(self.kept)] = value
            return len(self.kept) - 1
        return value

    def _load(self, source: str, forbidden: list[str]) -> list[str]:
        """Runs the student's file; the names that it defines."""
        from textgym.course.guard import install

        file = Path.cwd() / f"{SUBMISSION}.py"
        file.write_text(source, encoding="utf-8")
        spec = spec_from_file_location(SUBMISSION, file)
        assert spec is not None
        assert spec.loader is not None
        self.module = sys.modules[SUBMISSION] = module_from_spec(spec)
        install(Path.cwd(), forbidden, self.hidden, lambda attempt: self.say(note=attempt))
        spec.loader.exec_module(self.module)
        return [name for name in vars(self.module) if not name.startswith("_")]

    def _target(self, question: dict[str, Any]) -> Callable[..., Any]:
        name: str = question["name"]
        if question["on"] is not None:
            found: Callable[..., Any] = getattr(self.kept[question["on"]], name)
        elif ":" in name:  # a driver of the course, which gets the student's module first
            module, _, function = name.partition(":")
            driver = getattr(importlib.import_module(module), function)
            return lambda *args, **kwargs: driver(self.module, *args, **kwargs)
        else:
            found = getattr(self.module, name)
        return found

    def _stand_in(self, number: int, methods: list[str], fields: dict[str, Any]) -> Any:
        def method(name: str) -> Callable[..., Any]:
            def ask(self_or_first: Any = None, *args: Any, **kwargs: Any) -> Any:
                return self._ask(number, name, args, kwargs)

            return ask

        kind = type("StandIn", (StandIn,), {name: method(name) for name in methods})
        return kind(fields)

    def _ask(self, number: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        encode = self.encoder.encode
        self.say(ask=number, method=method, args=encode(list(args)), kwargs=encode(kwargs))
        reply = json.loads(self.questions.readline())
        if "fault" in reply:
            from textgym import errors

            raise getattr(errors, reply["kind"], ValueError)(reply["fault"])
        return self.decoder.decode(reply["reply"])


def _described(error: BaseException) -> dict[str, Any]:
    """An exception in words: its type, its message and the line of the submission where it came from."""
    kind = type(error).__name__
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).stem == SUBMISSION and frame.lineno
    ]
    line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    try:
        message = str(error.msg if isinstance(error, SyntaxError) else error)
    except Exception:
        message = ""
    return {"type": kind, "message": message[:500], "line": line}


def limit(settings: dict[str, Any]) -> None:
    """Limits this process by the system's own means, where it has them."""
    try:
        import resource
    except ImportError:
        return  # on Windows the grader's watchdog is all there is
    size, most = int(settings["gigabytes"] * 1024**3), settings["seconds"]
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: most,
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_FSIZE: settings["megabytes"] * 1024**2,
        # Private memory on Linux; addresses elsewhere, of which libraries reserve more than they use.
        resource.RLIMIT_DATA if sys.platform.startswith("linux") else resource.RLIMIT_AS: size,
    }
    if settings["confined"]:
        wanted[resource.RLIMIT_NPROC] = 256  # counted inside the namespace alone
    for what, amount in wanted.items():
        hard = resource.getrlimit(what)[1]
        allowed = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(what, (allowed, allowed))


def main() -> None:
    """Takes the pipes away from the submission's own printing, and answers."""
    settings = json.loads(sys.argv[1])
    questions = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    try:
        importlib.import_module("textgym.course.wire")
    except ImportError:
        sys.path.extend(settings["paths"])
    os.chdir(settings["folder"])
    limit(settings)
    worker = Worker(questions, answers, settings["hidden"])
    worker.say(hello=os.getpid())
    with contextlib.suppress(OSError):  # the grader has gone, or the submission has closed its pipe
        worker.run()
    os._exit(0)  # whatever threads and exit handlers the submission has left behind


if __name__ == "__main__":
    main()
