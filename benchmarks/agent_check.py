"""The check of one's own agent before anything starts: a few steps at the tiny level, method by method.

A comparison takes minutes to days, and an agent that does not meet the protocol would spoil every run of it. So each
agent that is not part of textgym is first made, trained for a moment, asked, saved and loaded; what is wrong is an
error that names the method, what came back, what was expected and what to do.
"""

from __future__ import annotations

import reprlib
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import BudgetSpent, ConfigurationError, TextGymError
from textgym.factory import EnvFactory
from textgym.importing import load_object
from textgym.playing import act_of, play
from textgym.writers import is_writer

from .meter import BudgetOverrunError, Meter
from .metering import MeteredFactory

STEPS = 4096
"""Steps of the trial: room for one rollout of most agents."""

ROWS = 3
TRIAL = EnvFactory("TextGen-v0", {"level": "tiny"})
UNREADABLE = (".pkl", ".pickle", ".joblib", ".pt", ".pth")

_SIGNATURES: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "learn": ((None, None, 1), "learn(self, envs, total_steps)"),
    "save": ((None, Path()), "save(self, path)"),
}


class AgentError(ConfigurationError):
    """An agent does not meet the protocol."""


@dataclass(frozen=True)
class Finding:
    """What the check of an agent that meets the protocol found.

    Attributes:
        agent: Its name.
        steps: Steps that it made in its trial.
        warnings: What one should know of it; mostly nothing.
    """

    agent: str
    steps: int
    warnings: tuple[str, ...]


def check_agent(
    name: str,
    *,
    config: Mapping[str, Any] | None = None,
    steps: int = STEPS,
    seed: int = 0,
    on_stubborn: Callable[[], None] | None = None,
    on_method: Callable[[str], None] | None = None,
) -> Finding:
    """Tries an agent at the tiny level of the default task.

    Args:
        name: "module:Class", or a registered name.
        config: Arguments of the agent.
        steps: What its trial may spend.
        seed: Of the trial.
        on_stubborn: Called when the agent swallows everything that tells it to stop; it must end the process.
        on_method: Called with the name of each method before it is tried.

    Raises:
        AgentError: naming the method that breaks the protocol, what came back and what was expected.

    Example:
        >>> check_agent("q_learning").warnings
        ()
    """
    return _Trial(name, dict(config or {}), steps, seed, on_stubborn, on_method).findings()


class _Trial:
    def __init__(
        self,
        name: str,
        config: dict[str, Any],
        steps: int,
        seed: int,
        on_stubborn: Callable[[], None] | None,
        on_method: Callable[[str], None] | None,
    ) -> None:
        self.name, self.config, self.steps, self.seed = name, config, steps, seed
        self.on_stubborn, self.enter = on_stubborn, on_method or (lambda method: None)
        self.warnings: list[str] = []

    def findings(self) -> Finding:
        self.kind = self._import()
        agent = self._make()
        self._check_methods(agent)
        spent = self._learn(agent)
        first = self._ask(agent)
        steady = self._ask(agent) == first
        self._save_and_load(agent, first if steady else None)
        if steady:
            self._repeat(first)
        else:
            self._warn("act(deterministic=True) gives other tokens when it is asked again; offer seed_sampling(seed)")
        return Finding(self.name, spent, tuple(self.warnings))

    def _wrong(self, method: str, came: str, expected: str) -> AgentError:
        return AgentError(f"agent {self.name!r}, {method}: {came}; expected {expected}")

    def _raised(self, method: str, error: BaseException, expected: str) -> AgentError:
        return self._wrong(method, f"raised {type(error).__name__}: {error}{self._where(error)}", expected)

    def _where(self, error: BaseException) -> str:
        """The agent's own line, or else that of the library; nothing for a call that did not reach the agent."""
        frames = traceback.extract_tb(error.__traceback__)
        home = Path(getattr(sys.modules[self.kind.__module__], "__file__", None) or "").parent
        own = [frame for frame in frames if Path(frame.filename).parent == home]
        last = (own or frames)[-1]
        return "" if Path(last.filename) == Path(__file__) else f" ({Path(last.filename).name}, line {last.lineno})"

    def _import(self) -> type[Any]:
        from textgym.agents.registry import AGENTS, agent_class

        if ":" not in self.name or self.name in AGENTS:
            return agent_class(self.name)
        kind = load_object(self.name, "agent")
        if not isinstance(kind, type):
            raise self._wrong(self.name, f"is of type {type(kind).__name__}", "a class, to be made anew for each seed")
        return kind

    def _make(self) -> Any:
        expected = "a class that is made as Agent(seed=0), with its options as further keywords"
        self.enter("__init__")
        try:
            return self.kind(seed=self.seed, **self.config)
        except TextGymError:
            raise
        except (Exception, SystemExit) as error:
            raise self._raised("__init__", error, expected) from error

    def _check_methods(self, agent: Any) -> None:
        for method, (arguments, form) in _SIGNATURES.items():
            function = getattr(self.kind, method, None)
            if not callable(function):
                raise self._wrong(method, "there is no such method", form)
            try:
                signature(function).bind(*arguments)
            except TypeError as error:
                raise self._wrong(method, f"cannot be called ({error})", form) from None
        if not callable(getattr(self.kind, "load", None)):
            raise self._wrong("load", "there is no such method", "a class method load(cls, path) that returns an agent")
        if not is_writer(agent):
            if not callable(getattr(agent, "act", None)):
                form = "act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None)"
                raise self._wrong("act", "there is no such method", f"{form}, or write(self, envs, prompt_indices)")
            try:
                act_of(agent)
            except ConfigurationError as error:  # says what is wrong with the parameters
                raise AgentError(f"agent {self.name!r}: {error}") from None

    def _learn(self, agent: Any) -> int:
        expected = f"that it learns from {self.steps} steps and lets BudgetSpent pass"
        meter = Meter(self.steps, on_stubborn=self.on_stubborn)
        self.enter("learn")
        try:
            agent.learn(MeteredFactory.around(TRIAL, meter), self.steps)
        except BudgetSpent:
            pass  # the normal end
        except BudgetOverrunError:
            came = f"went on after its budget of {self.steps} steps was spent and caught every BudgetSpent"
            raise self._wrong("learn", came, "that it lets BudgetSpent pass") from None
        except (Exception, SystemExit) as error:
            self._blame_act(agent)
            raise self._raised("learn", error, expected) from error
        if not meter.steps:
            self._warn("learn() wrote no token in the environments that it was given")
        return meter.steps

    def _blame_act(self, agent: Any) -> None:
        """Says what is wrong with the actions, if that is why learn() failed, which mostly asks act() for them."""
        try:
            if not is_writer(agent):
                self._acts(agent)
        except AgentError:
            raise
        except (Exception, SystemExit):  # it need not be able to act before it has learned
            return

    def _ask(self, agent: Any) -> list[list[int]]:
        """What the agent does greedily: tokens for a batch of observations and whole texts; checked on the way."""
        self.enter("write" if is_writer(agent) else "act")
        try:
            if is_writer(agent):
                return self._texts(agent)
            return [*self._acts(agent), *self._texts(agent)]
        except ConfigurationError as error:  # says what came back
            raise error if isinstance(error, AgentError) else AgentError(f"agent {self.name!r}: {error}") from None
        except (Exception, SystemExit) as error:
            method = "write" if is_writer(agent) else "act"
            raise self._raised(method, error, "token ids for the observations of the tiny level") from error

    def _acts(self, agent: Any) -> list[list[int]]:
        if hasattr(agent, "seed_sampling"):
            agent.seed_sampling(self.seed)
        envs: Any = TRIAL.vector(ROWS)
        observations, _ = envs.reset(seed=self.seed)
        masks, starts = envs.unwrapped.action_masks(), np.ones(ROWS, dtype=bool)
        found = []
        for deterministic in (True, False):
            before = observations.copy(), masks.copy()
            actions = agent.act(observations, masks, deterministic=deterministic, episode_starts=starts)
            self._check_actions(actions, masks, int(envs.single_action_space.n))
            if not (np.array_equal(before[0], observations) and np.array_equal(before[1], masks)):
                raise self._wrong("act", "changed the observations or masks it was given", "that it only reads them")
            if deterministic:
                found.append(np.asarray(actions).tolist())
        envs.close()
        return found

    def _check_actions(self, actions: Any, masks: NDArray[np.bool_], vocabulary: int) -> None:
        expected = f"one token id each, an integer array of shape ({ROWS},)"
        try:
            array = np.asarray(actions)
        except ValueError:
            raise self._wrong("act", f"returned what is no array, {reprlib.repr(actions)}", expected) from None
        if actions is None:
            raise self._wrong("act", f"returned None for {ROWS} observations", expected)
        if array.shape != (ROWS,) or array.dtype.kind not in "iu":
            came = f"returned shape {array.shape} of type {array.dtype} for {ROWS} observations"
            raise self._wrong("act", came, expected)
        outside = array[(array < 0) | (array >= vocabulary)]
        if outside.size:
            came = f"returned the token id {outside[0]}"
            raise self._wrong("act", came, f"ids from 0 to {vocabulary - 1}, the size of the vocabulary less one")
        if not masks[np.arange(ROWS), array].all():
            self._warn("act() wrote tokens that action_masks forbids; such a text ends at once, at illegal_reward")

    def _texts(self, agent: Any) -> list[list[int]]:
        batch, _ = play(agent, TRIAL, episodes=ROWS, seed=self.seed)
        return [batch.ids(row) for row in range(ROWS)]

    def _save_and_load(self, agent: Any, first: list[list[int]] | None) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "agent"
            expected = "that it makes the folder of that path and writes the agent into it"
            self.enter("save")
            try:
                agent.save(path)
            except (Exception, SystemExit) as error:
                raise self._raised("save", error, expected) from error
            if not path.is_dir():
                raise self._wrong("save", f"left {'a file' if path.exists() else 'nothing'} at its path", expected)
            unreadable = sorted(file.name for file in path.rglob("*") if file.suffix in UNREADABLE)
            if unreadable:
                note = "pickles run code when they are read; write npz, safetensors or JSON instead"
                self._warn(f"save() wrote {', '.join(unreadable)}: {note}")
            loaded = self._load(path)
        played = self._ask(loaded)
        if first is not None and played != first:
            came = "the agent it returned plays greedily in another way than the one that was saved"
            raise self._wrong("load", came, "the same agent, with all that it has learned")

    def _load(self, path: Path) -> Any:
        expected = "a class method that returns the agent that save() wrote"
        self.enter("load")
        try:
            loaded = self.kind.load(path)
        except (Exception, SystemExit) as error:
            raise self._raised("load", error, expected) from error
        if not isinstance(loaded, self.kind):
            raise self._wrong("load", f"returned {type(loaded).__name__}", expected)
        return loaded

    def _repeat(self, first: list[list[int]]) -> None:
        """Trains once more from the same seed."""
        again = self._make()
        self._learn(again)
        if self._ask(again) != first:
            self._warn(
                f"trained twice from seed {self.seed} it plays differently: its runs cannot be repeated; draw all that "
                "is random from np.random.default_rng(seed)"
            )

    def _warn(self, note: str) -> None:
        self.warnings += [note] * (note not in self.warnings)
