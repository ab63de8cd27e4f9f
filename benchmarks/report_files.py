"""A report as files for a paper: tables in Markdown, CSV and LaTeX, pictures as SVG and PDF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from textgym.atomic import write_whole

from .citations import bibliography
from .exports import write_tables
from .figure_files import write_figures
from .report import styles_of
from .report_figures import curve_pictures
from .report_overview import overview_pictures
from .standings import Board, board_of
from .summary import Summary, summarize
from .tables import all_tables

CITATIONS = "citations.bib"


def write_report_files(out: Path | str, folder: Path) -> list[Path]:
    """Writes the tables and pictures of a comparison into a folder.

    Args:
        out: Folder of the comparison.
        folder: Where to; made if missing.

    Returns:
        The files: three of each table, ``runs.csv`` with every measure, two of each picture and ``citations.bib``.
    """
    summary = summarize(out)
    board = board_of(summary)
    written = write_tables(folder, all_tables(summary, board), summary)
    written += write_figures(folder, _pictures(summary, board))
    write_whole(folder / CITATIONS, "\n\n".join(citations(summary)) + "\n")
    return [*written, folder / CITATIONS]


def citations(summary: Summary) -> list[str]:
    """BibTeX entries of what a paper with this comparison should cite."""
    return list(bibliography(run.spec.agent for run in summary.results))


def _pictures(summary: Summary, board: Board) -> Mapping[str, str]:
    styles = styles_of(summary)
    overview = overview_pictures(board, styles)
    return {name: picture for name, (_, picture, _) in overview.items()} | curve_pictures(board, styles)
