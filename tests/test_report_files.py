"""Tables in Markdown, CSV and LaTeX, pictures as SVG and PDF, and what to cite."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from test_report import NASTY, VALUES, write_comparison

from textgym.agents.registry import AGENTS
from textgym.benchmarks.citations import WORKS, bibliography
from textgym.benchmarks.exports import escape_latex, latex, markdown, to_csv
from textgym.benchmarks.figure_files import standalone
from textgym.benchmarks.pdf import text_width, to_pdf
from textgym.benchmarks.report_files import citations, write_report_files
from textgym.benchmarks.summary import summarize
from textgym.benchmarks.tables import Entry, Table
from textgym.errors import ConfigurationError

TABLE = Table(
    name="small",
    title="A & B",
    columns=("agent", "score_%"),
    numeric=(False, True),
    rows=((Entry(text="q_learning|x"), Entry(text="0.9", bold=True)), (Entry(text="=1+1"), Entry(text="-0.5"))),
    notes=("50 % of it.",),
)


def test_all_files_are_there_and_whole(tmp_path):
    files = write_report_files(write_comparison(tmp_path / "runs", VALUES), tmp_path / "files")
    names = {path.name for path in files}
    assert {f"{table}.{kind}" for table in ("leaderboard", "tasks", "cost") for kind in ("md", "csv", "tex")} <= names
    assert {"runs.csv", "citations.bib", "profiles.svg", "profiles.pdf", "curves-Toy-easy-gold.pdf"} <= names
    assert all(path.stat().st_size > 50 for path in files)
    for path in files:
        if path.suffix == ".svg":
            ElementTree.fromstring(path.read_text(encoding="utf-8"))
        if path.suffix == ".pdf":
            check_pdf(path.read_bytes())


def test_runs_csv_has_every_measure(tmp_path):
    out = write_comparison(tmp_path / "runs", {"good": [0.5, 0.75], "bad": [0.1, None]})
    write_report_files(out, tmp_path / "files")
    rows = list(csv.DictReader((tmp_path / "files" / "runs.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 3 * 8 + 1
    found = [
        row
        for row in rows
        if (row["agent"], row["seed"], row["play"], row["split"]) == ("good", "1", "greedy", "train")
    ]
    assert {row["score"]: float(row["normalized"]) for row in found} == {"reward": 0.75, "gold": 0.75}
    (failed,) = (row for row in rows if row["status"] == "failed")
    assert (failed["agent"], failed["seed"], failed["mean"]) == ("bad", "1", "")


def test_markdown():
    lines = list(markdown(TABLE))
    assert lines[2:6] == [
        r"| agent | score\_% |", "| --- | ---: |", r"| q\_learning\|x | **0.9** |", "| =1+1 | -0.5 |",
    ]  # fmt: skip
    assert lines[-1] == "50 % of it."


def test_latex_has_booktabs_and_escapes():
    text = latex(TABLE)
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{lr}"):
        assert text.count(rule) == 1
    assert r"\caption{A \& B. 50 \% of it.}" in text
    assert r"q\_learning\textbar{}x & \textbf{0.9} \\" in text
    assert escape_latex(r"\{~^") == r"\textbackslash{}\{\textasciitilde{}\textasciicircum{}"


def test_latex_of_names_that_latex_would_read_as_its_own():
    assert escape_latex("a|b_c") == r"a\textbar{}b\_c"
    rows = ((Entry(text="[x] y"), Entry(text="0.5 [0.4, 0.6]")), (Entry(text="*"), Entry(text="1")))
    lines = latex(replace(TABLE, rows=rows)).splitlines()
    assert r"{}[x] y & 0.5 [0.4, 0.6] \\" in lines
    assert r"{}* & 1 \\" in lines


def test_csv_defuses_formulas_and_leaves_numbers():
    assert to_csv([["=1+1", "-0.5", "@x", "-", -1.5, "-0.50 [-1.00, 0.00]"]]) == (
        "'=1+1,-0.5,'@x,-,-1.5,\"-0.50 [-1.00, 0.00]\"\n"
    )


def test_a_picture_alone_has_its_colours_and_no_classes():
    picture = (
        '<svg class="chart" viewBox="0 0 10 10" width="10" height="10"><polygon points="0,0 1,1 2,0" class="band s1"/>'
        '<polyline points="0,0 5,5" class="curve s1" stroke-dasharray=""/>'
        '<text x="1" y="2" class="small">a</text></svg>'
    )
    alone = standalone(picture)
    assert "class" not in alone
    assert "var(" not in alone
    band, curve, word = ElementTree.fromstring(alone)
    assert (band.get("fill"), band.get("stroke"), band.get("opacity")) == ("#c44f00", "none", ".16")
    assert (curve.get("fill"), curve.get("stroke"), curve.get("stroke-width")) == ("none", "#c44f00", "2.2")
    assert (word.get("fill"), word.get("font-size")) == ("#59616b", "12")


def check_pdf(data):
    """A strict reading of the file's structure; returns the drawing."""
    assert data.startswith(b"%PDF-1.4\n")
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", data)[1])
    assert data[start:].startswith(b"xref\n0 7\n")
    offsets = [int(entry) for entry in re.findall(rb"(\d{10}) 00000 n \n", data[start:])]
    for number, offset in enumerate(offsets, start=1):
        assert data[offset:].startswith(b"%d 0 obj\n" % number)
    length, rest = re.search(rb"/Length (\d+) >>\nstream\n(.*)", data, flags=re.DOTALL).groups()
    drawing = rest[: int(length)]
    assert rest[int(length) :].startswith(b"\nendstream\nendobj")
    lines = drawing.decode("cp1252").split("\n")
    assert lines.count("q") == lines.count("Q")
    used = set(re.findall(r"/(G\d+) gs", drawing.decode("cp1252")))
    assert all(f"/{name} << /ca".encode() in data for name in used)
    return drawing.decode("cp1252")


def test_pdf_of_every_shape():
    shapes = (
        '<line x1="0" y1="1" x2="2" y2="3" stroke="#ff0000"/><circle cx="5" cy="5" r="2" fill="#00ff00"/>'
        '<rect x="1" y="1" width="2" height="2" fill="#0000ff" opacity="0.5"/>'
        '<polyline points="0,0 1,1" fill="none" stroke="#000" stroke-dasharray="7 4"/>'
        '<text x="20" y="10" text-anchor="end" font-size="10">ii (−1)</text>'
    )
    drawing = check_pdf(to_pdf(f'<svg width="30" height="20">{shapes}</svg>'))
    assert drawing.startswith("1 0 0 -1 0 20 cm")
    assert "1 0 0 RG" in drawing
    assert "0 1 m 2 3 l\nS" in drawing
    assert drawing.count(" c\n") == 4
    assert "/G0 gs" in drawing
    assert "[7 4] 0 d" in drawing
    x = 20 - text_width("ii (–1)", 10.0)
    assert f"1 0 0 -1 {x:.2f} 10.00 Tm (ii \\(–1\\)) Tj ET" in drawing


def test_pdf_refuses_what_it_cannot_draw():
    with pytest.raises(ConfigurationError, match="<image>"):
        to_pdf('<svg width="1" height="1"><image/></svg>')
    with pytest.raises(ConfigurationError, match="expected #rrggbb"):
        to_pdf('<svg width="1" height="1"><rect fill="red"/></svg>')
    assert "(?) Tj" in check_pdf(to_pdf('<svg width="1" height="1"><text x="0" y="0">字</text></svg>'))


def test_citations_name_every_agent_of_the_registry_once(tmp_path):
    assert set(WORKS) == set(AGENTS)
    entries = list(bibliography(["ppo", "maskable_ppo", "ppo", "mylab.agent:Agent"]))
    keys = [re.match(r"@\w+\{(\w+),", entry)[1] for entry in entries]
    assert len(keys) == len(set(keys))
    assert {"textgym", "schulman2017proximal", "huang2020closer", "raffin2021stable"} <= set(keys)
    assert all(entry.count("{") == entry.count("}") for entry in bibliography(AGENTS))
    assert len(citations(summarize(write_comparison(tmp_path, VALUES)))) == 3  # random play needs no citation


def test_names_of_agents_cannot_break_a_table(tmp_path):
    out = write_comparison(tmp_path / "runs", {NASTY: [0.5, 0.6], "b|c": [0.1, 0.2]})
    write_report_files(out, tmp_path / "files")
    text = (tmp_path / "files" / "leaderboard.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert "<script>" not in text
