"""What the commands share: the options that name an environment, and how their values are read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textgym.errors import ConfigurationError

if TYPE_CHECKING:
    from textgym.factory import EnvFactory

ENV_FILE = "env.json"

_EXPECTED = 'expected an object in UTF-8, such as {"level": "tiny"}'

EnvId = Annotated[str, typer.Option("--env", help="Environment id.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Argument of the environment as KEY=VALUE, e.g. level=tiny or reward=module:function; repeatable."
    ),
]
EnvConfigFile = Annotated[
    Path | None, typer.Option("--env-config", help="JSON file with arguments of the environment.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all that is random.")]
Processes = Annotated[int | None, typer.Option(min=0, help="Runs at a time; default one a core.")]
Resume = Annotated[
    bool, typer.Option("--resume/--new", help="Go on in the folder, or give what is there another name.")
]
Timeout = Annotated[float | None, typer.Option(help="Minutes after which a run is stopped and recorded.")]
Memory = Annotated[float | None, typer.Option(help="Gigabytes that a run's process may ask for; Linux only.")]
Trust = Annotated[bool, typer.Option("--trust", help="Also load agents from outside textgym, which runs their code.")]


def read_settings(pairs: list[str] | None, file: Path | None) -> dict[str, Any]:
    """Arguments of the environment: those of the JSON file, then those of ``--set``."""
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = json.loads(file.read_text(encoding="utf-8-sig"))  # Windows editors put a mark at the beginning
        except OSError as error:
            raise ConfigurationError(f"--env-config {str(file)!r} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise ConfigurationError(f"--env-config {str(file)!r} is no JSON; {_EXPECTED} ({error})") from None
        if not isinstance(values, dict):
            raise ConfigurationError(f"--env-config {str(file)!r} holds a {type(values).__name__}; {_EXPECTED}")
    return {**values, **read_pairs(pairs)}


def read_pairs(pairs: list[str] | None) -> dict[str, Any]:
    """``KEY=VALUE`` strings as a dict; values are JSON where they parse as such, else text."""
    values: dict[str, Any] = {}
    for pair in pairs or []:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise ConfigurationError(f"{pair!r}: expected KEY=VALUE, such as level=tiny")
        try:
            values[key] = json.loads(text)
        except ValueError as error:
            if text.startswith(("{", "[")):  # most often the shell has taken the quotes away
                raise ConfigurationError(
                    f"{pair!r} begins like JSON and is none ({error}); put all of it in single quotes, as in "
                    '--set \'prompts={"path": "reviews.csv"}\', or use --env-config FILE'
                ) from None
            values[key] = text
    return values


def saved_factory(run: Path, env: str | None, settings: dict[str, Any]) -> EnvFactory:
    """The environment that an agent was trained in, with these settings changed."""
    from textgym.factory import EnvFactory

    file = run / ENV_FILE
    saved: dict[str, Any] = {"env_id": "TextGen-v0", "kwargs": {}}
    try:
        if file.is_file():
            saved = json.loads(file.read_text(encoding="utf-8"))
        return EnvFactory(env or saved["env_id"], {**saved["kwargs"], **settings})
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{str(file)!r} is damaged ({type(error).__name__}: {error})") from None


def one_thread() -> None:
    """One torch thread: two busy ones on two busy cores wait for each other most of the time."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def make_folder(folder: Path) -> None:
    """Makes the folder of a run, now: afterwards it would be too late to say that it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the folder {str(folder)!r} cannot be made: {error}") from None
