"""The tables of a comparison in Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from textgym.atomic import write_whole

from .alarms import alarms_of
from .records import RunResult
from .summary import Summary
from .tables import Entry, Table

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)
_RUN_COLUMNS = (
    "agent", "env_id", "task", "level", "seed", "status", "play", "split", "score", "mean", "standard_error",
    "normalized", "texts", "impossible", "steps", "reward_calls", "train_seconds", "evaluation_seconds", "cpu_seconds",
    "gpu_seconds", "peak_memory_bytes", "alarms", "key",
)  # fmt: skip


def write_tables(folder: Path, tables: Sequence[Table], summary: Summary) -> list[Path]:
    """Writes every table as ``NAME.md``, ``NAME.csv`` and ``NAME.tex``, and all measures as ``runs.csv``.

    Args:
        folder: Made if missing.
        tables: What is written.
        summary: The comparison, for the single runs.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {}
    for table in tables:
        texts[f"{table.name}.md"] = "\n".join(markdown(table)) + "\n"
        texts[f"{table.name}.csv"] = to_csv([table.columns, *([entry.text for entry in row] for row in table.rows)])
        texts[f"{table.name}.tex"] = latex(table)
    texts["runs.csv"] = to_csv([_RUN_COLUMNS, *_run_rows(summary.results)])
    for name, text in texts.items():
        write_whole(folder / name, text)
    return [folder / name for name in texts]


def markdown(table: Table, *, titled: bool = True) -> Iterator[str]:
    """The lines of a table in Markdown, with its notes."""
    if titled:
        yield f"**{table.title}**"
        yield ""
    yield f"| {' | '.join(_markdown(Entry(text=name)) for name in table.columns)} |"
    yield f"| {' | '.join('---:' if numeric else '---' for numeric in table.numeric)} |"
    for row in table.rows:
        yield f"| {' | '.join(_markdown(entry) for entry in row)} |"
    for note in table.notes:
        yield ""
        yield note


def latex(table: Table) -> str:
    """A table in LaTeX; the document's preamble loads the package booktabs."""
    columns = "".join("r" if numeric else "l" for numeric in table.numeric)
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.title)}. {escape_latex(' '.join(table.notes))}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _latex_row([Entry(text=name) for name in table.columns]),
        r"\midrule",
        *(_latex_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    r"""Plain text for LaTeX.

    Example:
        >>> print(escape_latex("q_learning & 95 %"))
        q\_learning \& 95 \%
    """
    return text.translate(_LATEX)


def to_csv(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV; a text that a spreadsheet would take for a formula is led by an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for row in rows:
        writer.writerow([_defused(value) for value in row])
    return file.getvalue()


def _defused(value: object) -> object:
    formula = isinstance(value, str) and len(value) > 1 and value[0] in "=+@-" and not _is_number(value)
    return f"'{value}" if formula else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text[:1] == "-" and text[1:2].isdigit()
    return True


def _markdown(entry: Entry) -> str:
    text = entry.text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
    text = text.replace("_", r"\_").replace("*", r"\*")
    return f"**{text}**" if entry.bold else text


def _latex_row(row: Sequence[Entry]) -> str:
    cells = [rf"\textbf{{{escape_latex(entry.text)}}}" if entry.bold else escape_latex(entry.text) for entry in row]
    guard = "{}" if cells and cells[0][:1] in ("[", "*") else ""  # else it would be an argument of the \\ before it
    return guard + " & ".join(cells) + r" \\"


def _run_rows(results: Iterable[RunResult]) -> Iterator[list[object]]:
    """One row a measure; a run without any has one row all the same."""
    for run in results:
        what = [run.spec.label, run.spec.env_id, run.task, run.level, run.spec.seed, run.status]
        cost = [run.steps, run.reward_calls, run.train_seconds, run.evaluation_seconds, run.cpu_seconds,
                run.gpu_seconds, run.peak_memory_bytes]  # fmt: skip
        end = [*cost, "; ".join(alarm.kind for alarm in alarms_of(run)), run.spec.key]
        for m in run.measures:
            yield [*what, m.play, m.split, m.score, m.mean, m.standard_error, m.normalized, m.n, m.impossible, *end]
        if not run.measures:
            yield [*what, *[""] * 8, *end]
