"""Trials of agents in processes of their own, which an agent that hangs or crashes cannot take with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from textgym.agents.registry import AGENTS

from .agent_check import AgentError, Finding, check_agent
from .losses import STUBBORN, describe_exit
from .machine import THREADS
from .processes import finish, stand_alone
from .records import RunSpec, describe_object

SECONDS = 300.0
"""How long the trial of an agent may take."""

_LOOK_SECONDS = 1.0


def check_agents(specs: Iterable[RunSpec], *, seconds: float = SECONDS) -> list[Finding]:
    """Tries every agent of a plan that is not part of textgym, once with each of its configurations.

    Args:
        specs: The runs of the plan.
        seconds: How long one trial may take.

    Raises:
        AgentError: for the first agent that does not meet the protocol, takes too long or ends its process.
    """
    different = {
        (spec.agent, repr(sorted(spec.config.items(), key=str))): spec for spec in specs if spec.agent not in AGENTS
    }
    return [try_agent(spec.agent, spec.config, seconds=seconds) for spec in different.values()]


def try_agent(name: str, config: Mapping[str, Any], *, seconds: float = SECONDS) -> Finding:
    """:func:`~textgym.benchmarks.agent_check.check_agent` in a process of its own.

    Raises:
        AgentError: as there, and if the trial takes too long or ends its process.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_try, args=(name, dict(config), theirs))
    try:
        with _one_thread():
            _start(process, name, config)
        theirs.close()
        return _outcome(name, ours, process, seconds)
    finally:
        ours.close()
        if process.pid is not None:
            finish(process, patience=0.0)


def _outcome(name: str, pipe: Connection, process: Any, seconds: float) -> Finding:
    """Listens to a trial until it has a result.

    Raises:
        AgentError: if it found something, takes too long or ends its process, naming the method that was at work.
    """
    method, end = "import", time.monotonic() + seconds
    while time.monotonic() < end:
        if not pipe.poll(min(_LOOK_SECONDS, max(0.0, end - time.monotonic()))):
            if process.exitcode is None or pipe.poll():
                continue
            raise _died(name, method, process)  # a child of the agent keeps the pipe open
        try:
            news = pipe.recv()
        except EOFError:
            raise _died(name, method, process) from None
        if isinstance(news, Finding):
            return news
        if news[0] == "wrong":
            raise AgentError(news[1])
        method = news[1]
    raise AgentError(
        f"agent {name!r}: its trial of a few thousand steps has not ended within {seconds:g} seconds; it was in "
        f"{method}: look for a loop without an end there"
    )


def _died(name: str, method: str, process: Any) -> AgentError:
    finish(process)
    if process.exitcode == STUBBORN:
        came = (
            "went on after its budget was spent and swallowed every exception; expected that it lets BudgetSpent pass"
        )
        return AgentError(f"agent {name!r}, {method}: {came}")
    said, _ = describe_exit(process.exitcode)
    return AgentError(f"agent {name!r}, {method}: {said}; expected that a method returns or raises")


def _start(process: Any, name: str, config: Mapping[str, Any]) -> None:
    try:
        process.start()
    except Exception as error:
        shown = {key: describe_object(value) for key, value in config.items()}
        raise AgentError(
            f"agent {name!r}: its options {shown} cannot be sent to another process ({type(error).__name__}: {error})"
        ) from None


def _try(name: str, config: dict[str, Any], pipe: Connection) -> None:
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        stand_alone()
        try:
            outcome: Finding | tuple[str, str] = check_agent(
                name,
                config=config,
                on_stubborn=partial(os._exit, STUBBORN),
                on_method=lambda method: pipe.send(("at", method)),
            )
        except Exception as error:
            outcome = "wrong", str(error)
    pipe.send(outcome)
    pipe.close()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """A process that is started meanwhile has one thread for numpy and torch."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
