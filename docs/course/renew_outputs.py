"""What the course's notebooks print, kept in ``docs/course/outputs`` so that a change of it is seen.

``python docs/course/renew_outputs.py`` runs all notebooks, writes what they print and says how long each took; numbers
such as ``03`` name some of them. ``--check`` writes nothing and fails where a notebook prints something else than what
is kept, or where its prose quotes a number that no cell prints. ``--executed FOLDER`` reads notebooks that Sphinx has
run (``docs/_build/jupyter_execute``) instead of running them again. A translation has to print what its original does.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from truth import untrue_numbers

COURSE = Path(__file__).resolve().parent
DOCS = COURSE.parent
TRANSLATIONS = DOCS / "zh" / "course"
OUTPUTS = COURSE / "outputs"
PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "text/html")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Run:
    """A notebook that was run.

    Attributes:
        notebook: With its outputs.
        seconds: How long it took; None where somebody else ran it.
        processor_seconds: How long it computed, on all cores together; None where that is not known.
    """

    notebook: nbformat.NotebookNode
    seconds: float | None = None
    processor_seconds: float | None = None


def notebooks() -> list[Path]:
    """The notebooks of the course in their order, then their translations."""
    return [path for folder in (COURSE, TRANSLATIONS) for path in sorted(folder.glob("[0-9][0-9]_*.md"))]


def name_of(path: Path) -> str:
    """What a notebook is called: its place in the docs, without the ending."""
    return path.relative_to(DOCS).with_suffix("").as_posix()


def place_of(path: Path) -> Path:
    """Where the outputs of a notebook are kept; a translation shares them with its original."""
    return OUTPUTS / f"{path.stem}.txt"


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook as Jupyter would open it."""
    return jupytext.read(path, fmt="md:myst")


def execute(path: Path) -> Run:
    """Runs a notebook in a kernel and an empty folder of its own."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    notebook = read(path)
    began, computed = time.perf_counter(), _children_seconds()
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    after = _children_seconds()
    used = None if computed is None or after is None else after - computed
    return Run(notebook, time.perf_counter() - began, used)


def _children_seconds() -> float | None:
    """Processor time of the processes that this one started and that have ended; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each code cell shows, as text; a picture is one line that says so."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["\n".join(_lines("".join(_as_text(output) for output in cell.get("outputs", ())))) for cell in cells]


def _as_text(output: nbformat.NotebookNode) -> str:
    """An output as it would be printed; a stream may come in pieces that end anywhere."""
    if output.output_type == "stream":
        return output.text if output.name == "stdout" else f"\n({output.name}) {output.text}\n"
    if output.output_type == "error":
        return f"\n({output.ename}) {output.evalue}\n"
    picture = next((kind for kind in PICTURES if kind in output.data), None)
    return f"({picture})\n" if picture else output.data.get("text/plain", "") + "\n"


def _lines(text: str) -> list[str]:
    """The lines of a text without colours, and without space at their ends and its own."""
    return [line.rstrip() for line in COLOUR.sub("", text).strip("\n").rstrip().split("\n")]


def as_file(cells: Iterable[str]) -> str:
    """The outputs of a notebook's cells as the text that is kept."""
    return "\n".join(f"[{number}]\n{text}\n" for number, text in enumerate(cells, start=1) if text)


def kept(path: Path) -> str:
    """What is kept for a notebook; empty where nothing is."""
    file = place_of(path)
    return file.read_text(encoding="utf-8") if file.exists() else ""


def problems(path: Path, notebook: nbformat.NotebookNode, *, compare: bool = True) -> list[str]:
    """What is wrong with a notebook that was run.

    Args:
        path: Where it stands.
        notebook: With its outputs.
        compare: Whether it has to print what is kept.
    """
    cells = printed(notebook)
    found = [f"says on stderr: {line}" for text in cells for line in text.splitlines() if line.startswith("(stderr)")]
    found += [f"quotes {number}, which no cell prints" for number in untrue_numbers(notebook, cells)]
    if compare and (lines := [*_difference(kept(path), as_file(cells))]):
        command = "python docs/course/renew_outputs.py"
        found.append(f"prints something else than what is kept; run {command} and look at it\n" + "\n".join(lines))
    return found


def _difference(old: str, new: str) -> Iterable[str]:
    return unified_diff(old.splitlines(), new.splitlines(), "kept", "printed", lineterm="", n=1)


def read_run(path: Path, folder: Path | None) -> Run:
    """A notebook with its outputs: out of the folder where it was run, or run here."""
    if folder is None:
        return execute(path)
    file = folder / f"{name_of(path)}.ipynb"
    if not file.exists():
        raise SystemExit(f"{file} is not there; build the site first: make docs")
    ran, source = nbformat.read(file, as_version=4), read(path)
    if [cell.source for cell in ran.cells if cell.cell_type == "code"] != [
        cell.source for cell in source.cells if cell.cell_type == "code"
    ]:
        raise SystemExit(f"{file} was run from an older {path.name}; build the site again: make docs")
    return Run(ran)


def chosen(names: list[str]) -> list[Path]:
    """The notebooks whose names begin with one of these; all without any."""
    found = [path for path in notebooks() if not names or path.stem.startswith(tuple(names))]
    if not found:
        raise SystemExit(f"no notebook begins with {', '.join(names)}; there are {[p.stem for p in notebooks()]}")
    return found


def main(arguments: list[str]) -> int:
    """Writes the outputs or checks them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of names, such as 03; all by default")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--executed", type=Path, help="the folder of notebooks that have been run")
    options = parser.parse_args(arguments)
    status, total = 0, 0.0
    for path in chosen(options.names):
        run = read_run(path, options.executed)
        took, total = _say_time(run), total + (run.seconds or 0.0)
        renew = not options.check and path.parent == COURSE
        found = problems(path, run.notebook, compare=not renew)
        print(f"{name_of(path)}: {'; '.join(found) or 'fine'}{took}")
        status = status or bool(found)
        if renew:
            OUTPUTS.mkdir(exist_ok=True)
            place_of(path).write_text(as_file(printed(run.notebook)), encoding="utf-8", newline="\n")
    if total:
        print(f"together {total:.0f} s")
    return int(status)


def _say_time(run: Run) -> str:
    if run.seconds is None:
        return ""
    computed = "" if run.processor_seconds is None else f", {run.processor_seconds:.1f} s of processor time"
    return f" ({run.seconds:.1f} s{computed})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
