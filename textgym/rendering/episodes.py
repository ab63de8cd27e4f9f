"""Pictures of a task's episodes, as the environments' ``render_mode`` asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import STOP_REASONS
from textgym.rendering.raster import frame_size, rgb_array
from textgym.rendering.terminal import Typewriter, ansi
from textgym.task import Task

Picture = str | NDArray[np.uint8]
"""A piece of text for the terminal, or an ``(H, W, 3)`` frame."""


class EpisodeRenderer:
    """Draws texts of one task in one render mode; all frames of a task have one size.

    Args:
        task: The problem that the texts belong to.
        mode: "ansi" (a line of text), "human" (the part of that line that is new) or "rgb_array" (a frame); None for
            environments that are not watched.
    """

    def __init__(self, task: Task, mode: str | None) -> None:
        self.task, self.mode = task, mode
        self._typewriter = Typewriter()

    @cached_property
    def _size(self) -> tuple[int, int]:
        return frame_size(self.task.prompts.texts, self.task.tokenizer.tokens, self.task.budget)

    def draw(self, prompt_index: int, ids: Sequence[int], *, code: int, reward: float) -> Picture:
        """Draws one text.

        Args:
            prompt_index: The row of the prompt table.
            ids: The tokens written so far.
            code: The stop code, an index into :data:`textgym.episodes.STOP_REASONS`.
            reward: The return so far, shown once the text has ended.
        """
        prompt, stop_reason = self.task.prompts.texts[prompt_index], STOP_REASONS[code]
        tokens = [self.task.tokenizer.tokens[token] for token in ids]
        if self.mode == "rgb_array":
            return rgb_array(prompt, tokens, stop_reason=stop_reason, reward=reward, size=self._size)
        if self.mode == "human":
            return self._typewriter.advance(prompt, tokens, stop_reason=stop_reason, reward=reward)
        return ansi(prompt, tokens, stop_reason=stop_reason, reward=reward)
