"""A label database and a running label server, for tests."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from textgym.feedback.pairs import Pair
from textgym.feedback.projects import Invitation, Project
from textgym.feedback.security import Addresses
from textgym.feedback.server import LOCAL, find_socket, make_app, run_beside, run_server
from textgym.feedback.store import Store
from textgym.tokenizers import Tokenizer, WordTokenizer

WORDS = ("was", "were", "great", "awful", "very", "not", "dull")
PROMPTS = ("praise the movie", "pan the actors", "praise the plot", "pan the music")
PAGE = {"Accept": "text/html"}


def make_tokenizer() -> WordTokenizer:
    """The vocabulary of :func:`make_pairs`."""
    return WordTokenizer([*WORDS, *dict.fromkeys(" ".join(PROMPTS).split())])


def make_pairs(count: int) -> list[Pair]:
    """Different pairs of short texts, with their token ids."""
    tokenizer = make_tokenizer()
    pairs = []
    for number in range(count):
        texts = [" ".join(WORDS[index % 7] for index in ((number + k) // 7, number + k, number // 49)) for k in (0, 1)]
        first, second = (tuple(tokenizer.encode(text)) for text in texts)
        texts_and_ids = {"first": texts[0], "second": texts[1], "first_ids": first, "second_ids": second}
        pairs.append(Pair(id=f"pair {number}", prompt=PROMPTS[number % len(PROMPTS)], **texts_and_ids))
    return pairs


@dataclass
class Class:
    """A running server with its people.

    Attributes:
        url: Where it is.
        store: Its database.
        people: The annotators, with their tokens.
        teacher: The teacher.
    """

    url: str
    store: Store
    people: list[Invitation]
    teacher: Invitation
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self, who: Invitation | None = None, **options: Any) -> httpx.Client:
        """A client that has opened a personal link; without one, a stranger."""
        made = httpx.Client(base_url=self.url, trust_env=False, timeout=60.0, **options)
        self.clients.append(made)
        if who is not None:
            assert made.get(f"/a/{who.token}").status_code == 303
        return made


def fill(
    path: Path, pairs: Sequence[Pair], people: Sequence[str] = ("Ann", "Bo"), **project: Any
) -> tuple[Store, list[Invitation], Invitation]:
    """A new database with pairs and people."""
    store = Store.create(path, Project(**{"env_id": "TextGen-v0", "repeat_share": 0.0, **project}))
    store.add_pairs(pairs)
    teacher = store.add_annotator("the teacher", role="teacher")
    return store, [store.add_annotator(name) for name in people], teacher


@contextmanager
def open_class(
    path: Path,
    pairs: Sequence[Pair],
    people: Sequence[str] = ("Ann", "Bo"),
    *,
    tokenizer: Tokenizer | None = None,
    public: bool = False,
    **project: Any,
) -> Iterator[Class]:
    """A server on a free port."""
    store, invitations, teacher = fill(path, pairs, people, **project)
    bound = find_socket(LOCAL, 0)
    port = port_of(bound)
    addresses = Addresses.of(port, f"http://{LOCAL}:{port}" if public else None)
    with store, run_beside(make_app(store, addresses, tokenizer), bound):
        found = Class(f"http://{LOCAL}:{port}", store, invitations, teacher)
        yield found
        for client in found.clients:
            client.close()


def port_of(bound: socket.socket) -> int:
    """The port that a socket is bound to."""
    return int(bound.getsockname()[1])


def _serve(path: Path, port: int, pipe: Connection) -> None:
    with Store(path) as store:
        bound = find_socket(LOCAL, port)
        port = port_of(bound)
        run_server(make_app(store, Addresses.of(port)), bound, started=lambda: pipe.send(port))


class ServerProcess:
    """A label server in a process of its own, that can be killed and started again on its port.

    Args:
        path: The database.
    """

    def __init__(self, path: Path) -> None:
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            self._context.set_forkserver_preload(["textgym.feedback.server"])
        self._path = path
        self.port = 0
        self.start()

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        ours, theirs = self._context.Pipe(duplex=False)
        self._process = self._context.Process(target=_serve, args=(self._path, self.port, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert ours.poll(60.0), "the server does not start"
        self.port = ours.recv()
        ours.close()

    def kill(self) -> None:
        """Kills the server at once: no handler of its own runs."""
        self._process.kill()
        self._process.join()
        self._process.close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOCAL}:{self.port}"
