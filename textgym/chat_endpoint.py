"""Asking a chat model behind an OpenAI-compatible endpoint: many questions at a time, none of them twice.

Requests run at the same time up to a limit, are kept in a cache on disk and counted against a budget
(:class:`textgym.chat_settings.ChatSettings`); how one of them is sent is in :mod:`textgym.chat_transport`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from textgym.chat_settings import AnswerError, ChatSettings, Conversation, EndpointError, read_key
from textgym.chat_transport import Stopped, Transport

Accept = Callable[[str], bool]


def ask(
    settings: ChatSettings,
    conversations: Sequence[Conversation],
    *,
    accept: Accept | None = None,
    fields: Sequence[Mapping[str, Any]] | None = None,
) -> list[str]:
    """The model's answer to each conversation; equal ones are asked once, and known answers cost nothing.

    Whatever fails, every answer that came is in the cache before the error is raised.

    Args:
        settings: Whom to ask.
        conversations: Lists of messages, each with ``role`` and ``content``.
        accept: Which answers are worth keeping; others are returned all the same. By default all are.
        fields: Further fields of each conversation's request, over the settings' parameters, such as a seed. They make
            requests different, but all draw on the one budget of the settings.

    Returns:
        One answer for each conversation, in their order.

    Raises:
        EndpointError: if the endpoint cannot be used, or the budget is spent.
        AnswerError: if the endpoint refuses one request, as too long for instance.
        MissingDependencyError: without httpx.
    """
    further = [{}] * len(conversations) if fields is None else fields
    pairs = zip(conversations, further, strict=True)
    requests = [settings.request(messages, own) for messages, own in pairs]
    keys = [hashlib.sha256(f"{settings.address}\n{request}".encode()).hexdigest() for request in requests]
    known = settings.answers.get(list(dict.fromkeys(keys)))
    missing = {key: row for row, key in reversed([*enumerate(keys)]) if key not in known}
    if missing:
        rows = sorted(missing.values())
        known |= _ask_new(settings, {row: (keys[row], requests[row]) for row in rows}, accept)
    return [known[key] for key in keys]


def _ask_new(settings: ChatSettings, wanted: dict[int, tuple[str, str]], accept: Accept | None) -> dict[str, str]:
    """Sends the requests, at most ``concurrency`` at a time, and raises the first error once all have come to rest."""
    spending, stop = settings.spending, threading.Event()
    answers: dict[str, str] = {}

    def spend() -> None:
        if not spending.add(settings.budget):
            raise EndpointError(
                f"the budget of {settings.budget} calls to {settings.model!r} is spent; all answers so far are kept in "
                f"{str(settings.answers.path)!r}, so that a larger budget= goes on from here"
            )

    def one(row: int) -> Exception | None:
        key, request = wanted[row]
        try:
            answers[key] = transport.send(row, request, key)
            if accept is None or accept(answers[key]):
                settings.answers.put(key, request, answers[key])
        except (AnswerError, Stopped) as error:
            return error
        except Exception as error:
            stop.set()  # the others would fare no better
            return error
        return None

    with Transport(settings, read_key(settings), spend, stop) as transport:
        errors = _run(one, list(wanted), settings.concurrency, stop)
    for error in sorted(errors, key=_gravity):
        raise error
    return answers


def _gravity(error: Exception) -> int:
    """What must be heard first: that nothing works, then what is wrong with one request."""
    return 2 if isinstance(error, Stopped) else 1 if isinstance(error, AnswerError) else 0


def _run(
    one: Callable[[int], Exception | None], rows: list[int], concurrency: int, stop: threading.Event
) -> list[Exception]:
    if len(rows) == 1 or concurrency == 1:
        return [error for error in map(one, rows) if error is not None]
    with ThreadPoolExecutor(min(concurrency, len(rows)), thread_name_prefix="textgym-chat") as pool:
        try:
            return [error for error in pool.map(one, rows) if error is not None]
        finally:
            stop.set()  # after Ctrl-C too, so that nobody waits for pauses to end
