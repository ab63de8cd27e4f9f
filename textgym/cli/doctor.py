"""``textgym doctor``: what is installed, what is missing, and the line that installs it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

PURPOSES: Mapping[str, str] = {
    "core": "environments, rewards, Q-learning, comparisons",
    "render": "pictures as pixels",
    "video": "videos",
    "sb3": "DQN, PPO, A2C and MaskablePPO",
    "lm": "language models as agents, references and rewards",
    "metrics": "edit similarity, and the packages that overlaps are compared with",
    "sentiment": "VADER's sentiment as a reward",
    "data": "Parquet files and data sets of Hugging Face",
    "reasoning": "reasoning-gym's items",
    "label": "the label server",
    "judge": "chat models as rewards and annotators",
    "chat": "chat models as agents",
    "tensorboard": "curves in TensorBoard",
    "wandb": "curves in Weights & Biases",
    "tune": "searches for options",
    "ray": "comparisons on a cluster",
    "minari": "recorded data sets, and agents that learn from them",
    "torchrl": "torchrl",
    "rllib": "RLlib",
    "trl": "TRL",
    "textarena": "TextArena's games",
    "textworld": "TextWorld's games",
    "dev": "tests and lint",
    "docs": "this documentation",
}
"""Extra -> what it is for."""

_EXTRA = re.compile(r"""extra\s*==\s*['"](?P<extra>[^'"]+)['"]""")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_BOUND = re.compile(r"(?P<sign><=|>=|<|>|==)\s*(?P<version>[0-9.]+)")


@dataclass(frozen=True)
class Package:
    """One requirement, and what is there of it.

    Attributes:
        name: The package.
        needed: Bounds of its version, such as ``">=1.16,<1.17"``; empty for any.
        installed: Its version; None where it is missing.
    """

    name: str
    needed: str
    installed: str | None

    @property
    def fits(self) -> bool:
        """Whether it is there in a version that is allowed."""
        return self.installed is not None and all(_holds(self.installed, bound) for bound in self.needed.split(","))


@dataclass(frozen=True)
class Extra:
    """A group of packages.

    Attributes:
        name: ``"core"`` or the name of an extra.
        purpose: What it is for.
        packages: What it needs.
        install: The line that installs it; empty where nothing is missing.
    """

    name: str
    purpose: str
    packages: tuple[Package, ...]
    install: str

    @property
    def status(self) -> str:
        """``"ok"``, ``"missing"`` or, where a version does not fit, ``"version"``."""
        if any(package.installed is None for package in self.packages):
            return "missing"
        return "ok" if all(package.fits for package in self.packages) else "version"


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False) -> None:
    """Say what is installed, which devices there are, what is missing, and the line that installs it.

    The exit status is 1 if something is missing that every part of textgym needs.
    """
    extras = find_extras(importlib.metadata.requires("textgym") or ())
    found = {"system": describe_system(), "devices": describe_devices(), "extras": extras}
    typer.echo(json.dumps(_plain(found), indent=2, ensure_ascii=False) if as_json else "\n".join(_lines(found)))
    if extras[0].status != "ok":
        raise typer.Exit(1)


def find_extras(requirements: Sequence[str]) -> list[Extra]:
    """What is there of a distribution's requirements, the core first.

    Args:
        requirements: As its metadata has them, such as ``'trl<1.17,>=1.16; extra == "trl"'``.

    Example:
        >>> [(extra.name, extra.status) for extra in find_extras(["numpy>=1", 'no-such-package; extra == "sb3"'])]
        [('core', 'ok'), ('sb3', 'missing')]
    """
    groups: dict[str, list[Package]] = {"core": []}
    for requirement in requirements:
        text, _, marker = requirement.partition(";")
        named = _EXTRA.search(marker)
        if text.startswith("textgym[") or ("win32" in marker and sys.platform == "win32"):
            continue  # all extras at once; what does not exist for this system
        groups.setdefault(named["extra"] if named else "core", []).append(_find(text.strip()))
    return [_group(name, tuple(packages)) for name, packages in groups.items()]


def describe_system() -> dict[str, Any]:
    """Versions of textgym and Python, the machine, and settings that matter."""
    from textgym import __version__

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "textgym": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": usable,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "in an environment of its own": sys.prefix != sys.base_prefix,
        "terminal's encoding": getattr(sys.stdout, "encoding", None),
    }


def describe_devices() -> list[str]:
    """What torch can compute on, the processor last; empty without torch."""
    try:
        import torch
    except ImportError:
        return []
    devices = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            known = torch.cuda.get_device_properties(index)
            devices.append(f"cuda:{index}: {known.name}, {known.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        devices.append("mps: Apple's GPU")
    return [*devices, f"cpu: {torch.get_num_threads()} torch threads"]


def _group(name: str, packages: tuple[Package, ...]) -> Extra:
    fits = all(package.fits for package in packages)
    line = "" if fits else "pip install -e ." if name == "core" else f"pip install 'textgym[{name}]'"
    return Extra(name, PURPOSES.get(name, ""), packages, line)


def _find(requirement: str) -> Package:
    match = _NAME.match(requirement)
    assert match is not None
    try:
        installed = importlib.metadata.version(match[0])
    except importlib.metadata.PackageNotFoundError:
        installed = None
    needed = requirement[match.end() :].partition("]")[2] if "[" in requirement else requirement[match.end() :]
    return Package(match[0], needed.strip(" ()"), installed)


def _holds(version: str, bound: str) -> bool:
    """Whether a version lies within one bound; pre-releases count as what they precede."""
    match = _BOUND.match(bound.strip())
    if match is None:
        return True
    one, other = _numbers(version), _numbers(match["version"])
    length = max(len(one), len(other))
    left, right = (numbers + (0,) * (length - len(numbers)) for numbers in (one, other))
    checks = {"<=": left <= right, ">=": left >= right, "<": left < right, ">": left > right, "==": left == right}
    return checks[match["sign"]]


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else (0,)


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same in values that JSON knows."""
    extras = [{**asdict(extra), "status": extra.status} for extra in found["extras"]]
    return {**found, "extras": extras}


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    system, extras = found["system"], found["extras"]
    yield f"textgym {system['textgym']}, Python {system['python']}, {system['system']}, {system['cores']} cores"
    for device in found["devices"] or ["torch is not installed: no networks, no language models"]:
        yield f"          {device}"
    width = max(len(extra.name) for extra in extras)
    for extra in extras:
        packages = ", ".join(_word(package) for package in extra.packages)
        yield f"{extra.status:<8}  {extra.name:<{width}}  {packages}"
        if extra.install:
            yield f"{'':<{width + 12}}for {extra.purpose or extra.name}: {extra.install}"
    yield from _advice(system, extras)


def _word(package: Package) -> str:
    if package.installed is None:
        return f"{package.name} is missing"
    return f"{package.name} {package.installed}" + ("" if package.fits else f" (needed: {package.needed})")


def _advice(system: Mapping[str, Any], extras: Sequence[Extra]) -> Iterator[str]:
    """What to do about it, most urgent first."""
    lacking = [extra.name for extra in extras if extra.status != "ok" and extra.name != "core"]
    if lacking:
        yield f"everything at once: pip install -c constraints.txt 'textgym[{','.join(lacking)}]'"
    if not system["in an environment of its own"]:
        yield "this Python is the system's own: python -m venv .venv keeps packages apart"
    if system["OMP_NUM_THREADS"] is None:
        yield "OMP_NUM_THREADS is not set: on a busy machine, OMP_NUM_THREADS=1 makes small networks faster"
