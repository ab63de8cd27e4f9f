"""Configs of agents from files: what ``textgym bench tune`` found, or what somebody wrote by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from textgym.agents.registry import AGENTS, make_agent
from textgym.errors import ConfigurationError, TextGymError, unknown_name

from .records import RunSpec
from .suites import Suite

_EXPECTED = 'expected an object with the options of the agent, such as {"learning_rate": 0.001}, or what tune wrote'


@dataclass(frozen=True)
class AgentConfig:
    """Options of an agent, and how they were found.

    Attributes:
        options: Arguments of the agent.
        tuning: With which budget they were found; empty if nobody searched.
    """

    options: Mapping[str, Any]
    tuning: Mapping[str, Any] = field(default_factory=dict)


def read_agent_configs(pairs: Sequence[str] | None) -> dict[str, AgentConfig]:
    """``AGENT=FILE.json`` strings as agent -> its config.

    Raises:
        ConfigurationError: for a pair or a file that cannot be read, or a file of another agent.
    """
    found: dict[str, AgentConfig] = {}
    for pair in pairs or ():
        agent, separator, file = pair.partition("=")
        if not (separator and agent and file):
            raise ConfigurationError(f"{pair!r}: expected AGENT=FILE.json, such as ppo=runs/tune/ppo/best.json")
        if agent in found:
            raise ConfigurationError(f"{pair!r}: {agent} has a config already; give one for each agent")
        found[agent] = read_agent_config(Path(file), agent)
    return found


def read_agent_config(path: Path, agent: str) -> AgentConfig:
    """The config of an agent from a JSON file.

    Args:
        path: A file that ``textgym bench tune`` wrote, or one that holds the options alone.
        agent: Whose it is to be.

    Raises:
        ConfigurationError: for a file that cannot be read, or of another agent.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"the config {str(path)!r} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"the config {str(path)!r} is no JSON; {_EXPECTED} ({error})") from None
    if not isinstance(data, dict):
        raise ConfigurationError(f"the config {str(path)!r} holds a {type(data).__name__}; {_EXPECTED}")
    if not isinstance(data.get("config"), dict):
        return AgentConfig(data)
    if data.get("agent", agent) != agent:
        raise ConfigurationError(f"the config {str(path)!r} is that of {data['agent']}, not of {agent}")
    tuning = data.get("tuning", {})
    if not isinstance(tuning, dict):
        raise ConfigurationError(f"the config {str(path)!r}: tuning is {tuning!r}; {_EXPECTED}")
    return AgentConfig(data["config"], tuning)


def check_options(specs: Iterable[RunSpec]) -> None:
    """Makes each agent of textgym that has options of its own once, so that a wrong one is told before the first run.

    Raises:
        ConfigurationError: for options that the agent does not have or refuses, and for a seed, which is the run's.
    """
    specs = list(specs)
    for spec in specs:
        if "seed" in spec.config:
            raise ConfigurationError(
                f"the config of {spec.label} has a seed: expected options alone, since each run has its own seed"
            )
    different = {(spec.agent, repr(dict(spec.config))): spec for spec in specs if spec.config and spec.agent in AGENTS}
    for spec in different.values():
        try:
            make_agent(spec.agent, **spec.config)
        except (TextGymError, TypeError, ValueError) as error:
            raise ConfigurationError(f"the config of {spec.label} cannot be used: {error}") from error


def check_used(configs: Mapping[str, AgentConfig], agents: Sequence[str] | None) -> None:
    """Looks whether every agent with a config is among those that are run; None stands for all.

    Raises:
        ConfigurationError: naming the first that is not.
    """
    unused = [agent for agent in configs if agents is not None and agent not in agents]
    if unused:
        raise ConfigurationError(
            f"there is a config for {unused[0]}, which is not run: only {', '.join(agents or ())} was asked for. Give "
            f"--agent {unused[0]} too, or leave that config out"
        )


def configured(suite: Suite, configs: Mapping[str, AgentConfig]) -> Suite:
    """A suite in which these agents have these configs; those that are no part of it meet all of its environments.

    Args:
        suite: The suite.
        configs: Agent, by name or label, -> its config.

    Raises:
        UnknownNameError: for an agent that is neither part of the suite nor registered nor "module:Class".

    Example:
        >>> from textgym.benchmarks.suites import get_suite
        >>> suite = configured(get_suite("demo"), {"ppo": AgentConfig({"n_epochs": 2})})
        >>> [dict(entry.config) for entry in suite.entries]
        [{}, {}, {}, {'n_epochs': 2}]
    """
    names = {entry.label or entry.agent for entry in suite.entries}
    for agent in configs:
        if agent not in names and agent not in AGENTS and ":" not in agent:
            raise unknown_name(f"agent of the suite {suite.name}", agent, names | {*AGENTS, "module:Class"})
    entries = []
    for entry in suite.entries:
        found = configs.get(entry.label or entry.agent)
        entries.append(entry if found is None else replace(entry, config=found.options, tuning=found.tuning))
    for agent in configs:
        if agent not in names:
            found = configs[agent]
            own: dict[str, Any] = {"agent": agent, "label": "", "config": found.options, "tuning": found.tuning}
            entries += [replace(entry, **own) for entry in suite.environments()]
    return replace(suite, entries=tuple(entries))
