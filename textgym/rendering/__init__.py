"""Pictures of a text being written: for the terminal, the browser and a video, with a number for each token.

All take a prompt and the spellings of its tokens, and an :class:`Overlay` where each token has a number. An environment
draws itself by its ``render_mode``; here is what draws any text.

Example:
    >>> print(ansi("praise it", ["is", "good"], overlay=Overlay("advantage", [-0.5, 0.25]), colour=False))
    praise it >
              is     good
    advantage -0.500 +0.250
"""

from textgym.rendering.overlay import Overlay
from textgym.rendering.raster import frame_size, rgb_array
from textgym.rendering.terminal import ansi, use_colour
from textgym.rendering.web import html

__all__ = ["Overlay", "ansi", "frame_size", "html", "rgb_array", "use_colour"]
