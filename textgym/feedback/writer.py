"""One thread that does all of a server's work on the store, many requests to one transaction.

A disk takes some milliseconds to say that something is on it, however much it is. So whatever has come in meanwhile is
written together, and everybody is answered when all of it is safe.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from textgym.feedback.store import Store

T = TypeVar("T")

MOST = 64
"""Requests in one transaction."""

_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Writer:
    """Calls functions that use a store, in the order in which they come.

    Args:
        store: An open database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="textgym-label-writer", daemon=True)
        self._thread.start()

    async def ask(self, function: Callable[[], T]) -> T:
        """What a function returns or raises, when all that it has written is on the disk."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.put((function, loop, future))
        return cast("T", await future)

    def close(self) -> None:
        """Does what has been asked for, and ends."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs = [job]
            while len(jobs) < MOST and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    self._jobs.put(None)
                    break
                jobs.append(following)
            self._do(jobs)

    def _do(self, jobs: list[_Job]) -> None:
        answers: list[tuple[Any, BaseException | None]] = []
        try:
            with self._store.together():
                answers = [_call(function) for function, _, _ in jobs]
        except Exception as error:  # nothing has been written, so nobody is told otherwise
            answers = [(None, error) for _ in jobs]
        for (_, loop, future), answer in zip(jobs, answers, strict=True):
            if not loop.is_closed():
                loop.call_soon_threadsafe(_tell, future, *answer)


def _call(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return function(), None
    except Exception as error:
        return None, error


def _tell(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
