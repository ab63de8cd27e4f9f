"""TextGenerationVectorEnv: many texts at once, in one process and one NumPy core."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from textgym.actions import check_prompt_index, check_reset_mask, check_seeds
from textgym.configuration import configure
from textgym.core import Ending, GenerationCore
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, RenderModeError, check_names
from textgym.infos import describe_ending, read_autoreset_mode
from textgym.keys import lane_key
from textgym.observations import make_observation
from textgym.rendering.episodes import EpisodeRenderer, Picture
from textgym.task import Task

Infos = dict[str, Any]

RESTS = -(2**31)
"""In DISABLED mode, the action of a lane that takes no step, for example since its text is over and nobody needs
another: it costs nothing and stays as it is, terminated if it was; infos tell of an end once."""


class TextGenerationVectorEnv(VectorEnv[Any, Any, Any]):
    """``num_envs`` copies of :class:`~textgym.env.TextGenerationEnv`, stepped by one vectorised core.

    Lane i of a vector env that was seeded with s goes exactly the way of the single env seeded with
    s + i. Infos are whole arrays with Gymnasium's ``_key`` masks; the strings ``prompt`` and
    ``completion`` are among them only with ``text_infos=True``, since decoding costs more than stepping.

    Args:
        task: A registered task, or a :class:`~textgym.task.Task`.
        num_envs: Number of lanes.
        autoreset_mode: "NextStep" (default), "SameStep" or "Disabled", or Gymnasium's AutoresetMode.
        text_infos: Also put prompts and completions of ended texts into infos.
        render_mode: "ansi" (render returns a line of text for each lane), "rgb_array" (a frame for each) or None.
        **kwargs: See :func:`textgym.configuration.configure`.

    Attributes:
        last_episodes: The texts that ended in the latest step, in lane order; None if none did.
        last_returns: Their returns, ``(K,)``.
        last_rows: Their lanes, ``(K,)``.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's own form
        "render_modes": ["ansi", "rgb_array"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    last_episodes: EpisodeBatch | None
    last_returns: NDArray[np.float64]
    last_rows: NDArray[np.int64]

    def __init__(
        self,
        task: str | Task = "Reviews",
        *,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        text_infos: bool = False,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.config = configure(task, **kwargs)
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ConfigurationError(f"num_envs={num_envs!r}: expected a whole number of at least 1")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise RenderModeError(f"render_mode={render_mode!r}: expected None, 'ansi' or 'rgb_array'")
        self.num_envs = int(num_envs)
        self.render_mode = render_mode
        self.autoreset_mode = read_autoreset_mode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.text_infos = text_infos
        self.task = self.config.task
        self._core = GenerationCore(
            self.task,
            self.num_envs,
            split=self.config.split,
            scorer=self.config.scorer(),
            timing=self.config.reward_timing,
        )
        self._observation = make_observation(self.config.observation, self._core, include_mask=self.config.include_mask)
        self.single_observation_space = self._observation.space
        self.single_action_space = spaces.Discrete(self._core.vocab_size)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.eos_id = self.task.tokenizer.eos_ids[0]
        self._renderer = EpisodeRenderer(self.task, render_mode)
        self._all = np.arange(self.num_envs)
        self._everyone = np.ones(self.num_envs, dtype=bool)
        self._core.seed(self._all, np.random.SeedSequence().generate_state(self.num_envs, np.uint64).astype(np.uint64))
        self._restart: NDArray[np.int64] | None = None
        self._forget()

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Infos]:
        """Begins new episodes in all lanes, or in those of ``options["reset_mask"]``.

        Args:
            seed: Lane i gets ``seed + i``; or one seed (or None) for each lane.
            options: ``prompt_index`` (one int, or one a lane) fixes prompts; ``reset_mask`` (``(N,)`` bool)
                names the lanes to reset, with at least one of them True.
        """
        options = options or {}
        check_names("reset option", options, ["prompt_index", "reset_mask"])
        mask = check_reset_mask(options.get("reset_mask"), self.num_envs)
        rows = np.flatnonzero(mask)
        prompts = options.get("prompt_index")
        if prompts is not None:
            prompts = check_prompt_index(prompts, self.num_envs, len(self.task.prompts))[rows]
        if isinstance(seed, int | np.integer):
            super().reset(seed=int(seed))
        self._seed(seed, mask)
        self._core.reset(rows, prompts)
        waiting = self._core.over.nonzero()[0] if self.autoreset_mode is AutoresetMode.NEXT_STEP else rows[:0]
        self._restart = waiting if waiting.size else None
        self._forget()
        return self._observation.observe(self._core, slice(None)), self._masks_info(mask)

    def _seed(self, seed: int | list[int | None] | None, mask: NDArray[np.bool_]) -> None:
        if seed is None:
            return
        seeds = check_seeds(seed, self.num_envs)
        lanes = [lane for lane in np.flatnonzero(mask).tolist() if seeds[lane] is not None]
        keys = [lane_key(int(seeds[lane] or 0)) for lane in lanes]
        self._core.seed(np.array(lanes, dtype=np.int64), np.array(keys, dtype=np.uint64))

    def step(self, actions: Any) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Infos]:
        """Writes one token in every lane.

        Args:
            actions: ``(N,)`` token ids; in DISABLED mode :data:`RESTS` for lanes that stay as they are.

        Raises:
            ActionError: for actions of a wrong shape, type or range; nothing has changed then.
            EpisodeOverError: if a lane has ended and is not reset by the autoreset mode.
        """
        core = self._core
        rewards, ending = core.step(actions, self._restart, self._resting(actions))
        terminations = core.over.copy()
        truncations = np.zeros(self.num_envs, dtype=bool)
        self._restart = None
        if ending is None:
            self._forget()
            return self._observation.observe(core, slice(None)), rewards, terminations, truncations, self._masks_info()
        self.last_episodes, self.last_returns = ending.episodes, ending.scores.values
        self.last_rows = ending.rows.copy()
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            infos = self._reset_now(ending, terminations)
        else:
            infos = {**self._masks_info(), **self._ending_info(ending, terminations)}
            self._restart = ending.rows if self.autoreset_mode is AutoresetMode.NEXT_STEP else None
        return self._observation.observe(core, slice(None)), rewards, terminations, truncations, infos

    def count_writing(self, actions: Any) -> int:
        """How many lanes write a token in a step with these actions: all but those that it resets, or that rest."""
        idle = self._resting(actions) if self._restart is None else self._restart
        return self.num_envs - (0 if idle is None else len(idle))

    def _resting(self, actions: Any) -> NDArray[np.int64] | None:
        if self.autoreset_mode is not AutoresetMode.DISABLED:
            return None
        rows = np.flatnonzero(np.asarray(actions) == RESTS)
        return rows if rows.size else None

    def _forget(self) -> None:
        self.last_episodes, self.last_returns, self.last_rows = None, np.zeros(0), np.zeros(0, dtype=np.int64)

    def _reset_now(self, ending: Ending, ended: NDArray[np.bool_]) -> Infos:
        """SAME_STEP: keeps the last observation and info of the ended lanes, then resets them."""
        last = self._observation.observe(self._core, ending.rows)
        final_obs = np.full(self.num_envs, None, dtype=object)
        for position, row in enumerate(ending.rows.tolist()):
            final_obs[row] = _row_of(last, position)
        final_info = {**self._masks_info(ended), **self._ending_info(ending, ended)}
        self._core.reset(ending.rows)
        return {
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": final_info,
            "_final_info": ended.copy(),
            **self._masks_info(),
        }

    def _masks_info(self, lanes: NDArray[np.bool_] | None = None) -> Infos:
        """The action masks of these lanes (default all), zeros elsewhere."""
        if not self.config.include_mask:
            return {}
        masks = self._core.masks().view(np.int8)
        if lanes is None:
            return {"action_mask": masks, "_action_mask": self._everyone.copy()}
        masks[~lanes] = 0
        return {"action_mask": masks, "_action_mask": lanes.copy()}

    def _ending_info(self, ending: Ending, over: NDArray[np.bool_]) -> Infos:
        described = describe_ending(ending, gold=self.config.gold, texts=self.text_infos)
        infos: Infos = {name: self._whole(ending.rows, values) for name, values in described.items()}
        infos["reward_parts"] = self._parts_info(ending)
        rests = self.autoreset_mode is AutoresetMode.DISABLED  # others may, since they are over
        ended = self._whole(ending.rows, np.ones(len(ending.rows), dtype=bool)) if rests else over
        infos.update({f"_{key}": ended.copy() for key in infos})
        return infos

    def _whole(self, rows: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
        """``(N,)`` the values in these rows, 0 (None for objects) in the others."""
        whole = (np.empty if values.dtype == object else np.zeros)(self.num_envs, values.dtype)  # empty is None
        whole[rows] = values
        return whole

    def _parts_info(self, ending: Ending) -> Infos:
        parts: Infos = {}
        if not ending.scores.parts:
            return parts
        asked = ending.scores.scored & ending.scores.valid
        if asked.any():
            lanes = self._whole(ending.rows, asked)
            for name, part in ending.scores.parts.items():
                parts[name], parts[f"_{name}"] = self._whole(ending.rows, part), lanes.copy()
        return parts

    def action_masks(self) -> NDArray[np.bool_]:
        """``(N, V)`` a fresh array, True where a token may be written next."""
        return self._core.masks()

    @property
    def present_episodes(self) -> EpisodeBatch:
        """What stands in all lanes now, as a batch; texts that have ended included."""
        return self._core.batch(self._all, np.zeros(self.num_envs, dtype=np.uint8))

    @property
    def over(self) -> NDArray[np.bool_]:
        """``(N,)`` which texts have ended and wait for a reset."""
        return self._core.over.copy()

    @property
    def prompt_indices(self) -> NDArray[np.int64]:
        """``(N,)`` rows of the current prompts in ``task.prompts``."""
        return self._core.prompt_indices.copy()

    @property
    def reward_calls(self) -> int:
        """How many texts the reward was asked about since this environment was made; never about illegal ones."""
        return self._core.scorer.asked

    @property
    def reward_failures(self) -> int:
        """How often the reward failed under ``on_reward_error="mark"``."""
        return self._core.scorer.failures

    def get_state(self) -> dict[str, Any]:
        """Everything that a step or reset can change."""
        return {"core": self._core.get_state(), "restart": None if self._restart is None else self._restart.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes back to a state of :meth:`get_state`."""
        self._core.set_state(state["core"])
        self._restart = None if state["restart"] is None else state["restart"].copy()
        self._forget()

    def render(self) -> tuple[Picture, ...] | None:
        """A line or a frame for each lane; how a text ended is shown until the next step (not in SAME_STEP mode).

        Raises:
            gymnasium.error.ResetNeeded: before the first reset, when there are no texts.
        """
        core = self._core
        if self.render_mode is None:
            return None
        if not core.episodes.any():
            raise ResetNeeded("there are no texts before the first reset(); call it before render()")
        codes, returns = np.zeros(self.num_envs, dtype=np.uint8), np.zeros(self.num_envs)
        if self.last_episodes is not None and self.autoreset_mode is not AutoresetMode.SAME_STEP:
            codes[self.last_rows], returns[self.last_rows] = self.last_episodes.stop_codes, self.last_returns
        batch = core.batch(self._all, codes)
        texts = map(batch.ids, range(self.num_envs))
        lanes = zip(core.prompt_indices.tolist(), texts, codes.tolist(), returns.tolist(), strict=True)
        return tuple(self._renderer.draw(row, ids, code=code, reward=paid) for row, ids, code, paid in lanes)


def _row_of(batch: Any, position: int) -> Any:
    return {name: values[position] for name, values in batch.items()} if isinstance(batch, dict) else batch[position]
