"""Objects that a user names as ``"module:attribute"``."""

from __future__ import annotations

import importlib
import re
from typing import Any

from textgym.errors import ConfigurationError, unknown_name


def load_object(path: str, what: str) -> Any:
    """Imports what a user named.

    Args:
        path: ``"module:attribute"``.
        what: The argument that it was given for, as messages name it.

    Raises:
        ConfigurationError: for a module that is not there or fails to be imported.
        UnknownNameError: for an attribute that it has not, with the nearest one.

    Example:
        >>> load_object("math:floor", "reward")(2.5)
        2
    """
    name, _, attribute = path.partition(":")
    module = _import(name, f"{what}={path!r}")
    if not hasattr(module, attribute):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise unknown_name(f"attribute of the module {name!r}", attribute, public)
    return getattr(module, attribute)


def _import(name: str, given: str) -> Any:
    unknown = ConfigurationError(
        f"{given}: there is no module {name!r} on Python's path; start Python in the folder of {name}.py, or "
        "add that folder to PYTHONPATH"
    )
    if not all(part.isidentifier() for part in name.split(".")):
        raise _named_by_its_file(name, given) if name.endswith(".py") else unknown
    try:
        return importlib.import_module(name)
    except Exception as error:  # it is the user's code, so it may raise anything
        if name.endswith(".py"):
            raise _named_by_its_file(name, given) from None
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise unknown from None
        raise ConfigurationError(
            f"{given}: the module {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _named_by_its_file(name: str, given: str) -> ConfigurationError:
    *folders, stem = re.split(r"[/\\]", name.removesuffix(".py"))
    where = f", started in the folder {'/'.join(folders)}" if folders else ""
    return ConfigurationError(f"{given}: expected the name of a module and not of its file: {stem}:NAME{where}")
