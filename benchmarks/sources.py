"""Hashes of Python source, as keys of runs need them: what a module does, not how it is laid out."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

_INSTALLED = ("site-packages", "dist-packages")
_WITH_DOCSTRINGS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def source_hash(module: str, *, only: Sequence[str] = ()) -> str:
    """Hash of a module and of the modules that it imports from its own family.

    Nothing is executed but the packages that the module lies in.

    Args:
        module: Its full name.
        only: The packages of textgym whose modules belong to the family of a module of textgym. To the family of any
            other module belong its top-level package, and what lies beside that, unless it is installed.

    Returns:
        A hash, or an empty string for a module that is not found.

    Example:
        >>> source_hash("no_such_module")
        ''
        >>> len(source_hash("textgym.agents.q_learning", only=["textgym.agents"]))
        64
    """
    if module == "__main__":  # a script: there is no other name for what it defines
        script = getattr(sys.modules["__main__"], "__file__", None)
        return _tree_hash(Path(script).read_bytes()) if script and Path(script).is_file() else ""
    found = {name: _tree_hash(path.read_bytes()) for name, path in source_files(module, only=only).items()}
    if not found:
        return ""
    return sha256("\n".join(f"{name} {digest}" for name, digest in sorted(found.items())).encode()).hexdigest()


def source_files(module: str, *, only: Sequence[str] = (), installed: bool = True) -> dict[str, Path]:
    """The files behind :func:`source_hash`, by the full names of their modules.

    Args:
        module: As there.
        only: As there.
        installed: Whether a module that is installed has any.
    """
    family = _family(module, tuple(only))
    if family is None or (family.is_installed and not installed):
        return {}
    waiting, found = [module], dict[str, Path]()
    while waiting:
        name = waiting.pop()
        path = family.file_of(name)
        if name in found or path is None:
            continue
        found[name] = path
        waiting += _imports(path.read_bytes(), name, is_package=path.stem == "__init__")
    return found


class _Family:
    """Where the modules lie that belong together.

    Args:
        places: Package name -> its folder; the name is empty where the folder is no package.
        top: The one top-level name that is meant; empty for all in the folders.
    """

    def __init__(self, places: dict[str, Path], top: str = "") -> None:
        self._places, self._top = places, top

    @property
    def is_installed(self) -> bool:
        """Whether they came with Python or were installed."""
        return bool(self._top)

    def file_of(self, name: str) -> Path | None:
        """The file of a module; None if it is not of the family."""
        if self._top and name.partition(".")[0] != self._top:
            return None
        for package, folder in self._places.items():
            if not package or name == package or name.startswith(f"{package}."):
                parts = [part for part in name.removeprefix(package).split(".") if part]
                path = folder.joinpath(*parts)
                for file in (path.with_suffix(".py") if parts else path, path / "__init__.py"):
                    if file.is_file():
                        return file
        return None


@cache
def _family(module: str, only: tuple[str, ...]) -> _Family | None:
    if any(module.startswith(f"{package}.") for package in only):
        return _Family({package: folder for package in only if (folder := _folder_of(package)) is not None})
    top, _, rest = module.partition(".")
    folder = _folder_of(top) if rest or _is_package(top) else _file_folder(top)
    if folder is None:
        return None
    root = folder.parent if rest or _is_package(top) else folder
    foreign = any(part in _INSTALLED for part in root.parts) or root == Path(sysconfig.get_paths()["stdlib"])
    return _Family({"": root}, top if foreign else "")


def _find(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except Exception:  # a package of the user's own may raise anything while it is imported
        return None


def _is_package(name: str) -> bool:
    spec = _find(name)
    return spec is not None and spec.submodule_search_locations is not None


def _folder_of(package: str) -> Path | None:
    spec = _find(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]).resolve() if places else None


def _file_folder(module: str) -> Path | None:
    spec = _find(module)
    return Path(spec.origin).resolve().parent if spec and spec.origin and spec.has_location else None


def _tree_hash(source: bytes) -> str:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return sha256(source).hexdigest()
    for node in ast.walk(tree):
        if isinstance(node, _WITH_DOCSTRINGS) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return sha256(ast.dump(tree).encode()).hexdigest()


def _imports(source: bytes, name: str, *, is_package: bool) -> Iterator[str]:
    """The modules that a source may import; some are names of functions, which no file has."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    package = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in _with_parents(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from _with_parents(module)
            yield from (f"{module}.{alias.name}" if module else alias.name for alias in node.names)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[: count + 1]) for count in range(len(parts)))
