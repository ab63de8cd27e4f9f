"""Token ids that somebody else has written, played again: what the environment says of them.

Other libraries generate whole completions and ask for a score afterwards. The ids are stepped through the native vector
environment, so that ends, illegal ids, budgets and a partner's replies are the environment's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import ActionError, ConfigurationError, PromptError
from textgym.factory import EnvFactory
from textgym.playing import FirstEpisodes
from textgym.vector_env import RESTS

Completions = Sequence[Sequence[int]]


class Replay:
    """Plays completions again and scores them.

    Args:
        factory: Whose environments; the split is left out, so prompt indices are rows of the whole table.
    """

    def __init__(self, factory: EnvFactory) -> None:
        self.factory = EnvFactory(factory.env_id, {**factory.kwargs, "split": "all"})
        self.task = self.factory.task()
        base: Any = self.factory.single().unwrapped
        self.config, self.scorer = base.config, base.config.scorer()
        self._envs: Any = None

    def __call__(
        self,
        prompt_indices: Sequence[int],
        completions: Completions,
        *,
        keys: Sequence[int] | None = None,
        seed: int = 0,
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], EpisodeBatch | None]:
        """Scores completions.

        Args:
            prompt_indices: The row of the prompt table of each.
            completions: Token ids; in conversations with the partner's replies between the turns. What follows the end
                of a text does not count.
            keys: The key of each episode (``EpisodeBatch.keys``), from which chance comes; by default the seed decides.
            seed: Of lane 0.

        Returns:
            ``(B,)`` the returns that stepping pays, ``(B,)`` which completions wrote an illegal id, and the finished
            texts (an id outside the vocabulary finishes none; None if there are no others).

        Raises:
            ActionError: for ids that are no whole numbers.
            PromptError: for a completion that stops before its text has ended, or other replies than the partner's.
        """
        if not len(completions):
            return np.zeros(0), np.zeros(0, dtype=bool), None
        texts = [_whole_numbers(ids) for ids in completions]
        envs = self._lanes(len(texts))
        envs.reset(seed=seed, options={"prompt_index": np.array(prompt_indices, dtype=np.int64)})
        if keys is not None:
            state = envs.get_state()
            state["core"]["keys"][:] = np.array([int(key) for key in keys], dtype=np.uint64)
            envs.set_state(state)
        return self._judge(*_play(envs, texts))

    def _judge(
        self, first: FirstEpisodes, outside: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], EpisodeBatch | None]:
        """Asks the reward, once, about all texts that ended."""
        returns, illegal = np.full(len(outside), self.scorer.illegal_reward), outside.copy()
        if outside.all():
            return returns, illegal, None
        batch, _ = first.result()
        returns[~outside] = self.scorer(batch).values
        illegal[~outside] = np.array(batch.stop_reasons) == "illegal"
        return returns, illegal, batch

    def _lanes(self, size: int) -> Any:
        """An environment whose own reward costs nothing: the real one is asked at the end."""
        if self._envs is None or self._envs.num_envs != size:
            self._envs = unpaid(self.factory).vector(size, autoreset_mode=AutoresetMode.DISABLED).unwrapped
        return self._envs

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_envs": None}


def unpaid(factory: EnvFactory) -> EnvFactory:
    """The same environments under a reward that costs nothing and is always 0, with the prompts of all splits."""
    return EnvFactory(factory.env_id, {**factory.kwargs, "split": "all", "reward": _nothing, "reward_timing": "end"})


def _nothing(batch: EpisodeBatch) -> NDArray[np.float64]:
    return np.zeros(len(batch))


def _whole_numbers(ids: Sequence[int]) -> list[int]:
    for token in ids:
        if isinstance(token, bool) or not isinstance(token, int | np.integer):
            raise ActionError(f"token id {token!r}: expected whole numbers, not {type(token).__name__}")
    return [int(token) for token in ids]


def _play(envs: Any, texts: list[list[int]]) -> tuple[FirstEpisodes, NDArray[np.bool_]]:
    """Writes the ids lane by lane; ``(B,)`` says which lanes came upon an id outside the vocabulary and stopped."""
    first, outside, places = (
        FirstEpisodes(len(texts)),
        np.zeros(len(texts), dtype=bool),
        np.zeros(len(texts), dtype=int),
    )
    while (first.waiting & ~outside).any():
        actions = np.full(len(texts), RESTS, dtype=np.int64)
        for lane in np.flatnonzero(first.waiting & ~outside).tolist():
            token = _token(texts[lane], int(places[lane]), lane, envs)
            outside[lane] = not 0 <= token < envs.single_action_space.n
            if not outside[lane]:
                actions[lane] = token
        if (actions == RESTS).all():
            break
        envs.step(actions)
        first.collect(envs)
        places = _advance(envs, texts, places, first.waiting & ~outside)
    return first, outside


def _token(ids: list[int], place: int, lane: int, envs: Any) -> int:
    if place < len(ids):
        return ids[place]
    if envs.task.partner is not None:
        raise PromptError(
            f"completion {lane} ({ids}) stops after {len(ids)} tokens, but its conversation goes on: completions of "
            "conversations hold all turns and replies, as rollout_function writes them"
        )
    raise PromptError(
        f"completion {lane} ({ids}) does not end: it has {len(ids)} tokens and no end id, but the environment's budget "
        f"is {envs.task.budget}; generate up to {envs.task.budget} tokens, or make the environment with "
        f"max_new_tokens={max(1, len(ids))}"
    )


def _advance(
    envs: Any, texts: list[list[int]], places: NDArray[np.int64], going: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """How far each text has come, the partner's replies included, which must be those of the completion."""
    if envs.task.partner is None:
        return places + 1
    batch = envs.present_episodes
    for lane in np.flatnonzero(going & (batch.lengths > places + 1)).tolist():
        told, stated = batch.ids(lane)[places[lane] + 1 :], texts[lane][places[lane] + 1 : batch.lengths[lane]]
        if stated and told != stated:
            raise PromptError(
                f"completion {lane} has the reply {stated}, but the partner said {told}: hand over the keys of the "
                "episodes (the column episode_key), on which chance depends"
            )
    return np.where(going, batch.lengths, places)


def check_lengths(**columns: Sequence[Any]) -> None:
    """Refuses columns of different lengths.

    Raises:
        ConfigurationError: names them.
    """
    if len({len(column) for column in columns.values()}) > 1:
        found = ", ".join(f"{len(column)} {name}" for name, column in columns.items())
        raise ConfigurationError(f"{found}: expected as many of each")
