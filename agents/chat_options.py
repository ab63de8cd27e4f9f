"""The options that all agents which are chat models share, and the questions that they are asked."""

from __future__ import annotations

from dataclasses import dataclass

from textgym.chat_settings import Conversation
from textgym.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class PlayerConfig:
    """Options of every agent that is a chat model."""

    temperature: float = 1.0  # of sampled play and of votes; greedy play with one sample asks at temperature 0
    samples: int = 1  # answers to each question of greedy play; the commonest text among them is played
    marker: str = "Text:"  # what stands before the text in an answer; empty takes the whole answer
    instructions: str = ""  # further sentences for the model
    system_role: bool = True  # False says the instructions in the first message of the user
    write_on: bool = False  # whether to play through the budget of training, so that there is a curve
    lanes: int = 16  # written at the same time then

    def __post_init__(self) -> None:
        if isinstance(self.temperature, bool) or not isinstance(self.temperature, int | float):
            raise ConfigurationError(f"temperature={self.temperature!r}: expected a number above 0")
        if not 0 < self.temperature < 100:
            raise ConfigurationError(f"temperature={self.temperature!r}: expected a number above 0")
        for name in ("samples", "lanes"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ConfigurationError(f"{name}={value!r}: expected a whole number of at least 1")
        for name in ("marker", "instructions"):
            if not isinstance(getattr(self, name), str):
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected a text")


@dataclass(frozen=True)
class Question:
    """What a model is asked.

    Attributes:
        messages: The conversation.
        temperature: 0 for the likeliest answer.
        seed: Of the answer; None where nothing is drawn.
    """

    messages: Conversation
    temperature: float = 0.0
    seed: int | None = None
