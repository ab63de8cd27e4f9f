"""The label server: the application, and how it is run. One process, one database, no network but its own pages."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from textgym.errors import ConfigurationError, missing_dependency
from textgym.feedback.assignment import RandomOrder, Strategy
from textgym.feedback.projects import StoreError
from textgym.feedback.reranking import keep_order
from textgym.feedback.security import Addresses, Guard
from textgym.feedback.store import Store
from textgym.tokenizers import Tokenizer

try:
    import uvicorn
    from fastapi import FastAPI
    from starlette.exceptions import HTTPException

    from textgym.feedback import joining, live, pages
    from textgym.feedback.desk import Desk, explain
except ModuleNotFoundError as error:
    raise missing_dependency(error.name or "fastapi", "label", "the label server") from error

if TYPE_CHECKING:
    from textgym.feedback.display import Spell

LOCAL = "127.0.0.1"
_PATIENCE = 5  # seconds that requests in flight have when the server ends


def make_app(
    store: Store, addresses: Addresses, tokenizer: Tokenizer | None = None, *, strategy: Strategy | None = None
) -> Guard:
    """The application as ASGI, behind its guard.

    Args:
        store: The open database; the caller closes it.
        addresses: Under which names the server is spoken to.
        tokenizer: Of the labelled texts, for token boundaries and the reward model; None where it is not known.
        strategy: Which pairs come first; by default a random order.
    """
    desk = Desk(store, addresses, spell=None if tokenizer is None else speller(tokenizer))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ranking = asyncio.create_task(keep_order(store, strategy or RandomOrder(store.project.seed)))
        yield
        ranking.cancel()
        desk.close()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.desk = desk
    app.state.live = live.Live(store, tokenizer)
    app.state.attempts = joining.Attempts()
    for module in (pages, live, joining):  # the first that fits answers, so votes come first
        app.include_router(module.router)
    for kind in (HTTPException, ConfigurationError, StoreError):
        app.add_exception_handler(kind, explain)
    return Guard(app, addresses)


def speller(tokenizer: Tokenizer) -> Spell:
    """Token ids -> the text of each token; ids that stand for no text of their own by their names.

    Example:
        >>> from textgym.tokenizers import CharTokenizer
        >>> letters = CharTokenizer("ab")
        >>> speller(letters)([0, 1, letters.eos_ids[0]])
        ['a', 'b', '<eos>']
    """

    def spell(ids: Sequence[int]) -> list[str]:
        texts = [tokenizer.decode([index]) for index in ids]
        return [
            text if text and "\ufffd" not in text else tokenizer.tokens[index]
            for index, text in zip(ids, texts, strict=True)
        ]

    return spell


def find_socket(host: str, port: int) -> socket.socket:
    """Binds an address before anything is printed about it.

    Args:
        host: 127.0.0.1 for this machine alone, 0.0.0.0 for all its networks.
        port: 0 for any that is free.

    Raises:
        ConfigurationError: if that is not possible.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches off the waiting for fuller packets, which costs 40 ms a request.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows lets two servers share a port otherwise
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"host={host!r}, port={port}: {reason}; try another --port") from None
    return bound


def run_server(app: Guard, bound: socket.socket, *, started: Callable[[], None] | None = None) -> None:
    """Serves until somebody presses Ctrl-C.

    Args:
        app: From :func:`make_app`.
        bound: From :func:`find_socket`.
        started: Called as soon as requests are answered.
    """
    _Server(app, started or (lambda: None)).run(sockets=[bound])


@contextmanager
def run_beside(app: Guard, bound: socket.socket) -> Iterator[None]:
    """Serves in a thread of its own, from the beginning of the block to its end.

    Args:
        app: From :func:`make_app`.
        bound: From :func:`find_socket`; closed at the end.

    Raises:
        StoreError: if the server does not start.
    """
    answers = threading.Event()
    server = _Server(app, answers.set)
    thread = threading.Thread(target=server.run, args=([bound],), name="textgym-label-server", daemon=True)
    thread.start()
    try:
        while not answers.wait(0.1):
            if not thread.is_alive():
                raise StoreError("the label server did not start")
        yield
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def _hide_tokens(record: logging.LogRecord) -> bool:
    """Drops what uvicorn says of each request, even where somebody else has switched its log on."""
    return not re.search(r"/a/|[?&]code=", record.getMessage())


class _Server(uvicorn.Server):
    """Logs nothing about requests: their addresses may hold tokens."""

    def __init__(self, app: Guard, started: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_PATIENCE,
            limit_concurrency=2_000,
        )
        super().__init__(config)
        logging.getLogger("uvicorn.access").addFilter(_hide_tokens)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()
