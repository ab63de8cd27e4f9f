"""What decides the result of a run, gathered before it starts: the ingredients of its key.

Sources are compared as syntax trees without docstrings, so that a comment or a line break changes no key. Of a
task they are its module and the reward modules it imports: what else may change a trajectory raises the version of
the environment's id. Of an agent they are its module and all that it imports from beside it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import cache
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import gymnasium as gym

from textgym import tasks
from textgym.agents.registry import AGENTS, make_agent

from .records import PROTOCOL, RunSpec, describe_object, versions
from .sources import source_hash

_NAMED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def seal(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Notes in every spec what decides its result besides what it says itself; its key is final then.

    Example:
        >>> spec = RunSpec(agent="q_learning", env_id="TextGen-v0", steps=100, seed=0)
        >>> (sealed,) = seal([spec])
        >>> sealed.facts["agent_config"]["lanes"], sealed.key != spec.key
        (32, True)
    """
    return [spec if spec.facts else replace(spec, facts=ingredients(spec)) for spec in specs]


def ingredients(spec: RunSpec) -> dict[str, Any]:
    """What decides the result of a run and is not in its spec.

    Returns:
        ``protocol``, ``env_version``, ``task_source``, ``agent_source``, ``agent_config`` (with defaults; of an agent
        of one's own as it was given, since its defaults are part of its source), ``inputs`` (the files and modules
        that arguments name) and ``versions``. What cannot be found is an empty string: such a run fails, and its
        record says why.
    """
    config = _as_json(spec.config)
    return {**_surroundings(spec), "agent_config": json.loads(_resolved_config(spec.agent, config))}


def _surroundings(spec: RunSpec) -> dict[str, Any]:
    """The ingredients that no code of an agent has to be run for."""
    return {
        "protocol": PROTOCOL,
        "env_version": _env_version(spec.env_id),
        "task_source": _task_source(spec.env_id, str(spec.env.get("task", ""))),
        "agent_source": _agent_source(spec.agent),
        "inputs": _inputs(_as_json(spec.env), _as_json(spec.config)),
        "versions": dict(_versions()),
    }


def changes_here(spec: RunSpec) -> list[Difference]:
    """What differs between this process and the one that sealed a spec: sources, inputs, versions.

    The defaults of a config are not looked at, since they follow from the agent's source.
    """
    if not spec.facts:
        return []
    here = {**_surroundings(spec), "agent_config": spec.facts.get("agent_config", spec.config)}
    return differences(spec, replace(spec, facts=here))


def own_modules(spec: RunSpec) -> set[str]:
    """The modules outside textgym that a run names: its agent's, its rewards' and so on."""
    texts = [text for values in (spec.env, spec.config) for _, text in _strings("", json.loads(_as_json(values)))]
    named = {text.partition(":")[0] for text in [AGENTS.get(spec.agent, spec.agent), *texts] if _NAMED.fullmatch(text)}
    return {module for module in named if module.split(".")[0] != "textgym"}


def _as_json(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), sort_keys=True, default=describe_object)


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple(versions().items())


@cache
def _env_version(env_id: str) -> str:
    try:
        return str(gym.spec(env_id).version)
    except gym.error.Error:
        return ""


@cache
def _task_source(env_id: str, chosen: str) -> str:
    name = chosen
    if not name and env_id in gym.registry:
        name = str(gym.spec(env_id).kwargs.get("task", ""))
    module = _task_module(name)
    return source_hash(module, only=("textgym.tasks", "textgym.rewards")) if module else ""


def _task_module(name: str) -> str:
    if name in tasks.TASKS:
        return tasks.TASKS[name].module
    foreign = [entry.value for entry in entry_points(group=tasks.GROUP) if entry.name == name]
    return (foreign[0] if foreign else name if ":" in name else "").partition(":")[0]


@cache
def _agent_source(agent: str) -> str:
    module = AGENTS.get(agent, agent if ":" in agent else "").partition(":")[0]
    return source_hash(module, only=("textgym.agents",)) if module else ""


@cache
def _resolved_config(agent: str, config: str) -> str:
    """The config with its defaults, from an agent that is made and thrown away."""
    if agent not in AGENTS:
        return config  # its code is run in a worker only
    try:
        resolved = getattr(make_agent(agent, **json.loads(config)), "config", None)
    except Exception:  # such a run fails, and its record says why
        return config
    if not is_dataclass(resolved) or isinstance(resolved, type):
        return config
    return json.dumps(asdict(resolved), default=describe_object)


@cache
def _inputs(env: str, config: str) -> Mapping[str, str]:
    named = [*_strings("", json.loads(env)), *_strings("", json.loads(config))]
    found = {text: _hash_of(key, text) for key, text in named}
    return {text: digest for text, digest in sorted(found.items()) if digest}


def _strings(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every string in nested arguments, with the name of the innermost argument."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _strings(str(name), item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(key, item)


def _hash_of(key: str, text: str) -> str:
    """The content behind an argument that names a module, a file or a folder; empty for all others."""
    if key == "cache":  # it grows while the run goes on, and decides nothing
        return ""
    if _NAMED.fullmatch(text):
        module = text.partition(":")[0]
        return "" if module.split(".")[0] == "textgym" else source_hash(module, only=())
    path = Path(text) if 0 < len(text) < 1_000 and "\n" not in text else None
    if key == "data" and path is not None and not path.exists():
        path = Path(os.environ.get("MINARI_DATASETS_PATH", Path.home() / ".minari" / "datasets"), path)  # Minari's name
    if path is None or not (path.suffix or len(path.parts) > 1 or key in ("path", "prompts")):
        return ""
    try:
        return _content_hash(path)
    except OSError:
        return ""


def _content_hash(path: Path) -> str:
    if path.is_file():
        with path.open("rb") as file:
            digest = sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()
    if path.is_dir():
        files = sorted(item for item in path.rglob("*") if item.is_file())
        parts = [f"{item.relative_to(path).as_posix()} {_content_hash(item)}" for item in files]
        return sha256("\n".join(parts).encode()).hexdigest()
    return ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which two specs differ.

    Attributes:
        field: Its name, as ``config.learning_rate``.
        before: The earlier value; None if there was none.
        now: The present one.
    """

    field: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.field} was {_shown(self.before)}, now {_shown(self.now)}"


def _shown(value: Any) -> str:
    text = "not given" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:16]}...'"


def differences(before: RunSpec, now: RunSpec) -> list[Difference]:
    """The fields in which two specs differ, seed and label apart; a config counts with its defaults."""
    old, new = _fields(before), _fields(now)
    names = [*old, *(name for name in new if name not in old)]
    return [Difference(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def _fields(spec: RunSpec) -> dict[str, Any]:
    parts = spec.parts()
    facts = parts.pop("facts")
    del parts["seed"]
    return _flat("", {**parts, **facts, "config": facts.pop("agent_config", parts["config"])})


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or (not value and prefix):
        return {prefix: value} if value != {} else {}
    found: dict[str, Any] = {}
    for name, item in value.items():
        found |= _flat(f"{prefix}.{name}" if prefix else str(name), item)
    return found
