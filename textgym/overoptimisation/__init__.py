"""Over-optimisation: what becomes of the true score when somebody optimises a learned proxy of it, and how hard.

:func:`overoptimise` simulates comparisons, fits proxies to them, and computes for each what best-of-n and the tilted
policy reach: exactly where a task is small enough to try all texts, else with standard errors. A :class:`Study` becomes
a picture (:func:`draw`), a page (:func:`render`) and tables, all of which :func:`write` puts into a folder.
"""

from __future__ import annotations

from pathlib import Path

from textgym.atomic import write_whole
from textgym.overoptimisation.agents import AgentPoint, Candidate
from textgym.overoptimisation.curves import Point
from textgym.overoptimisation.drawing import draw
from textgym.overoptimisation.forms import Fit
from textgym.overoptimisation.page import render
from textgym.overoptimisation.results import Cell, Curve, Excerpt, Study
from textgym.overoptimisation.study import overoptimise
from textgym.overoptimisation.tables import fits_csv, points_csv, summarise, summary_csv, texts_csv

__all__ = [
    "AgentPoint",
    "Candidate",
    "Cell",
    "Curve",
    "Excerpt",
    "Fit",
    "Point",
    "Study",
    "draw",
    "overoptimise",
    "render",
    "summarise",
    "write",
]

FILES = {
    "points.csv": points_csv,
    "summary.csv": summary_csv,
    "fits.csv": fits_csv,
    "texts.csv": texts_csv,
    "overopt.svg": draw,
    "overopt.html": render,
}
"""What :func:`write` makes of a study."""


def write(study: Study, folder: Path | str) -> list[Path]:
    """Writes tables, picture and page into a folder, each as a whole.

    Returns:
        The paths.

    Raises:
        ConfigurationError: where they cannot be written.
    """
    place = Path(folder)
    paths = []
    for name, make in FILES.items():
        write_whole(place / name, make(study))
        paths.append(place / name)
    return paths
