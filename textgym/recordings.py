"""Recordings: episodes that somebody wrote, kept to learn from without an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError, TextGymError
from textgym.factory import EnvFactory
from textgym.tokenizers import fingerprint

MASK = "action_mask"
LOG_PROB = "behavior_log_prob"
PROMPT_INDEX = "prompt_index"


@dataclass(frozen=True)
class Origin:
    """What a recording was made in, as far as it can be compared.

    Attributes:
        env_id: The id.
        task: Name of the task behind it.
        level: Its level, None where it has none.
        vocabulary: Hash of the vocabulary (:func:`textgym.tokenizers.fingerprint`).
        vocab_size: V.
        prompt_tokens: P.
        new_tokens: T.
    """

    env_id: str
    task: str
    level: str | None
    vocabulary: str
    vocab_size: int
    prompt_tokens: int
    new_tokens: int

    @classmethod
    def of(cls, envs: EnvFactory) -> Origin:
        """Describes the environments that a factory makes."""
        task = envs.task()
        return cls(
            envs.env_id,
            task.name,
            task.level,
            fingerprint(task.tokenizer),
            task.tokenizer.vocab_size,
            task.prompts.width,
            task.budget,
        )

    def __str__(self) -> str:
        level = f", level {self.level}" if self.level else ""
        sizes = f"{self.vocab_size} ids, prompts of {self.prompt_tokens} and answers of {self.new_tokens} tokens"
        return f"{self.env_id} (task {self.task}{level}: {sizes}, vocabulary {self.vocabulary[:6]})"

    def is_like(self, other: Origin) -> bool:
        """Whether both have the same task, level, vocabulary and sizes; two ids may stand for one task."""
        mine, theirs = ({**vars(origin), "env_id": None} for origin in (self, other))
        return mine == theirs


@dataclass(frozen=True)
class RecordedEpisode:
    """One episode of L tokens.

    Attributes:
        observations: ``(L + 1, P + T)`` int32 token ids, the last row is the finished text.
        actions: ``(L,)`` int64 ids that were written.
        rewards: ``(L,)``.
        terminations: ``(L,)`` bool, True in the last place.
        truncations: ``(L,)`` bool, all False unless an outside limit cut the episode.
        infos: Name -> ``(L + 1, ...)``. Row t belongs to observation t: ``action_mask`` (what may be written there),
            ``prompt_index``, and, where the writer could tell it, ``behavior_log_prob`` (the log-probability with which
            action t was chosen; 0 in the last row, where nothing was). What an environment says of a finished text
            (``stop_reason``, ``num_tokens``, ``completion`` ...) stands in the last row; zeros and "" above.
    """

    observations: NDArray[np.int32]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    infos: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True)
class Transitions:
    """All steps of a recording, one a row, as learners want them.

    Attributes:
        tokens: ``(N, P + T)`` what was seen.
        actions: ``(N,)`` what was written.
        rewards: ``(N,)``.
        next_tokens: ``(N, P + T)`` what was seen then.
        ended: ``(N,)`` whether the text was over then, so that nothing is earned any more.
        masks: ``(N, V)`` which ids were legal; all where the recording has no masks.
        next_masks: ``(N, V)`` which ids are legal then.
        returns_to_go: ``(N,)`` what was earned from here to the end.
        vocab_size: V.
    """

    tokens: NDArray[np.int32]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    next_tokens: NDArray[np.int32]
    ended: NDArray[np.bool_]
    masks: NDArray[np.bool_]
    next_masks: NDArray[np.bool_]
    returns_to_go: NDArray[np.float64]
    vocab_size: int

    def __len__(self) -> int:
        return len(self.actions)

    def take(self, rows: NDArray[np.bool_]) -> Transitions:
        """The steps of these rows, ``(N,)`` bool."""
        arrays: dict[str, Any] = {
            name: values[rows] for name, values in vars(self).items() if isinstance(values, np.ndarray)
        }
        return replace(self, **arrays)


@dataclass(frozen=True)
class Recording:
    """Episodes of one environment.

    Attributes:
        episodes: In the order in which they were recorded.
        vocab_size: V.
        origin: What they were recorded in; None for data that textgym has not recorded.
        envs: Makes such environments again; None where their arguments could not be kept.
        writers: Who wrote them.
        name: What messages call it.
    """

    episodes: Sequence[RecordedEpisode]
    vocab_size: int
    origin: Origin | None = None
    envs: EnvFactory | None = None
    writers: tuple[str, ...] = ()
    name: str = field(default="this recording", compare=False)

    def __len__(self) -> int:
        return len(self.episodes)

    @property
    def returns(self) -> NDArray[np.float64]:
        """``(E,)`` what each episode earned."""
        return np.array([episode.rewards.sum() for episode in self.episodes])

    def __add__(self, other: Recording) -> Recording:
        """Both one after the other, for data of mixed quality.

        Infos that only one side has are left out, since a log-probability of half the data would be of little use.

        Raises:
            ConfigurationError: for recordings of different environments, or of different rewards or prompts in one.
        """
        if self.origin is not None and other.origin is not None and not self.origin.is_like(other.origin):
            raise ConfigurationError(f"recordings of {self.origin} and of {other.origin} cannot be joined")
        if self.envs is not None and other.envs is not None:
            check_same_terms(self.envs, other.envs)
        episodes = align([*self.episodes, *other.episodes])
        writers = tuple(dict.fromkeys([*self.writers, *other.writers]))
        return Recording(episodes, self.vocab_size, self.origin or other.origin, self.envs or other.envs, writers)

    def check_fits(self, envs: EnvFactory) -> None:
        """Refuses to be learned from for another environment, or another reward as far as rewards are known.

        Raises:
            ConfigurationError: naming both.
        """
        here = Origin.of(envs)
        there = self.origin
        if there is not None and not there.is_like(here):
            raise ConfigurationError(
                f"{self.name} was recorded in {there}, and not in {here}; learn for that environment, or record "
                "data in this one"
            )
        width = self.episodes[0].observations.shape[1]
        if (self.vocab_size, width) != (here.vocab_size, here.prompt_tokens + here.new_tokens):
            raise ConfigurationError(
                f"{self.name} has {self.vocab_size} ids and {width} positions, which does not fit {here}"
            )
        plain = EnvFactory(envs.env_id, envs.kwargs)  # of metered ones, too, the reward itself
        rewards = None if self.envs is None else _differences(self.envs, plain).get("reward")
        if rewards is not None:
            paid, asked = map(_shown, rewards)
            raise ConfigurationError(
                f"{self.name} was paid by {paid}, and not by {asked}; learn for that reward, record data with this "
                "one, or call learn_offline()"
            )

    def transitions(self) -> Transitions:
        """All steps, one a row."""
        episodes = self.episodes
        masks = [self._masks(episode) for episode in episodes]
        return Transitions(
            tokens=np.concatenate([episode.observations[:-1] for episode in episodes]),
            actions=np.concatenate([episode.actions for episode in episodes]),
            rewards=np.concatenate([episode.rewards for episode in episodes]),
            next_tokens=np.concatenate([episode.observations[1:] for episode in episodes]),
            ended=np.concatenate([episode.terminations for episode in episodes]),
            masks=np.concatenate([mask[:-1] for mask in masks]),
            next_masks=np.concatenate([mask[1:] for mask in masks]),
            returns_to_go=np.concatenate([episode.rewards[::-1].cumsum()[::-1] for episode in episodes]),
            vocab_size=self.vocab_size,
        )

    def _masks(self, episode: RecordedEpisode) -> NDArray[np.bool_]:
        mask = episode.infos.get(MASK)
        size = (len(episode) + 1, self.vocab_size)
        return np.broadcast_to(True, size) if mask is None else mask.astype(bool)


def check_same_terms(one: EnvFactory, other: EnvFactory) -> None:
    """Refuses environments in which the same text is not paid alike, or the same row is another prompt.

    What cannot be made here, since a file is missing for instance, cannot be compared, and is let through.

    Raises:
        ConfigurationError: says in what they differ.
    """
    wrong = _differences(one, other)
    if wrong:
        shown = " and ".join(map(_shown, next(iter(wrong.values()))))
        raise ConfigurationError(
            f"recordings of {one.env_id} and {other.env_id} cannot be joined: they differ in {' and '.join(wrong)} "
            f"({shown}); record them with the same arguments"
        )


def _differences(one: EnvFactory, other: EnvFactory) -> dict[str, tuple[Any, Any]]:
    """What is not the same in both, and what it is there."""
    if one == other:
        return {}
    try:
        mine, theirs = _terms(one), _terms(other)
    except TextGymError:
        return {}
    return {name: (value, theirs[name]) for name, value in mine.items() if not _is_equal(value, theirs[name])}


def _terms(envs: EnvFactory) -> dict[str, Any]:
    config: Any = envs.single().unwrapped.config  # type: ignore[attr-defined]
    prompts = config.task.prompts
    return {
        "level": config.task.level,
        "reward": config.task.reward,
        "reward_timing": config.reward_timing,
        "illegal_reward": config.scorer().illegal_reward,
        "options": config.task.settings,
        "prompts": envs.kwargs.get("prompts") if prompts.is_streamed else list(prompts.texts),
    }


def _is_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except ValueError:  # arrays within
        return repr(one) == repr(other)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def align(episodes: Sequence[RecordedEpisode]) -> list[RecordedEpisode]:
    """The episodes with those infos that all of them have."""
    common = [name for name in episodes[0].infos if all(name in episode.infos for episode in episodes)]
    return [
        RecordedEpisode(
            episode.observations,
            episode.actions,
            episode.rewards,
            episode.terminations,
            episode.truncations,
            {name: episode.infos[name] for name in common},
        )
        for episode in episodes
    ]
