"""Drives a headless Chromium through its DevTools protocol, over a small WebSocket client of our own."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-extensions",
    "--remote-debugging-port=0",
    "--force-color-profile=srgb",
)
DEADLINE = 60.0
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, "Escape": 27, "Tab": 9}


def find_chromium() -> str:
    """The browser's path; skips the test where there is none."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no Chromium here ({', '.join(NAMES)}): apt-get install chromium")


def await_true(happened: Callable[[], Any], what: str) -> Any:
    """Asks again and again until it has happened; fails after a minute."""
    end = time.monotonic() + DEADLINE
    while not (value := happened()):
        assert time.monotonic() < end, f"waited {DEADLINE:.0f} s in vain: {what}"
        time.sleep(0.02)
    return value


class WebSocket:
    """As much of RFC 6455 as a client on the same machine needs."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=DEADLINE)
        self._read_from = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        self._socket.sendall("\r\n".join(lines).encode())
        assert b" 101 " in self._read_from.readline()
        while self._read_from.readline().strip():
            pass

    def send(self, text: str) -> None:
        """Sends one message."""
        self._send_frame(0x1, text.encode())

    def receive(self) -> str:
        """Waits for the next message."""
        whole = b""
        while True:
            first, second = self._read_from.read(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(self._read_from.read(2 if size == 126 else 8), "big")
            body = self._read_from.read(size)
            kind = first & 0xF
            if kind == 0x9:
                self._send_frame(0xA, body)
            assert kind != 0x8, "the browser closed the connection"
            if kind in (0x0, 0x1):
                whole += body
                if first & 0x80:
                    return whole.decode()

    def close(self) -> None:
        """Hangs up."""
        self._read_from.close()
        self._socket.close()

    def _send_frame(self, kind: int, body: bytes) -> None:
        size = len(body)
        head = struct.pack("!BB", 0x80 | kind, 0x80 | min(size, 126) if size < 126 else 0x80 | 126 + (size > 65535))
        if size >= 126:
            head += size.to_bytes(8 if size > 65535 else 2, "big")
        mask = os.urandom(4)
        hidden = bytes(a ^ b for a, b in zip(body, itertools.cycle(mask), strict=False))
        self._socket.sendall(head + mask + hidden)


class Page:
    """One tab. It lets requests to one origin through and refuses, and remembers, all others.

    Attributes:
        foreign: Addresses outside the origin that the page asked for.
        hits: What scripts told ``hit(...)``, dialogs included.
        errors: Exceptions of the page's scripts, and what the browser complained of.
        is_offline: Whether all requests fail.
    """

    def __init__(self, url: str, origin: str) -> None:
        self.origin = origin
        self.foreign: list[str] = []
        self.hits: list[str] = []
        self.errors: list[str] = []
        self.is_offline = False
        self._numbers = itertools.count(1)
        self._socket = WebSocket(url)
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Fetch.enable", patterns=[{"urlPattern": "*"}])
        self.call("Runtime.addBinding", name="hit")

    def call(self, method: str, **parameters: Any) -> Any:
        """Calls a method of the protocol and waits for its answer."""
        number = self._send(method, parameters)
        while True:
            message = json.loads(self._socket.receive())
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self._notice(message)

    def resize(self, width: int, height: int) -> None:
        """Sets the size of the window."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def go(self, url: str) -> None:
        """Opens an address and waits until all of it is there."""
        self.evaluate("window.isOld = true")
        self.call("Page.navigate", url=url)
        self.wait_for("!window.isOld && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """What an expression is worth; of a promise, what it promised."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """Waits until an expression is true; a page that is being left counts as false."""

        def ask() -> Any:
            answer = self.call("Runtime.evaluate", expression=f"Boolean({expression})", returnByValue=True)
            return None if "exceptionDetails" in answer else answer["result"].get("value")

        return await_true(ask, f"{expression} on {self.evaluate('location.href')}")

    def press(self, key: str) -> None:
        """Presses a key and lets it go."""
        code = KEYS.get(key) or ord(key.upper())
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        down: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code, "text": text}
        down["code"] = key if key in KEYS else f"Digit{key}" if key.isdigit() else f"Key{key.upper()}"
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **down)
        self.call("Input.dispatchKeyEvent", type="keyUp", **{**down, "text": ""})

    def type(self, text: str) -> None:
        """Types a text where the focus is."""
        self.call("Input.insertText", text=text)

    def screenshot(self, path: Path) -> None:
        """Writes a picture of the whole page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        return number

    def _notice(self, message: dict[str, Any]) -> None:
        method, given = message.get("method"), message.get("params", {})
        if method == "Fetch.requestPaused":
            url, request = given["request"]["url"], {"requestId": given["requestId"]}
            if self.is_offline:
                self._send("Fetch.failRequest", {**request, "errorReason": "InternetDisconnected"})
            elif url.startswith((f"{self.origin}/", "data:", "about:")):
                self._send("Fetch.continueRequest", request)
            else:
                self.foreign.append(url)
                self._send("Fetch.failRequest", {**request, "errorReason": "AccessDenied"})
        elif method == "Runtime.bindingCalled":
            self.hits.append(given["payload"])
        elif method == "Page.javascriptDialogOpening":
            self.hits.append(f"dialog {given['message']}")
            self._send("Page.handleJavaScriptDialog", {"accept": True})
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(given["exceptionDetails"]))
        elif method == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.errors.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")


class Browser:
    """A running browser with a profile of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pages: list[Page] = []

    def page(self, origin: str, *, width: int = 1280, height: int = 800) -> Page:
        """A new tab for pages of one origin. Tabs share their cookies."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE)
        connection.request("PUT", "/json/new?about:blank")
        page = Page(json.loads(connection.getresponse().read())["webSocketDebuggerUrl"], origin)
        connection.close()
        page.resize(width, height)
        self._pages.append(page)
        return page

    def close(self) -> None:
        """Hangs up everywhere."""
        for page in self._pages:
            page.close()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Starts a browser, and ends it with all that it has started."""
    path = find_chromium()
    profile = tempfile.mkdtemp(prefix="chromium-")
    command = [path, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        file = Path(profile) / "DevToolsActivePort"
        text = await_true(lambda: file.is_file() and file.read_text(encoding="utf-8"), "the browser's port")
        browser = Browser(int(text.splitlines()[0]))
        yield browser
        browser.close()
    finally:
        process.terminate()
        process.wait(DEADLINE)
        shutil.rmtree(profile, ignore_errors=True)
