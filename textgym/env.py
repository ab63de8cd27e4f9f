"""TextGenerationEnv: one text at a time, as a Gymnasium environment."""

from __future__ import annotations

from operator import index as as_integer
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from textgym.actions import check_prompt_index
from textgym.configuration import configure
from textgym.core import Ending, GenerationCore
from textgym.episodes import GOING, ILLEGAL, LENGTH, STOP_REASONS, EpisodeBatch
from textgym.errors import ActionError, EpisodeOverError, RenderModeError, check_names
from textgym.infos import describe_ending
from textgym.keys import episode_key, lane_key, pick
from textgym.observations import ALL, make_observation
from textgym.rendering.episodes import EpisodeRenderer, Picture
from textgym.rendering.terminal import echo
from textgym.task import Task

_ROW = np.zeros(1, dtype=np.int64)
_HOT = ("_row", "_column", "_codes", "_mask", "_lane", "_episode", "_score_one", "_plain")


class TextGenerationEnv(gym.Env[Any, Any]):
    """Writing a text token by token, as an episodic Markov decision process.

    The state is the prompt and the tokens written so far, an action is the next token id, and the
    reward comes when the text ends. All ends (end token, token budget, the task's own stop, an
    illegal token) are terminations; ``info["stop_reason"]`` says which.

    Args:
        task: A registered task, or a :class:`~textgym.task.Task`.
        render_mode: "ansi" (render returns a line of text), "rgb_array" (an ``(H, W, 3)`` frame, for videos), "human"
            (every step prints) or None.
        **kwargs: See :func:`textgym.configuration.configure`.

    Attributes:
        config: The checked arguments.
        task: The task with all overrides.
        eos_id: The id that ends a text.

    Example:
        >>> import gymnasium, textgym
        >>> env = gymnasium.make("TextGen-v0", level="tiny")
        >>> obs, info = env.reset(seed=0)
        >>> obs, reward, terminated, truncated, info = env.step(env.unwrapped.eos_id)
        >>> info["stop_reason"], info["num_tokens"], info["completion"]
        ('eos', 1, '')
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "human", "rgb_array"], "render_fps": 4}  # noqa: RUF012 - Gymnasium's own form

    def __init__(self, task: str | Task = "Reviews", *, render_mode: str | None = None, **kwargs: Any) -> None:
        self.config = configure(task, **kwargs)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise RenderModeError(f"render_mode={render_mode!r}: expected None, 'ansi', 'human' or 'rgb_array'")
        self.render_mode = render_mode
        self.task = self.config.task
        self._core = GenerationCore(
            self.task,
            1,
            split=self.config.split,
            scorer=self.config.scorer(),
            timing=self.config.reward_timing,
        )
        self._observation = make_observation(self.config.observation, self._core, include_mask=self.config.include_mask)
        self.observation_space = self._observation.space
        self.action_space = spaces.Discrete(self._core.vocab_size)
        self.eos_id = self.task.tokenizer.eos_ids[0]
        self._renderer = EpisodeRenderer(self.task, render_mode)
        self._code = GOING
        self._return = 0.0
        self._core.seed(_ROW, np.random.SeedSequence().generate_state(1, np.uint64).astype(np.uint64))
        self._bind()

    def _bind(self) -> None:
        """Sets what the hot path needs as plain Python objects; the core's arrays stay the truth."""
        core = self._core
        self._row = core.tokens[0]
        self._column = int(core.cursors[0])
        self._codes: list[int] = core.legality.rules.codes[:-1].tolist()
        self._mask = core.masks()[0].view(np.int8)
        self._lane, self._episode = int(core.lane_keys[0]), int(core.episodes[0])
        shows_more = self.config.gold or hasattr(self.task.reward, "score_parts")  # than one number
        self._score_one = None if shows_more else getattr(self.task.reward, "score_one", None)
        self._plain = not (
            core.rules or core.talk or self.task.stop or core.timing == "step" or self.render_mode == "human"
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins the next episode of the chain, or with a seed the first episode of a new chain.

        Args:
            seed: Starts a new chain of episodes: the same seed, the same prompts.
            options: ``{"prompt_index": int}`` fixes the prompt.
        """
        given = None
        if options:
            check_names("reset option", options, ["prompt_index"])
            given = options.get("prompt_index")
        if given is not None:
            given = int(
                check_prompt_index(given, 1, len(self.task.prompts))[0]
            )  # before anything changes: it may be refused
        if seed is not None:
            super().reset(seed=seed)
            self._core.seed(_ROW, np.array([lane_key(seed)], dtype=np.uint64))
            self._lane, self._episode = lane_key(seed), 0
        core = self._core
        key = episode_key(self._lane, self._episode)
        prompt = int(core.split_rows[pick(key, len(core.split_rows))]) if given is None else given
        self._episode += 1
        core.episodes[0], core.keys[0], core.prompt_indices[0] = self._episode, key, prompt
        core.over[0], core.previous[0], core.cursors[0] = False, 0.0, core.prompt_width
        if core.talk is not None:
            core.talk.reset(_ROW)
        self._row[: core.prompt_width] = core.prompts.ids[prompt]
        self._row[core.prompt_width :] = core.vocab_size
        core.legality.forget()
        self._column, self._code, self._return = core.prompt_width, GOING, 0.0
        self._print()
        return self._observe(), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Writes one token.

        Raises:
            ActionError: for an action outside the action space or of the wrong type.
            EpisodeOverError: if the text has ended; call reset.
        """
        core = self._core
        if core.over[0]:
            raise EpisodeOverError("the text has ended; call reset() before the next step()")
        try:
            token = as_integer(action)
        except TypeError:
            raise ActionError(f"action {action!r}: expected a whole number, not {type(action).__name__}") from None
        if not 0 <= token < core.vocab_size:
            raise ActionError(f"action {token} is outside the action space: expected 0 to {core.vocab_size - 1}")
        if not self._plain:
            return self._step_core(token)
        self._row[self._column] = token
        self._column += 1
        code = self._codes[token]
        if code or self._column == core.width:
            return self._finish(code or LENGTH)
        return self._observe(), 0.0, False, False, self._info()

    def _finish(self, code: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Ends a text on the hot path: asks ``score_one`` where the reward offers it."""
        core = self._core
        core.cursors[0], core.over[0], self._code = self._column, True, code
        prompt = int(core.prompt_indices[0])
        ids = self._row[core.prompt_width : self._column].tolist()
        reward = self._quick_score(code, prompt, ids)
        if reward is None:
            batch = core.batch(_ROW, np.array([code], dtype=np.uint8))
            scores = core.scorer(batch)
            return self._ended(float(scores.values[0]), Ending(_ROW, batch, scores))
        info = self._info()
        info["prompt"] = core.prompts.texts[prompt]
        info["completion"] = core.tokenizer.decode(ids)
        info["stop_reason"] = STOP_REASONS[code]
        info["num_tokens"] = len(ids)
        info["reward_valid"] = True
        info["reward_parts"] = {}
        self._return = reward
        return self._observe(), reward, True, False, info

    def _quick_score(self, code: int, prompt: int, ids: list[int]) -> float | None:
        """The score of one text without a batch, or None where the checked, slower way is needed."""
        if self.config.gold:
            return None
        if code == ILLEGAL:
            return self._core.scorer.illegal_reward
        if self._score_one is None:
            return None
        try:
            value = float(self._score_one(self._core.prompts, prompt, ids))
        except Exception:  # asked again by the scorer, which explains the failure
            return None
        if value - value:  # not finite
            return None
        self._core.scorer.asked += 1
        return value

    def _step_core(self, token: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._core.cursors[0] = self._column
        rewards, ending = self._core.step(np.array([token]))
        self._column = int(self._core.cursors[0])
        self._return += float(rewards[0])
        if ending is not None:
            return self._ended(float(rewards[0]), ending)
        self._print()
        return self._observe(), float(rewards[0]), False, False, self._info()

    def _ended(self, reward: float, ending: Ending) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._code, self._return = int(ending.episodes.stop_codes[0]), float(ending.scores.values[0])
        scores = ending.scores
        described = describe_ending(ending, gold=self.config.gold, texts=True)
        info = {**self._info(), **{name: values.tolist()[0] for name, values in described.items()}}
        info["reward_parts"] = {name: float(part[0]) for name, part in scores.parts.items()} if scores.scored[0] else {}
        self._print()
        return self._observe(), reward, True, False, info

    def _observe(self) -> Any:
        if self.config.observation == "tokens":
            return self._row.copy()
        self._core.cursors[0] = self._column
        return self._observation.first(self._observation.observe(self._core, ALL))

    def _info(self) -> dict[str, Any]:
        if not self.config.include_mask:
            return {}
        return {"action_mask": self.action_masks().view(np.int8) if self._core.rules else self._mask.copy()}

    def action_masks(self) -> NDArray[np.bool_]:
        """``(V,)`` a fresh array, True where a token may be written next."""
        if not self._core.rules:
            return self._mask.view(np.bool_).copy()
        self._core.cursors[0] = self._column
        return self._core.masks()[0]

    @property
    def prompt_index(self) -> int:
        """The row of the current prompt in ``task.prompts``."""
        return int(self._core.prompt_indices[0])

    @property
    def last_episodes(self) -> EpisodeBatch | None:
        """The text that just ended, as a batch of one; None in mid-episode."""
        if self._code == GOING:
            return None
        return self._core.batch(_ROW, np.array([self._code], dtype=np.uint8))

    @property
    def present_episodes(self) -> EpisodeBatch:
        """The text so far, as a batch of one."""
        self._core.cursors[0] = self._column
        return self._core.batch(_ROW, np.array([self._code], dtype=np.uint8))

    @property
    def reward_calls(self) -> int:
        """How many texts the reward was asked about since this environment was made; never about illegal ones."""
        return self._core.scorer.asked

    @property
    def reward_failures(self) -> int:
        """How often the reward failed under ``on_reward_error="mark"``."""
        return self._core.scorer.failures

    def get_state(self) -> dict[str, Any]:
        """Everything that a step or reset can change; for search and branching roll-outs."""
        self._core.cursors[0] = self._column
        return {"core": self._core.get_state(), "code": self._code, "return": self._return}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes back to a state of :meth:`get_state`, of this environment or of another one of the same task."""
        self._core.set_state(state["core"])
        self._code, self._return = state["code"], state["return"]
        self._bind()

    def render(self) -> Picture | None:
        """The text so far: a line or a frame, as the render mode says; None under "human", which prints at every step.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset, when there is no text.
        """
        if self.render_mode in (None, "human"):
            return None
        if not self._episode:
            raise ResetNeeded("there is no text before the first reset(); call it before render()")
        return self._draw()

    def _draw(self) -> Picture:
        ids = self._row[self._core.prompt_width : self._column].tolist()
        return self._renderer.draw(self.prompt_index, ids, code=self._code, reward=self._return)

    def _print(self) -> None:
        if self.render_mode == "human":
            echo(str(self._draw()))

    def __getstate__(self) -> dict[str, Any]:
        self._core.cursors[0] = self._column
        return {name: value for name, value in self.__dict__.items() if name not in _HOT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind()
