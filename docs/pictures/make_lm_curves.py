"""Makes the curves and the table of docs/from_q_table_to_language_model.md: ``python docs/pictures/make_lm_curves.py``.

Every agent writes the same number of tokens on the same task. Runs are kept in ``runs/lm_curves``: started again, the
script goes on where it stopped, and with everything there it only draws. The training takes hours and is measured in
seconds, so no test draws the files again.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from textgym.benchmarks import report_plots as plots
from textgym.benchmarks.comparison import compare
from textgym.benchmarks.records import RunResult
from textgym.benchmarks.suites import Entry, Suite
from textgym.benchmarks.summary import HELD_OUT, TRAINING, Column, Row, interval_text, scale, summarize

DOCS = Path(__file__).resolve().parents[1]
PAGE = DOCS / "from_q_table_to_language_model.md"
OUT = DOCS.parent / "runs" / "lm_curves"
STEPS, SEEDS = 150_000, 3
LEARNERS = ("q_learning", "dqn", "ppo", "rloo", "grpo", "lm_ppo")
STILL = ("frozen_lm", "sft")  # they learn nothing from rewards: lines, not curves
COLUMNS: tuple[tuple[str, Column], ...] = (
    ("greedy reward", ("greedy", TRAINING, "reward")),
    ("sampled reward", ("sampled", TRAINING, "reward")),
    ("held-out reward", ("greedy", HELD_OUT, "reward")),
    ("gold", ("greedy", TRAINING, "gold")),
    ("held-out gold", ("greedy", HELD_OUT, "gold")),
)
BEGIN, END = "<!-- table of make_lm_curves.py -->\n", "<!-- end of the table -->"
WIDTH, HEIGHT = 560, 330
STYLE = """<style>
svg { font-family: system-ui, 'Segoe UI', Roboto, 'Noto Sans', Arial, sans-serif; }
text { fill: #1c2026; font-size: 13px; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
text.small { fill: #59616b; font-size: 12px; } text.label { font-weight: 600; }
text.l0 { fill: #0072b2; } text.l1 { fill: #c44f00; } text.l2 { fill: #00805e; } text.l3 { fill: #a84f83; }
text.l4 { fill: #8a6d00; } text.l5 { fill: #4d5a68; }
.grid, .leader { stroke: #dde1e6; stroke-width: 1; } .tick { stroke: #c9ced5; stroke-width: 1.5; }
.reference { stroke: #59616b; stroke-width: 1.2; stroke-dasharray: 4 3; }
.s0 { stroke: #0072b2; fill: #0072b2; } .s1 { stroke: #c44f00; fill: #c44f00; } .s2 { stroke: #00805e; fill: #00805e; }
.s3 { stroke: #a84f83; fill: #a84f83; } .s4 { stroke: #8a6d00; fill: #8a6d00; } .s5 { stroke: #4d5a68; fill: #4d5a68; }
.mark { stroke-width: 1.6; } .band { opacity: 0.16; stroke: none; }
.curve { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
</style>"""


def measure(seeds: int, processes: int) -> None:
    """Trains and evaluates whatever is not there yet."""
    entries = [Entry(agent=name, steps=STEPS) for name in reversed(LEARNERS)]
    entries += [Entry(agent=name, steps=STEPS, config={"write_on": False}) for name in STILL]
    suite = Suite(name="lm_curves", title="From Q-table to language model", entries=tuple(entries))
    compare(suite, OUT, seeds=range(seeds), processes=processes)


def curve(runs: Sequence[RunResult], score: str, style: int) -> plots.Curve:
    """One agent's line: the mean over seeds, and the band from the lowest to the highest."""
    values: dict[int, list[float]] = {}
    for run in runs:
        for point in run.curve:
            value = scale(run, TRAINING, score, point[score])
            if value is not None:
                values.setdefault(point["steps"], []).append(value)
    points = sorted(values.items())
    return plots.Curve(
        label=runs[0].spec.label,
        style=style,
        line=[(steps, float(np.mean(found))) for steps, found in points],
        band=[(steps, min(found), max(found)) for steps, found in points],
    )


def draw(rows: dict[str, Row], score: str, path: Path) -> None:
    """Writes the chart of a score in training, on a white card that reads on light and dark pages."""
    curves = [curve(rows[name].good, score, style) for style, name in enumerate(LEARNERS)]
    still = {name: rows[name].cells["sampled", TRAINING, score].estimate for name in STILL}
    references = [plots.Reference(value=1.0, label="best text")]
    references += [plots.Reference(value=value, label=name) for name, value in still.items()]
    lowest = min(low for line in curves for _, low, _ in line.band)
    title = f"{score} of the texts written in training against tokens written"
    chart = plots.learning_curves(
        curves, references, title=title, log=False, low=max(-0.4, min(lowest, *still.values())), high=1.05
    )
    head, body = chart.split(">", maxsplit=1)
    for style, name in enumerate(LEARNERS):  # names in the colours of their lines
        body = body.replace(f'class="label">{name}<', f'class="label l{style}">{name}<')
    for name in STILL:  # names of levels to the right, where no curve begins
        body = re.sub(
            rf'x="[\d.]+" (y="[\d.]+") text-anchor="start"( class="small">{name}<)',
            r'x="438" \1 text-anchor="end"\2',
            body,
        )
    card = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>'
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"')
    path.write_text(f"{head}>{STYLE}{card}{body}\n", encoding="utf-8")


def table(rows: dict[str, Row]) -> str:
    """What was measured after training, one row an agent."""
    head = ["agent", *(name for name, _ in COLUMNS), "tokens written", "seconds"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name in (*STILL, *LEARNERS):
        row = rows[name]
        cells = [interval_text(row.cells[column]) for _, column in COLUMNS]
        steps, seconds = row.average(lambda run: run.steps), row.average(lambda run: run.train_seconds)
        lines.append(f"| {' | '.join([f'`{name}`', *cells, f'{steps:,.0f}', f'{seconds:.0f}'])} |")
    seeds = max(len(row.good) for row in rows.values())
    return (
        "\n".join([*lines, "", f"{seeds} seeds an agent; seconds of training, on one core of a busy machine."]) + "\n"
    )


def main() -> None:
    """Measures, draws, and puts the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--runs", type=Path, help="draw from this folder of a comparison, and measure nothing")
    arguments = parser.parse_args()
    if arguments.runs is None:
        measure(arguments.seeds, arguments.processes)
    rows = {row.label: row for row in summarize(arguments.runs or OUT).rows}
    for score, name in (("reward", "lm-curves.svg"), ("gold", "lm-curves-gold.svg")):
        draw(rows, score, DOCS / "images" / name)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
