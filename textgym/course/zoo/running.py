"""The exhibits by name: their source, and runs of them as they are, mended, or with a student's functions."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Sequence
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from textgym.course.zoo.bug import Bug, Findings
from textgym.errors import ConfigurationError, unknown_name

NAMES = (
    "hamster", "mole", "squirrel", "sheep", "bat", "lemming", "pigeon",
    "goldfish", "cuckoo", "crab", "snail", "centipede", "magpie", "cicada", "pelican", "chameleon", "koala", "parrot",
    "flounder", "stag", "vulture", "fox", "ostrich",
)  # fmt: skip
"""All exhibits: tables of values, then policies and critics, then judgements, rewards and exams."""

SEEDS = (0, 1, 2, 3, 4)
"""The seeds with which an exhibit is tried."""

SPOILER = "# ---- Spoiler"
OWN = ("run",)
"""Functions that measure, and are never replaced."""

_FOLDER = Path(__file__).parent / "programs"
_IMPORT = "from textgym.course.zoo.bug import Bug, Chart, Findings, Tell"


def module_name(name: str) -> str:
    """The module of an exhibit.

    Raises:
        UnknownNameError: with the nearest name there is.
    """
    if name not in NAMES:
        raise unknown_name("exhibit of the zoo", name, NAMES)
    return f"textgym.course.zoo.programs.{name}"


def get(name: str) -> Bug:
    """What an exhibit says about itself.

    Raises:
        ConfigurationError: if it needs a package that is not installed.
        UnknownNameError: with the nearest name there is.
    """
    bug = _import(name).BUG
    assert isinstance(bug, Bug)
    return bug


def source(name: str) -> str:
    """The program as a student gets it: without what is below the spoiler line."""
    program, _, _ = _read(name).partition(SPOILER)
    program = program.replace(_IMPORT, "from textgym.course.zoo.bug import Findings")
    return re.sub(r" +# type: ignore\S*", "", program).rstrip() + "\n"


def cure(name: str) -> str:
    """The source of the mended function, under the name of the faulty one."""
    bug, text = get(name), _read(name)
    function = next(
        node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == "mended"
    )
    written = ast.get_source_segment(text, function)
    assert written is not None
    return written.replace("def mended(", f"def {bug.faulty}(", 1) + "\n"


def blurb(name: str) -> str:
    """The first sentence of an exhibit, without importing it."""
    docstring = ast.get_docstring(ast.parse(_read(name))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def functions(text: str) -> dict[str, str]:
    """The functions and classes at the top level of a program: name -> a form that ignores layout and comments."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name: ast.dump(_bare(node)) for node in ast.parse(text).body if isinstance(node, kinds)}


def run(name: str, seed: int, *, mended: bool = False) -> Findings:
    """Runs an exhibit.

    Args:
        name: Of the exhibit.
        seed: Of everything that is random in it.
        mended: Whether with the function as it should be.

    Raises:
        ConfigurationError: if it needs a package that is not installed.
        UnknownNameError: for a name that there is not.
    """
    program = _copy(name)
    if mended:
        setattr(program, get(name).faulty, program.mended)
    return _run(program, seed)


def run_submission(submission: ModuleType, name: str, seeds: Sequence[int]) -> list[dict[str, float]]:
    """Runs an exhibit with whatever functions a submission has in place of its own; the sandbox calls this over there.

    Args:
        submission: The student's file as a module. Names of the exhibit that it lacks are lent to it.
        name: Of the exhibit.
        seeds: One run each.

    Returns:
        The numbers that each run measured, without its lists.
    """
    program = _copy(name)
    for own in functions(source(name)):
        if own in OWN:
            continue
        if hasattr(submission, own):
            setattr(program, own, getattr(submission, own))
    for other, value in vars(program).items():
        if not other.startswith("__") and not hasattr(submission, other):
            setattr(submission, other, value)
    found = [_run(program, seed) for seed in seeds]
    return [{key: float(value) for key, value in one.items() if not isinstance(value, list)} for one in found]


def _run(program: Any, seed: int) -> Findings:
    findings: Findings = program.run(seed)
    return findings


def _read(name: str) -> str:
    return (_FOLDER / f"{module_name(name).rpartition('.')[2]}.py").read_text(encoding="utf-8")


def _import(name: str) -> Any:
    try:
        return importlib.import_module(module_name(name))
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the exhibit {name!r} needs {error.name}, which is not installed: pip install 'textgym[lm]'"
        ) from None


def _copy(name: str) -> Any:
    """The module anew, so that its functions can be replaced and nobody else notices."""
    _import(name)
    spec = find_spec(module_name(name))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _bare(node: ast.AST) -> ast.AST:
    """A definition without its docstrings and annotations, which change nothing."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(inner) is not None:
            inner.body = inner.body[1:] or [ast.Pass()]
        if isinstance(inner, ast.FunctionDef):
            inner.returns = None
        if isinstance(inner, ast.arg):
            inner.annotation = None
    return node
