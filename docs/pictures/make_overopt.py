"""Draws the picture of docs/overoptimisation.md and prints its table: ``python docs/pictures/make_overopt.py``.

Half a minute on a free core; everything is exact, so only another version of the task or the fits changes it.
"""

from __future__ import annotations

from pathlib import Path

from textgym.overoptimisation import Study, draw, overoptimise, summarise

FOLDER = Path(__file__).resolve().parents[1] / "images"


def table(study: Study) -> list[str]:
    """The tilted policies as Markdown."""
    lines = ["| model | pairs | noise | gold at the start | at the peak | √KL there | at the end |", f"|{'---|' * 7}"]
    for line in summarise(study):
        if line.method == "tilted":
            names = f"{line.cell.model} | {line.cell.pairs:,} | {line.cell.noise:.0%}"
            numbers = f"{line.start:.2f} | {line.peak:.2f} | {line.peak_distance:.2f} | {line.end:.2f}"
            lines.append(f"| {names} | {numbers} |".replace("-", "−"))
    return lines


def main() -> None:
    """Measures on the default task, and writes the file."""
    study = overoptimise("TextGen-v0")
    (FOLDER / "overopt.svg").write_text(draw(study), encoding="utf-8", newline="\n")
    print("\n".join(table(study)))


if __name__ == "__main__":
    main()
