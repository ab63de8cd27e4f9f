"""The recorder: lets an agent write in the native vector environment and keeps every step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from textgym.behaviors import Behavior, UniformPolicy
from textgym.errors import BudgetSpent, ConfigurationError
from textgym.factory import EnvFactory, as_factory
from textgym.keys import spawn_seed
from textgym.recordings import LOG_PROB, MASK, PROMPT_INDEX, Origin, RecordedEpisode, Recording, align
from textgym.vector_env import RESTS

LANES = 256
UNIFORM_LANES = 32


def record(
    agent: Any,
    env: str | EnvFactory,
    *,
    episodes: int,
    seed: int = 0,
    epsilon: float = 0.0,
    temperature: float = 1.0,
    deterministic: bool = False,
    name: str | None = None,
    lanes: int = LANES,
    **kwargs: Any,
) -> Recording:
    """Lets an agent write, and keeps everything: tokens, actions, rewards, flags, masks, log-probabilities and infos.

    Each lane writes one text after another, and all lanes write equally many, so that short texts are not favoured.
    An agent with ``log_probs`` is sampled from these, so that the probabilities of its choices are exact; any other
    plays by its ``act`` and the recording has no log-probabilities.

    Args:
        agent: An agent with ``act``, or such a function.
        env: An env id or factory.
        episodes: Number of texts.
        seed: Of the environment and of all draws.
        epsilon: Share of tokens that are drawn uniformly among the legal ones instead.
        temperature: Flattens (above 1) or sharpens (below 1) a policy that tells its ``log_probs``.
        deterministic: Greedy play; log-probabilities are not kept then.
        name: What the writer is called; by default by its class.
        lanes: Texts written at the same time; another number records other texts.
        **kwargs: Further arguments of the environment, such as ``split="all"``.

    Raises:
        ConfigurationError: for options that cannot work, or what is no agent.

    Example:
        >>> from textgym.agents.registry import make_agent
        >>> recording = record(make_agent("uniform"), "TextGen-v0", episodes=5)
        >>> len(recording), float(recording.episodes[0].infos["behavior_log_prob"][-1])
        (5, 0.0)
    """
    for option, value in (("episodes", episodes), ("lanes", lanes)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ConfigurationError(f"{option}={value!r}: expected a whole number of at least 1")
    factory = as_factory(env, **kwargs)
    rng = np.random.default_rng(spawn_seed(seed, "recording"))
    behavior = Behavior(agent, epsilon, temperature, deterministic, rng)
    if hasattr(agent, "meet"):
        agent.meet(factory)
    if hasattr(agent, "seed_sampling"):
        agent.seed_sampling(spawn_seed(seed, "recorded sampling"))
    origin = Origin.of(factory)
    rounds = _rounds(behavior, factory, seed=seed, lanes=min(lanes, episodes))
    found: list[RecordedEpisode] = []
    while len(found) < episodes:
        found += next(rounds)
    return _recording(found[:episodes], origin, factory, name or type(agent).__name__)


def record_uniform(envs: EnvFactory, total_steps: int, *, seed: int = 0) -> Recording:
    """Random play of at most ``total_steps`` tokens, every legal token equally likely.

    Raises:
        ConfigurationError: for a budget without room for one round of texts.
    """
    origin = Origin.of(envs)
    task = envs.task()
    longest = UNIFORM_LANES * task.turns * task.turn_tokens
    if total_steps < longest:
        raise ConfigurationError(f"{total_steps} steps are too few: up to {longest} tokens are recorded at a time")
    behavior = Behavior(UniformPolicy(), rng=np.random.default_rng(spawn_seed(seed, "recording")))
    rounds = _rounds(behavior, envs, seed=seed, lanes=UNIFORM_LANES)
    found: list[RecordedEpisode] = []
    spent = 0
    while spent + longest <= total_steps:
        try:
            more = next(rounds)
        except BudgetSpent:  # a normal end: what was recorded stays
            break
        spent += sum(map(len, more))
        found += more
    if not found:
        raise BudgetSpent("the budget has no room for one round of texts")
    return _recording(found, origin, envs, "uniform")


def _rounds(behavior: Behavior, envs: EnvFactory, *, seed: int, lanes: int) -> Iterator[list[RecordedEpisode]]:
    """Round after round, one episode of every lane."""
    vector: Any = envs.vector(lanes, autoreset_mode=AutoresetMode.DISABLED, text_infos=True)
    start: int | None = spawn_seed(seed, "recorded lanes") % 2**31
    try:
        while True:
            yield _Round(vector, behavior, start).play()
            start = None  # the next round goes on with the lanes' chains of episodes
    finally:
        vector.close()


class _Round:
    """One text in every lane; lanes that have ended rest until all have."""

    def __init__(self, vector: Any, behavior: Behavior, seed: int | None) -> None:
        self.vector, self.base, self.behavior = vector, vector.unwrapped, behavior
        self.observations, _ = vector.reset(seed=seed)
        count = vector.num_envs
        self.prompts = self.base.prompt_indices
        self.lengths = np.zeros(count, dtype=np.int64)
        self.keeps_masks = bool(self.base.config.include_mask)
        self.seen: list[tuple[NDArray[np.int32], NDArray[np.int8]]] = []
        self.steps: list[tuple[NDArray[Any], ...]] = []
        self.told: list[NDArray[np.float64]] = []
        self.endings: dict[str, NDArray[Any]] = {}

    def play(self) -> list[RecordedEpisode]:
        """Writes until every lane has ended."""
        going = np.ones(self.vector.num_envs, dtype=bool)
        starts = going.copy()
        while going.any():
            masks = self._see()
            self.behavior.rest(~going)
            actions, log_probs = self.behavior.choose(self.observations, masks, starts)
            self.observations, rewards, terminated, truncated, infos = self.vector.step(np.where(going, actions, RESTS))
            self.steps.append((actions, rewards, terminated, truncated))
            if log_probs is not None:
                self.told.append(log_probs)
            self._note(infos)
            self.lengths += going
            going &= ~(terminated | truncated)
            starts = np.zeros_like(starts)
        self._see()
        return [self._cut(lane, int(length)) for lane, length in enumerate(self.lengths)]

    def _see(self) -> NDArray[np.bool_]:
        masks = self.base.action_masks()
        self.seen.append((self.base.present_episodes.tokens, masks.view(np.int8) if self.keeps_masks else masks[:0]))
        return masks

    def _note(self, infos: dict[str, Any]) -> None:
        """Keeps what infos say of the lanes that ended; the terms of a combined reward get names of their own."""
        parts = infos.get("reward_parts", {})
        flat = {f"reward_parts.{name}": values for name, values in parts.items() if not name.startswith("_")}
        for name, values in chain(infos.items(), flat.items()):
            if name.startswith("_") or name in (MASK, "reward_parts"):
                continue
            rows = self.base.last_rows
            whole = self.endings.setdefault(name, np.zeros(len(self.lengths), dtype=values.dtype))
            whole[rows] = values[rows]

    def _cut(self, lane: int, length: int) -> RecordedEpisode:
        actions, rewards, terminated, truncated = (
            np.array([step[column][lane] for step in self.steps[:length]]) for column in range(4)
        )
        return RecordedEpisode(
            np.stack([tokens[lane] for tokens, _ in self.seen[: length + 1]]),
            actions.astype(np.int64),
            rewards.astype(np.float64),
            terminated.astype(bool),
            truncated.astype(bool),
            self._infos(lane, length),
        )

    def _infos(self, lane: int, length: int) -> dict[str, NDArray[Any]]:
        infos: dict[str, NDArray[Any]] = {PROMPT_INDEX: np.full(length + 1, self.prompts[lane])}
        if self.keeps_masks:
            infos[MASK] = np.stack([masks[lane] for _, masks in self.seen[: length + 1]])
        if self.told:
            infos[LOG_PROB] = np.array([*(told[lane] for told in self.told[:length]), 0.0])
        for name, values in self.endings.items():
            infos[name] = _last_only(values[lane], length)
        return infos


def _last_only(value: Any, length: int) -> NDArray[Any]:
    """``(L + 1,)`` the value in the last place, nothing before."""
    blank = "" if isinstance(value, str) else type(value)(0)
    return np.array([*[blank] * length, value])


def _recording(found: Sequence[RecordedEpisode], origin: Origin, envs: EnvFactory, writer: str) -> Recording:
    plain = EnvFactory(envs.env_id, {**envs.kwargs, "observation": "tokens"})
    return Recording(align(_fill(found)), origin.vocab_size, origin, plain, (writer,))


def _fill(episodes: Sequence[RecordedEpisode]) -> list[RecordedEpisode]:
    """Gives every episode the infos that any has: the terms of a reward are told of legal texts only."""
    kinds = {name: values.dtype for episode in episodes for name, values in episode.infos.items()}
    for episode in episodes:
        missing = {
            name: np.zeros(len(episode) + 1, dtype=kind) for name, kind in kinds.items() if name not in episode.infos
        }
        if missing:
            assert isinstance(episode.infos, dict)
            episode.infos.update(missing)
    return list(episodes)
