"""A replay buffer and a learner for short texts: the same updates as RLlib's, at a fraction of the time."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer
from ray.rllib.utils import force_list
from ray.rllib.utils.replay_buffers.episode_replay_buffer import EpisodeReplayBuffer

from textgym.errors import ConfigurationError


class TextEpisodeReplayBuffer(EpisodeReplayBuffer):  # type: ignore[misc]
    """Draws whole texts where RLlib's buffer draws single tokens: as good, since texts are short, and much cheaper."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun: dict[str, Any] = {}

    def add(self, episodes: Any) -> None:
        """Takes texts or pieces of them, which are put together by their ids; the oldest texts are forgotten."""
        for piece in force_list(episodes):
            text = self._begun.pop(piece.id_, None)
            if text is None:
                text = copy.deepcopy(piece)  # the runner goes on with its own
            else:
                text.concat_episode(piece)
            if text.is_done:
                self._keep(text)
            else:
                self._begun[text.id_] = text

    def _keep(self, text: Any) -> None:
        ones = np.ones(len(text), dtype=np.float32)
        text.extra_model_outputs = {name: InfiniteLookbackBuffer(ones, lookback=0) for name in ("n_step", "weights")}
        self.episodes.append(text)
        self._num_timesteps += len(text)
        self._num_timesteps_added += len(text)
        while self._num_timesteps > self.capacity and len(self.episodes) > 1:
            self._num_timesteps -= len(self.episodes.popleft())
            self._num_episodes_evicted += 1

    def get_num_timesteps(self, module_id: Any = None) -> int:
        """Tokens of all texts that are kept."""
        return self._num_timesteps

    def sample(self, num_items: int | None = None, *, n_step: Any = 1, **kwargs: Any) -> list[Any]:
        """Texts with at least so many tokens together.

        Raises:
            ConfigurationError: for more than one step of look-ahead, or before any text has ended.
        """
        if n_step != 1:
            raise ConfigurationError(f"n_step={n_step!r}: {type(self).__name__} looks ahead one step; set n_step=1")
        if not self.episodes:
            raise ConfigurationError("no text has ended yet: raise num_steps_sampled_before_learning_starts")
        drawn: list[Any] = []
        missing = num_items or self.batch_size_B
        while missing > 0:
            drawn.append(self.episodes[self.rng.integers(len(self.episodes))])
            missing -= len(drawn[-1])
        return drawn


class MinibatchDQNLearner(DQNTorchLearner):  # type: ignore[misc]
    """Goes through what was drawn in minibatches of ``config.minibatch_size``, with one step for each.

    RLlib's DQN takes one step for each draw, and a draw costs more than many steps of a small network.
    """

    def update(self, *args: Any, **kwargs: Any) -> Any:
        """As in RLlib, in minibatches; the texts are in random order as they are drawn."""
        return super().update(*args, **{"minibatch_size": self.config.minibatch_size, **kwargs})
