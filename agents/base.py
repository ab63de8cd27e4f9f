"""What an agent is, and how one is kept in a folder.

The protocol is structural: an agent of your own needs no import from here.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from textgym.atomic import write_whole
from textgym.errors import ConfigurationError, TextGymError, unknown_name
from textgym.factory import EnvFactory

C = TypeVar("C")

CARD = "agent.json"
TRUSTED_PACKAGE = "textgym.agents."


@runtime_checkable
class TextGenerationAgent(Protocol):
    """An agent that learns in environments of a factory and acts on batches of observations.

    An agent that draws random numbers in :meth:`act` may also offer ``seed_sampling(seed)``, which evaluations
    call first, so that the same seed gives the same texts; one with a distribution over tokens, ``log_probs``.

    An agent that asks others may offer ``meet(envs)``, which evaluations call with their environments before all else,
    ``rest(lanes)``, which tells it in which lanes ``(B,)`` nobody reads its tokens any more, and ``tally()``, what it
    has counted so far by name; evaluations and benchmarks show by how much the counts have grown.
    """

    def learn(self, envs: EnvFactory, total_steps: int) -> None:
        """Learns from at most ``total_steps`` tokens written in environments that ``envs`` makes.

        A metered factory raises :class:`~textgym.errors.BudgetSpent` beyond its budget; let it pass.
        """
        ...

    def act(
        self,
        observations: Any,
        action_masks: NDArray[np.bool_] | None = None,
        *,
        deterministic: bool = True,
        episode_starts: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """Chooses one token for each row.

        Args:
            observations: A batch of B observations, as the vector environment returns them.
            action_masks: ``(B, V)``, True where a token may be written.
            deterministic: The agent's best choice; False samples from its policy.
            episode_starts: ``(B,)`` True where the observation begins an episode, for agents with memory.

        Returns:
            ``(B,)`` token ids.
        """
        ...

    def save(self, path: Path) -> None:
        """Writes the agent into a folder, without pickles."""
        ...

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what :meth:`save` wrote."""
        ...


def tokens_of(observations: Any) -> NDArray[np.int32]:
    """The ``(B, P + T)`` token ids in a batch of "tokens" or "dict" observations."""
    tokens = observations["tokens"] if isinstance(observations, Mapping) else observations
    array = np.asarray(tokens)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise ConfigurationError(
            f"observations of shape {array.shape} and type {array.dtype}: this agent reads token ids (B, P + T); "
            "use observation='tokens' or 'dict'"
        )
    return array


def sample_uniform(masks: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """One legal id for each row of ``(B, V)``, all equally likely."""
    order = rng.random(masks.shape)
    order[~masks] = -1.0
    return order.argmax(axis=1)


def count_rollouts(total_steps: int, rollout: int) -> int:
    """How many whole rollouts a budget has room for; an error if not even one."""
    if total_steps < rollout:
        raise ConfigurationError(
            f"{total_steps} steps are too few: this agent writes {rollout} tokens between two updates; "
            "give it more steps or fewer lanes"
        )
    return total_steps // rollout


def make_config(config_class: type[C], values: Mapping[str, Any]) -> C:
    """Builds a config dataclass; an unknown field is an error with a suggestion."""
    known = [field.name for field in fields(config_class)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise unknown_name(f"option of {config_class.__name__}", name, known)
    return config_class(**values)


def write_card(path: Path, agent: Any, **extra: Any) -> None:
    """Writes ``agent.json``: the class as "module:Name", the config, the seed and whatever else is needed."""
    path.mkdir(parents=True, exist_ok=True)
    card = {
        "class": f"{type(agent).__module__}:{type(agent).__qualname__}",
        "config": asdict(agent.config),
        "seed": agent.seed,
        **extra,
    }
    write_whole(path / CARD, json.dumps(card, indent=2) + "\n")


def read_card(path: Path) -> dict[str, Any]:
    """Reads ``agent.json`` of a run folder."""
    file = Path(path) / CARD
    if Path(path).is_file():
        raise ConfigurationError(
            f"{str(path)!r} is a file; expected the folder of an agent, {str(Path(path).parent)!r}"
        )
    if not file.is_file():
        raise ConfigurationError(f"{str(path)!r} holds no agent: there is no {CARD} in it")
    try:
        card: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{str(file)!r} is not valid JSON ({error})") from None
    return card


def load_agent(path: str | Path, *, trust: bool = False) -> TextGenerationAgent:
    """Loads the agent of a run folder.

    Args:
        path: A folder that an agent's ``save`` wrote.
        trust: Also import classes from outside textgym, which runs their code.

    Raises:
        ConfigurationError: if the folder holds no agent, or one from outside textgym without ``trust``.
    """
    module, _, name = str(read_card(Path(path)).get("class")).partition(":")
    if not module.startswith(TRUSTED_PACKAGE) and not trust:
        raise ConfigurationError(
            f"{str(path)!r} names the class {module}:{name}, which is not part of textgym; loading it would run its "
            "code. If you trust it, pass trust=True (--trust on the command line)"
        )
    try:
        agent: TextGenerationAgent = getattr(importlib.import_module(module), name).load(Path(path))
    except TextGymError:
        raise
    except Exception as error:  # each file format has errors of its own
        reason = str(error).partition(". ")[0]  # what follows is NumPy's advice to read pickles
        raise ConfigurationError(
            f"the agent in {str(path)!r} cannot be read: {type(error).__name__}: {reason}. Its files are damaged, or "
            "another version wrote them; train it again"
        ) from error
    return agent
