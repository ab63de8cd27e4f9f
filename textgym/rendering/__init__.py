"""Pictures of a text being written."""

from __future__ import annotations

import os
from collections.abc import Sequence

_COLOURS = (36, 35, 33, 32, 34)  # cyan, magenta, yellow, green, blue: neighbours always differ
_DIM, _BOLD, _RESET = "\x1b[2m", "\x1b[1m", "\x1b[0m"


def use_colour() -> bool:
    """Whether to write colour codes: unless the environment variable NO_COLOR is set (no-color.org)."""
    return not os.environ.get("NO_COLOR")


def ansi(
    prompt: str,
    tokens: Sequence[str],
    *,
    stop_reason: str | None = None,
    reward: float | None = None,
    colour: bool | None = None,
) -> str:
    """A line of terminal text: the prompt, each token in its colour, and at the end the reward.

    Args:
        prompt: The prompt as the user wrote it.
        tokens: The spelling of each token written so far.
        stop_reason: Why the text ended, if it has.
        reward: The episode's return so far; shown once the text has ended.
        colour: By default :func:`use_colour`.

    Example:
        >>> ansi("praise the movie", ["was", "great"], stop_reason="length", reward=1.25, colour=False)
        'praise the movie > was great  [length, reward +1.250]'
    """
    paint = use_colour() if colour is None else colour
    prompt, tokens = _visible(prompt), [_visible(token) for token in tokens]
    pieces = [
        f"\x1b[{_COLOURS[n % len(_COLOURS)]}m{token}{_RESET}" if paint else token for n, token in enumerate(tokens)
    ]
    line = " ".join([f"{_DIM}{prompt} >{_RESET}" if paint else f"{prompt} >", *pieces])
    if stop_reason is None:
        return line
    ending = f"[{stop_reason}, reward {0.0 if reward is None else reward:+.3f}]"
    return f"{line}  {_BOLD}{ending}{_RESET}" if paint else f"{line}  {ending}"


def _visible(piece: str) -> str:
    """Shows control characters instead of obeying them (a generated text must not drive the terminal)."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in piece)
