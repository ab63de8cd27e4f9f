"""Which chat model is asked, and how: the settings, what has been spent, and the errors of asking."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from textgym.answer_cache import AnswerCache
from textgym.cache import cache_folder
from textgym.errors import ConfigurationError, TextGymError

KEY_VARIABLE = "TEXTGYM_CHAT_KEY"
CACHE_FILE = "answers.sqlite"
OWN_FIELDS = ("model", "messages", "stream", "n")

Conversation = Sequence[Mapping[str, str]]
"""Messages, each with ``role`` and ``content``."""


class EndpointError(ConfigurationError):
    """The endpoint cannot be used, or not any more: it is down, refuses the key, or the budget is spent."""


class AnswerError(TextGymError, RuntimeError):
    """One request has got no answer, for a reason of its own.

    Attributes:
        row: Which of the conversations it was.
    """

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


@dataclass(frozen=True)
class ChatSettings:
    """Which model is asked, and how.

    The key is read from an environment variable when a request is sent, and stands nowhere else: neither here, nor in
    the cache, nor in a message. It goes to another machine over https only.

    Args:
        base_url: The address up to and without ``/chat/completions``, such as ``http://127.0.0.1:8000/v1``.
        model: The name by which the endpoint knows the model.
        parameters: Further fields of each request.
        key_variable: The environment variable that holds the key; it may be unset where none is needed.
        timeout: The most seconds without a byte, and the time after which an answer that trickles in is given up.
        retries: How often a request is repeated after a failure that may pass.
        backoff: Seconds before the first repetition, about; each further pause is about twice as long.
        concurrency: The most requests at a time.
        budget: The most requests, repetitions included, that this process sends to this model with these parameters;
            None for no limit. Whoever asks the same model shares the count; another process has its own.
        cache: The file of answers; by default ``answers.sqlite`` in :func:`textgym.cache.cache_folder`.
        seed: Of the pauses.

    Raises:
        ConfigurationError: for a value that cannot work.

    Example:
        >>> ChatSettings("http://127.0.0.1:8000/v1", "qwen").address
        'http://127.0.0.1:8000/v1/chat/completions'
    """

    base_url: str
    model: str
    _: KW_ONLY
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0}, hash=False)
    key_variable: str = KEY_VARIABLE
    timeout: float = 60.0
    retries: int = 5
    backoff: float = 1.0
    concurrency: int = 8
    budget: int | None = None
    cache: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_address(self.base_url)
        if not isinstance(self.model, str) or not self.model:
            raise ConfigurationError(f"model={self.model!r}: expected the name by which the endpoint knows the model")
        if not isinstance(self.key_variable, str) or not re.fullmatch(r"[A-Z_][A-Z0-9_]*", self.key_variable):
            # What was given is not repeated: most likely it is the key itself.
            raise ConfigurationError(
                f"key_variable= is no name of an environment variable; expected one such as {KEY_VARIABLE!r}, and the "
                "key itself in the environment only"
            )
        for name, least in (("retries", 0), ("concurrency", 1), ("budget", 0), ("seed", 0)):
            value = getattr(self, name)
            if not (value is None and name == "budget") and (type(value) is not int or value < least):
                raise ConfigurationError(f"{name}={value!r}: expected a whole number of at least {least}")
        for name in ("timeout", "backoff"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < 1e6:
                raise ConfigurationError(f"{name}={value!r}: expected seconds, more than 0")
        _check_parameters(self.parameters)

    @property
    def address(self) -> str:
        """Where requests go."""
        return f"{self.base_url.rstrip('/')}/chat/completions"

    @property
    def answers(self) -> AnswerCache:
        """The cache of answers."""
        return AnswerCache(self.cache or cache_folder() / CACHE_FILE)

    @property
    def calls(self) -> int:
        """Requests that this process has sent to this model with these parameters."""
        return self.spending.calls

    @property
    def spending(self) -> Spending:
        """The count that all settings of this address, model and parameters share in this process."""
        return _spending_of(self.address, self.request([]))

    def request(self, messages: Conversation, further: Mapping[str, Any] | None = None) -> str:
        """The body of a request, with its keys in order; what is cached goes by it and the address.

        Args:
            messages: The conversation.
            further: Fields of this request, over the parameters.
        """
        said = [dict(message) for message in messages]
        fields = {**self.parameters, **(further or {}), "model": self.model, "messages": said}
        return json.dumps(fields, sort_keys=True)


class Spending:
    """How many requests have been sent; equal settings share one, so that copies of a reward share a budget."""

    def __init__(self) -> None:
        self.calls = 0
        self._lock = threading.Lock()

    def add(self, budget: int | None) -> bool:
        """Counts one request, unless it would be beyond the budget."""
        with self._lock:
            if budget is not None and self.calls >= budget:
                return False
            self.calls += 1
            return True


@cache
def _spending_of(address: str, request: str) -> Spending:
    return Spending()


def read_key(settings: ChatSettings) -> str | None:
    """The key, or None where there is none.

    Raises:
        EndpointError: for a variable that was named and is not set, or if the key would travel in the clear.
    """
    key = os.environ.get(settings.key_variable, "").strip()
    if not key:
        if settings.key_variable != KEY_VARIABLE:
            raise EndpointError(f"the environment variable {settings.key_variable} is not set; put the key into it")
        return None
    if not key.isascii() or not key.isprintable():
        raise EndpointError(f"the key in {settings.key_variable} holds characters that cannot be sent")
    parts = urlsplit(settings.base_url)
    if parts.scheme == "http" and not _is_here(parts.hostname or ""):
        raise EndpointError(
            f"the key in {settings.key_variable} would go to {parts.hostname!r} unencrypted; use an address with "
            "https://, or unset the variable where no key is needed"
        )
    return key


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_address(base_url: object) -> None:
    expected = "expected the address of an endpoint, such as 'http://127.0.0.1:8000/v1'"
    try:
        parts = urlsplit(base_url if isinstance(base_url, str) else "")
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        usable = False
    if not usable:
        raise ConfigurationError(f"base_url={base_url!r}: {expected}")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigurationError(f"base_url= holds a user, a password or a query, which is not shown here; {expected}")


def _check_parameters(parameters: object) -> None:
    if not isinstance(parameters, Mapping) or any(not isinstance(name, str) for name in parameters):
        raise ConfigurationError(f"parameters={parameters!r}: expected fields by name, such as {{'temperature': 0}}")
    for name in parameters:
        if name in OWN_FIELDS:
            raise ConfigurationError(f"parameters={dict(parameters)!r}: {name!r} is not for them to set")
    try:
        json.dumps(dict(parameters), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"parameters={dict(parameters)!r}: expected values that JSON knows ({error})"
        ) from None
