"""How one request to a chat model is sent: time-outs, repetitions with growing pauses, and no faith in what comes back.

The protocol is ``POST {base_url}/chat/completions`` as OpenAI has it, without streaming
(https://platform.openai.com/docs/api-reference/chat/create).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import cache
from types import TracebackType
from typing import Any, Self

import numpy as np

from textgym.chat_settings import AnswerError, ChatSettings, EndpointError
from textgym.errors import missing_dependency
from textgym.keys import uniform

MOST_BYTES = 1 << 22  # of an answer
LONGEST_PAUSE = 60.0
LONGEST_WAIT = 600.0  # that a server may ask for
_REFUSED = (400, 413, 422)  # this one request, and no other
_PASSING = (408, 425, 429)  # and everything from 500 on
_SHOWN = 200  # characters of an answer in a message


class Stopped(Exception):  # noqa: N818 - nothing is wrong with this request
    """Another request has failed for good, so that this one is not sent any more."""


class _PassingError(Exception):
    """A failure that may be over at the next try."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Transport:
    """An open connection to the endpoint, for many threads.

    Args:
        settings: Whom to ask.
        key: The key, or None.
        spend: Called before every request; raises where the budget is spent.
        stop: Ends all pauses, once set.

    Raises:
        MissingDependencyError: without httpx.
    """

    def __init__(
        self, settings: ChatSettings, key: str | None, spend: Callable[[], None], stop: threading.Event
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise missing_dependency("httpx", "judge", "asking a chat model") from error
        self._httpx: Any = httpx
        self._settings, self._key, self._spend, self._stop = settings, key, spend, stop
        # No compression: a few bytes could become more than memory holds.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx.Client(
            headers=headers,
            timeout=settings.timeout,
            verify=_certificates(),
            follow_redirects=False,  # the key is for this address alone
            limits=httpx.Limits(max_connections=settings.concurrency),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def send(self, row: int, request: str, key: str) -> str:
        """Sends a request until it is answered.

        Args:
            row: Which conversation it is, for errors.
            request: The body.
            key: The request's hash, from which the pauses are drawn.

        Raises:
            AnswerError: if the endpoint refuses this request.
            EndpointError: if it refuses all, or fails every time.
            Stopped: if there is no use in going on.
        """
        for attempt in range(self._settings.retries + 1):
            if self._stop.is_set():
                raise Stopped
            self._spend()
            try:
                return self._send_once(row, request)
            except _PassingError as failure:
                last = failure
                if attempt < self._settings.retries:
                    pause(self._stop, max(failure.wait, draw_pause(self._settings, key, attempt)))
        raise EndpointError(
            f"{self._settings.address!r} {last} (attempts: {self._settings.retries + 1}); all answers so far are kept, "
            "so try again later, or raise timeout= or retries="
        ) from last

    def _send_once(self, row: int, request: str) -> str:
        deadline = time.monotonic() + self._settings.timeout
        try:
            with self._client.stream("POST", self._settings.address, content=request.encode("ascii")) as response:
                body = self._read(response, deadline, row)
        except self._httpx.TimeoutException as error:
            raise _PassingError(f"did not answer within {self._settings.timeout:g} seconds") from error
        except self._httpx.TransportError as error:
            raise _PassingError(f"could not be reached: {self._clean(str(error)) or type(error).__name__}") from error
        self._check_status(response, body, row)
        try:
            return _read_content(body)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            kind = self._clean(response.headers.get("content-type", "none"))
            shown = self._clean(body.decode("utf-8", "replace"))
            raise _PassingError(f"sent no chat completion (content type {kind!r}): {shown!r}") from error

    def _read(self, response: Any, deadline: float, row: int) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MOST_BYTES:
                raise AnswerError(f"the answer is longer than {MOST_BYTES:,} bytes", row)
            if time.monotonic() > deadline:
                raise _PassingError(f"had not finished its answer after {self._settings.timeout:g} seconds")
        return bytes(body)

    def _check_status(self, response: Any, body: bytes, row: int) -> None:
        status = int(response.status_code)
        if 200 <= status < 300:
            return
        what = f"answered {status}: {self._clean(body.decode('utf-8', 'replace'))!r}"
        if status in _REFUSED:
            raise AnswerError(f"the endpoint {what}", row)
        if status not in _PASSING and status < 500:
            hint = {401: "set the key", 403: "set the key", 404: "is base_url= or model= right"}.get(status, "")
            where = f" ({hint}: {self._settings.key_variable})" if "key" in hint else f" ({hint}?)" if hint else ""
            raise EndpointError(f"{self._settings.address!r} {what}{where}")
        wait = read_wait(response.headers.get("retry-after"))
        if wait > LONGEST_WAIT:
            raise EndpointError(f"{self._settings.address!r} asks to come back in {wait:,.0f} seconds; it {what}")
        raise _PassingError(what, wait)

    def _clean(self, text: str) -> str:
        """The beginning of what a server said: on one line, without control characters, and without the key."""
        if self._key:
            text = text.replace(self._key, "***")
        words = "".join(letter if letter.isprintable() else " " for letter in text[: 10 * _SHOWN]).split()
        line = " ".join(words)
        return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def pause(stop: threading.Event, seconds: float) -> None:
    """Waits, unless there is nothing to wait for any more."""
    stop.wait(seconds)


def draw_pause(settings: ChatSettings, key: str, attempt: int) -> float:
    """Seconds before the next attempt: twice as long each time, and scattered by the hash of request and seed.

    Example:
        >>> settings = ChatSettings("http://127.0.0.1:8000", "m", backoff=1.0)
        >>> 2.0 <= draw_pause(settings, "0f" * 32, attempt=2) < 4.0
        True
    """
    share = uniform(np.array([int(key[:16], 16)], dtype=np.uint64), f"pause {settings.seed}", attempt)
    longest = min(settings.backoff * 2.0**attempt, LONGEST_PAUSE)
    return longest * float(0.5 + 0.5 * share[0])


def read_wait(value: str | None) -> float:
    """Seconds that a ``Retry-After`` asks for, as a number or a date (RFC 9110, section 10.2.3); 0 if it says nothing.

    Example:
        >>> read_wait("2"), read_wait("soon"), read_wait("Wed, 21 Oct 2015 07:28:00 GMT")
        (2.0, 0.0, 0.0)
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return 0.0


@cache
def _certificates() -> Any:
    """The certificates to trust, whose reading takes longer than a request."""
    import httpx

    return httpx.create_ssl_context()


def _read_content(body: bytes) -> str:
    """The text of the first choice; a refusal or an empty message is a text too."""
    message = json.loads(body)["choices"][0]["message"]
    content = message["content"]
    if content is None:
        content = message.get("refusal") or ""
    if isinstance(content, list):  # of parts, of which some are text
        content = "".join(part["text"] for part in content if part.get("type") == "text")
    if not isinstance(content, str):
        raise TypeError("the content is no text")
    return content
