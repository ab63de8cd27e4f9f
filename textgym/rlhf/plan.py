"""What a loop does, as data, and how it is known again when the loop is started once more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from textgym.agents.registry import make_agent
from textgym.atomic import write_whole
from textgym.errors import ConfigurationError, unknown_name
from textgym.factory import EnvFactory
from textgym.preference_models.fitting import check_kind

PLAN, COMPARISONS = "plan.json", "comparisons.jsonl"
ANNOTATORS = ("simulated", "browser", "terminal")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One loop from texts to an agent.

    Attributes:
        env_id: The environment.
        env: Its arguments.
        annotator: Who compares: one of :data:`ANNOTATORS`.
        temperature: Of the simulated annotator: the difference in gold at which the better text wins 73 % of the time.
        pairs: Pairs that are compared in each round.
        rounds: How often all of it is done; from the second round on, the agent's texts are compared with others, and
            the reward model learns from the comparisons of all rounds.
        model: Kind of the reward model, see :mod:`textgym.preference_models`.
        ensemble: Members of the reward model.
        algo: The agent, a name of :data:`textgym.agents.registry.AGENTS`.
        steps: Tokens that it writes in each round.
        config: Its options.
        labels: A file of comparisons, or a label database, instead of the first round's texts and judgements.
        reward: A reward model or classifier instead of everything before the training: its folder, or
            ``{"name": folder, "label": ...}`` with what else it must be told.
        seed: Of all that is random.

    Raises:
        ConfigurationError: for what cannot be done together.
    """

    env_id: str = "TextGen-v0"
    env: Mapping[str, Any] = field(default_factory=dict)
    annotator: str = "simulated"
    temperature: float = 0.5
    pairs: int = 2_000
    rounds: int = 1
    model: str = "ngram"
    ensemble: int = 1
    algo: str = "ppo"
    steps: int = 200_000
    config: Mapping[str, Any] = field(default_factory=dict)
    labels: str | None = None
    reward: str | Mapping[str, Any] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.annotator not in ANNOTATORS:
            raise unknown_name("annotator", self.annotator, ANNOTATORS)
        for name, least in {"pairs": 2, "rounds": 1, "ensemble": 1, "steps": 1}.items():
            if getattr(self, name) < least:
                raise ConfigurationError(f"{name}={getattr(self, name)}: expected at least {least}")
        if self.reward is not None and (self.labels is not None or self.rounds > 1):
            raise ConfigurationError(
                f"reward={self.reward!r} takes the place of labels and of their rounds; leave labels and rounds out"
            )
        if "reward" in self.env:
            raise ConfigurationError(
                "the environment's own reward would be replaced by what is learned; give a finished reward model as "
                "reward= of the loop"
            )

    @property
    def asks(self) -> bool:
        """Whether anybody is asked to compare texts."""
        return self.reward is None and (self.labels is None or self.rounds > 1)

    @property
    def reward_name(self) -> str:
        """The reward that was given, for people."""
        return str(self.reward["name"] if isinstance(self.reward, Mapping) else self.reward)

    def factory(self, reward: str | Mapping[str, Any] | None = None) -> EnvFactory:
        """The environment, with its own reward or with another."""
        return EnvFactory(self.env_id, {**self.env, **({} if reward is None else {"reward": reward})})

    def check(self) -> None:
        """Raises now what would otherwise be raised after an hour of labelling: for an environment, a reward, a kind
        of reward model, an agent or an option of it that there is not.
        """
        _ = self.factory(self.reward).task().reward
        if self.reward is None:
            check_kind(self.model, self.ensemble)
        make_agent(self.algo, seed=self.seed, **self.config)

    def bind(self, out: Path) -> None:
        """Writes the plan into the folder of its results.

        Raises:
            ConfigurationError: naming the fields that differ, if another plan's results are there.
        """
        file, mine = out / PLAN, json.loads(json.dumps(asdict(self), default=str))
        if file.is_file():
            theirs = json.loads(file.read_text(encoding="utf-8"))
            changed = [name for name in mine if name != "rounds" and mine[name] != theirs.get(name)]
            if changed:
                shown = ", ".join(f"{name} was {theirs.get(name)!r} and is {mine[name]!r}" for name in changed)
                kept = out / "round-1" / COMPARISONS
                advice = f" (--labels {kept} takes its comparisons along)" if kept.is_file() else ""
                raise ConfigurationError(f"{str(out)!r} holds another loop: {shown}; take another folder{advice}")
        out.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(mine, indent=2) + "\n")
