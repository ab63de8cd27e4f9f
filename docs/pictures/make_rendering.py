"""Draws docs/images/rendering.png: ``python docs/pictures/make_rendering.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from textgym import exact
from textgym.rendering import Overlay, rgb_array

TARGET = Path(__file__).resolve().parents[1] / "images" / "rendering.png"
TEXT = "was not very great"


def main() -> None:
    """One text twice: what each token was paid, and what it lost against the best text."""
    env: Any = gym.make("TextGen-v0", reward_timing="step").unwrapped
    env.reset(options={"prompt_index": 0})
    ids = env.task.encode_completion(TEXT)
    rewards = [env.step(token)[1] for token in ids]
    solution = exact.solve("TextGen-v0", prompt=0)
    advantages = [
        float(solution.q(ids[:step])[token] - solution.value(ids[:step]))  # of each token, given those before it
        for step, token in enumerate(ids)
    ]
    prompt, tokens = env.task.prompts.texts[0], [env.task.tokenizer.tokens[token] for token in ids]
    pictures: list[NDArray[np.uint8]] = [
        rgb_array(prompt, tokens, overlay=overlay, stop_reason="eos", reward=sum(rewards), size=(448, 176))
        for overlay in (Overlay("reward", rewards), Overlay("advantage", advantages))
    ]
    Image.fromarray(np.concatenate(pictures)).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
