"""An OpenAI-compatible chat endpoint on 127.0.0.1 for tests, which also misbehaves in every way that it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[list[dict[str, str]]], str]
DAWDLING = 5.0  # seconds after which a hanging or dawdling request ends by itself, whatever happens


def rate_length(messages: list[dict[str, str]]) -> str:
    """A judge that counts words, up to 10."""
    said = messages[1]["content"].rpartition("\nText: ")[2]
    return f"Rating: {min(10, len(json.loads(said).split()))}"


def prefer(better: Callable[[str, str], str]) -> Answer:
    """A judge of pairs, from a function of the texts A and B."""

    def answer(messages: list[dict[str, str]]) -> str:
        lines = messages[1]["content"].splitlines()
        one, other = (json.loads(line.partition(": ")[2]) for line in lines[1:3])
        return f"Better: {better(one, other)}"

    return answer


class StubEndpoint:
    """The server, what it was sent, and what it does wrong.

    Attributes:
        answer: Says what the model answers.
        write: Says it of a whole request instead, where that is given; what goes with a seed, for instance.
        faults: What goes wrong with the next requests, one each: a key of :data:`BAD_MANNERS`, "" for nothing, or
            ``(status, headers, body)``. Afterwards everything goes well.
        requests: The bodies of all requests, as they came.
        headers: Their headers.
        outlasted: Whether a client has waited for the end of a request that hangs or dawdles.
        most_at_once: The most requests that were in the works at one time.
    """

    def __init__(self, answer: Answer = rate_length, faults: Sequence[Any] = ()) -> None:
        self.answer = answer
        self.write: Callable[[dict[str, Any]], str] | None = None
        self.faults = list(faults)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.most_at_once = self._at_once = 0
        self.outlasted = False
        self.gate: threading.Barrier | None = None
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        """Ends all that hangs, and the server."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_fault(self, body: dict[str, Any], headers: dict[str, str], path: str) -> Any:
        """Notes a request, and says what is to go wrong with it."""
        with self._lock:
            self.requests.append(body)
            self.headers.append(headers)
            self.paths.append(path)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            return self.faults.pop(0) if self.faults else ""

    def done(self) -> None:
        """Notes that a request is over."""
        with self._lock:
            self._at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fault = stub.next_fault(body, {k.lower(): v for k, v in self.headers.items()}, self.path)
                try:
                    if stub.gate is not None:
                        stub.gate.wait(DAWDLING)
                    respond(self, stub, fault, body)
                except OSError:
                    self.close_connection = True  # the client has gone
                finally:
                    stub.done()

        return Handler


def respond(handler: BaseHTTPRequestHandler, stub: StubEndpoint, fault: Any, body: dict[str, Any]) -> None:
    """Answers a request, well or badly."""
    if isinstance(fault, tuple):
        send(handler, *fault)
    elif fault:
        BAD_MANNERS[fault](handler, stub)
    else:
        send(handler, 200, {}, complete(stub.write(body) if stub.write else stub.answer(body["messages"])))


def complete(content: Any) -> str:
    """A chat completion with this content."""
    message = {"role": "assistant", "content": content}
    return json.dumps({"object": "chat.completion", "choices": [{"index": 0, "message": message}]})


def send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: str | bytes) -> None:
    """One whole response; the content type is JSON unless the headers say otherwise."""
    data = body if isinstance(body, bytes) else body.encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


def do_hang(handler: BaseHTTPRequestHandler, stub: StubEndpoint) -> None:
    """Takes the request and says nothing."""
    stub.outlasted = not stub.over.wait(DAWDLING)
    handler.close_connection = True


def do_drop(handler: BaseHTTPRequestHandler, stub: StubEndpoint) -> None:
    """Hangs up."""
    handler.close_connection = True


def do_dawdle(handler: BaseHTTPRequestHandler, stub: StubEndpoint) -> None:
    """Sends a byte every few milliseconds, so that no single read ever times out."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    for _ in range(int(DAWDLING / 0.01)):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        if stub.over.wait(0.01):
            break
    else:
        stub.outlasted = True
    handler.close_connection = True


def do_flood(handler: BaseHTTPRequestHandler, stub: StubEndpoint) -> None:
    """Sends far more than any answer has, without saying how much it will be."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Connection", "close")
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b'"' + b"x" * 65_536)
    handler.close_connection = True


def do_cut(handler: BaseHTTPRequestHandler, stub: StubEndpoint) -> None:
    """Promises more bytes than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


BAD_MANNERS = {"hang": do_hang, "drop": do_drop, "dawdle": do_dawdle, "flood": do_flood, "cut": do_cut}


@contextmanager
def stub_endpoint(answer: Answer = rate_length, faults: Sequence[Any] = ()) -> Iterator[StubEndpoint]:
    """A running stub."""
    stub = StubEndpoint(answer, faults)
    stub._thread.start()
    try:
        yield stub
    finally:
        stub.close()
