"""A chat model behind an OpenAI-compatible endpoint as an agent: it plays every environment, and learns in none.

Equal questions are asked once; answers are kept on disk, so that a run that was broken off goes on without paying
twice (:mod:`textgym.chat_endpoint`). The key comes from an environment variable and is written nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from textgym.agents.chat_options import PlayerConfig, Question
from textgym.agents.chat_player import ChatPlayer
from textgym.chat_endpoint import ask
from textgym.chat_settings import KEY_VARIABLE, OWN_FIELDS, ChatSettings
from textgym.errors import ConfigurationError

_SETTINGS = ("key_variable", "timeout", "retries", "backoff", "concurrency", "budget", "cache")


@dataclass(frozen=True, kw_only=True)
class ChatConfig(PlayerConfig):
    """Options of a chat model behind an endpoint; the key is none of them."""

    base_url: str = ""  # the address up to and without /chat/completions
    model: str = ""  # the name by which the endpoint knows it
    parameters: Mapping[str, Any] = field(default_factory=dict)  # further fields of each request, such as max_tokens
    seed_field: str = "seed"  # by which the endpoint takes a seed; empty sends none, and equal questions are asked once
    key_variable: str = KEY_VARIABLE  # the environment variable that holds the key
    timeout: float = 60.0  # seconds
    retries: int = 5  # of a request, after a failure that may pass
    backoff: float = 1.0  # seconds before the first repetition; later ones take longer
    concurrency: int = 8  # requests at a time
    budget: int | None = None  # requests of this process; None for no limit
    cache: str | None = None  # the file of answers; by default in textgym's cache folder

    def __post_init__(self) -> None:
        super().__post_init__()
        settings = self.settings()  # which checks all of its own
        if not isinstance(self.seed_field, str) or self.seed_field in (*OWN_FIELDS, "temperature"):
            raise ConfigurationError(f"seed_field={self.seed_field!r}: expected the field of a seed, or ''")
        if self.samples > 1 and not self.seed_field:
            raise ConfigurationError(
                f"samples={self.samples} with seed_field='': without seeds the questions are equal, so that all "
                "answers would be one and the same; name the endpoint's field of a seed, or take samples=1"
            )
        for name in ("temperature", self.seed_field):
            if name in settings.parameters:
                raise ConfigurationError(
                    f"parameters={dict(self.parameters)!r}: {name!r} is not for them to set; it goes by how the agent "
                    "plays"
                )

    def settings(self, seed: int = 0) -> ChatSettings:
        """How the endpoint is asked; ``seed`` is that of its pauses."""
        options = {name: getattr(self, name) for name in _SETTINGS}
        return ChatSettings(self.base_url, self.model, parameters=self.parameters, seed=seed, **options)


class Chat(ChatPlayer):
    """A chat model behind an endpoint.

    Raises:
        ConfigurationError: for an option that cannot work; when playing, an
            :class:`~textgym.chat_settings.EndpointError` if the endpoint hangs, fails time after time, refuses the
            key or knows no such model, or the budget is spent. All answers so far are kept.
        AnswerError: when playing, if the endpoint refuses a request, for instance because it knows no seeds.

    Example:
        >>> agent = Chat(base_url="http://127.0.0.1:8000/v1", model="qwen", budget=1000)
        >>> agent.tally()["answers"]
        0
    """

    config_class = ChatConfig
    config: ChatConfig

    def answer(self, questions: Sequence[Question]) -> list[str]:
        """Asks the endpoint, many questions at a time."""
        fields = [self._fields(question) for question in questions]
        return ask(self.config.settings(self.seed), [question.messages for question in questions], fields=fields)

    def _fields(self, question: Question) -> dict[str, Any]:
        name = self.config.seed_field
        seeded = {name: question.seed} if name and question.seed is not None else {}
        return {"temperature": question.temperature, **seeded}
