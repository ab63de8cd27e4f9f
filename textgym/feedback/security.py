"""The door of the label server: which hosts and origins may speak, how much, how often, and with what headers.

:class:`Guard` stands in front of every route, so that no page can forget a rule. It knows nothing of annotators.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from textgym.errors import ConfigurationError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 16_384
"""Of a request's body. A vote takes about a hundred; whoever sends 64 kB is answered 413."""
SECONDS_FOR_A_BODY = 10.0
READING = ("GET", "HEAD", "OPTIONS")
FORM = "application/x-www-form-urlencoded"

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}
"""On every answer. Script and style come from this server's own files only, never from the page's text."""


@dataclass(frozen=True)
class Addresses:
    """Under which names the server may be spoken to.

    Attributes:
        hosts: Values that the ``Host`` header may have.
        origins: Values that the ``Origin`` header of a write may have.
        public: The address that people type, without a slash at the end.
        port: Where the server listens.
        is_shared: Whether others than this machine may come in.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    public: str
    port: int
    is_shared: bool = False

    @classmethod
    def of(cls, port: int, public_url: str | None = None) -> Addresses:
        """This machine's own names for itself, and the public address if there is one.

        Raises:
            ConfigurationError: if the public address is not ``http://HOST`` or ``https://HOST``, perhaps with a port.

        Example:
            >>> sorted(Addresses.of(8000, "http://192.168.1.5:8000").hosts)
            ['127.0.0.1:8000', '192.168.1.5:8000', '[::1]:8000', 'localhost:8000']
        """
        local = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]
        hosts, origins = set(local), {f"http://{host}" for host in local}
        if port == 80:
            hosts |= {host.removesuffix(":80") for host in local}
            origins |= {origin.removesuffix(":80") for origin in origins}
        if public_url is None:
            return cls(frozenset(hosts), frozenset(origins), f"http://127.0.0.1:{port}", port)
        origin, host = _read_url(public_url)
        usual = ":443" if origin.startswith("https:") else ":80"
        hosts |= {host, host.removesuffix(usual)}
        origins |= {origin, origin.removesuffix(usual)}
        return cls(frozenset(hosts), frozenset(origins), origin, port, is_shared=True)

    @property
    def is_encrypted(self) -> bool:
        """Whether people come by https, through a proxy that the teacher has set up."""
        return self.public.startswith("https:")


def _read_url(url: str) -> tuple[str, str]:
    """The origin and the host of an address."""
    try:
        parts = urlsplit(url.strip().lower())
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong or parts.username or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError(
            f"--public-url {url!r}: expected the address that the class will type, without a path, such as "
            "http://192.168.1.5:8000"
        )
    return f"{parts.scheme}://{parts.netloc}", parts.netloc


class Guard:
    """Refuses what no route should have to think of, and puts the headers on every answer.

    ``Host`` outside the list: 400 (a page elsewhere cannot reach the server by a name of its own). A write from another
    origin: 403. A body above :data:`MOST_BYTES`, announced or not: 413; one that does not come: 408.

    ``Origin: null`` is what browsers send with a plain form of a page that says ``no-referrer``, and also what a
    sandboxed frame sends. It passes for forms only, and those must hold the page's form token (:func:`form_token`).
    """

    def __init__(self, app: Application, addresses: Addresses) -> None:
        self.app = app
        self.addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [pair for pair in message["headers"] if pair[0].decode() not in HEADERS] + ours
            await send(message)

        refusal = self._refuse(scope)
        body = b""
        if refusal is None:
            body, refusal = await _read_body(scope, receive)
        if refusal is not None:
            await _answer(send_guarded, *refusal)
        else:
            await self.app(scope, _replay(body, receive), send_guarded)

    def _refuse(self, scope: Scope) -> tuple[int, str] | None:
        if _headers(scope, b"host") not in [[host] for host in self.addresses.hosts]:
            return 400, "this server does not answer to that host name; use the address that it printed"
        if scope["method"] not in READING and not self._is_from_here(scope):
            return 403, "this request came from another site"
        return None

    def _is_from_here(self, scope: Scope) -> bool:
        origins, sites = _headers(scope, b"origin"), _headers(scope, b"sec-fetch-site")
        if any(site not in ("same-origin", "none") for site in sites):
            return False
        if origins == ["null"]:
            return _headers(scope, b"content-type") == [FORM]
        return not origins or (len(origins) == 1 and origins[0] in self.addresses.origins)


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip().lower() for key, value in scope["headers"] if key == name]


async def _read_body(scope: Scope, receive: Receive) -> tuple[bytes, tuple[int, str] | None]:
    """The whole body, or why not; chunks are counted as they come."""
    too_large = 413, f"the body is too large: expected at most {MOST_BYTES} bytes"
    if any(not text.isdecimal() or int(text[:12]) > MOST_BYTES for text in _headers(scope, b"content-length")):
        return b"", too_large
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS_FOR_A_BODY):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > MOST_BYTES:
                    return b"", too_large
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return bytes(body), None
    except TimeoutError:
        return b"", (408, "the body did not come in time")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hands the body on as one message, then whatever else comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _answer(send: Send, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def form_token(token: str) -> str:
    """What a plain form must hold besides the cookie: only a page of this server can know it.

    Example:
        >>> len(form_token("secret")), form_token("secret") == form_token("another")
        (64, False)
    """
    return hmac.new(token.encode(), b"textgym form", hashlib.sha256).hexdigest()


def is_same(given: object, expected: str) -> bool:
    """Compares secrets in a time that does not depend on where they differ.

    Example:
        >>> is_same("a", "a"), is_same("a", "b"), is_same(None, "a")
        (True, False, False)
    """
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())


class RateLimit:
    """So many requests at once, then so many a second, for each key by itself.

    Args:
        burst: Requests that may come at once.
        per_second: Requests a second after that.
        clock: Tells the time in seconds.

    Example:
        >>> now = 0.0
        >>> limit = RateLimit(2, 0.5, clock=lambda: now)
        >>> [limit.wait("somebody") for _ in range(3)], limit.wait("another")
        ([0.0, 0.0, 2.0], 0.0)
        >>> now = 2.0
        >>> limit.wait("somebody")
        0.0
    """

    _MOST_KEYS = 10_000

    def __init__(self, burst: int, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._levels: dict[str, tuple[float, float]] = {}

    def wait(self, key: str) -> float:
        """Takes one request: 0.0 if it may pass, else the seconds after which it may."""
        now = self._clock()
        level, _ = self._level(key, now)
        if level < 1.0:
            return (1.0 - level) / self._per_second
        self._forget(now)
        self._levels[key] = level - 1.0, now
        return 0.0

    def is_spent(self, key: str) -> bool:
        """Whether the next request would have to wait; takes none."""
        return self._level(key, self._clock())[0] < 1.0

    def _level(self, key: str, now: float) -> tuple[float, float]:
        level, then = self._levels.get(key, (float(self._burst), now))
        return min(float(self._burst), level + (now - then) * self._per_second), then

    def _forget(self, now: float) -> None:
        if len(self._levels) < self._MOST_KEYS:
            return
        full: Iterable[str] = [key for key in self._levels if self._level(key, now)[0] >= self._burst]
        for key in full or [min(self._levels, key=lambda known: self._levels[known][1])]:
            del self._levels[key]
