"""The course's notebooks: each opens in Jupyter, quotes only what it prints, and prints what is kept."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")
pytest.importorskip("nbclient")
nodes = pytest.importorskip("docutils.nodes")
pytest.importorskip("sphinx")

COURSE = Path(__file__).resolve().parents[1] / "docs" / "course"
sys.path += [str(COURSE), str(COURSE.parent)]  # scripts, not part of the package
import mathml  # noqa: E402
import renew_outputs  # noqa: E402
from truth import quoted, untrue_numbers  # noqa: E402

NOTEBOOKS = renew_outputs.notebooks()
ORIGINALS = [path for path in NOTEBOOKS if path.parent == COURSE]
PAGES = sorted({*COURSE.rglob("*.md"), *NOTEBOOKS})
PARTS = ("You need", "Exercise 1", "Exercise 2", "Exercise 3", "What you learned", "textgym grade week")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=renew_outputs.name_of)


def notebook_of(*cells: tuple[str, str]) -> Any:
    """A notebook of these cells: (kind, source)."""
    kinds = {"text": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    return nbformat.v4.new_notebook(cells=[kinds[kind](source) for kind, source in cells])


# ---- each notebook ---------------------------------------------------------------------------------------------------


@each_notebook
def test_it_opens_in_jupyter(path: Path) -> None:
    notebook = renew_outputs.read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    kinds = {cell.cell_type for cell in notebook.cells}
    assert kinds == {"markdown", "code"}
    for cell in notebook.cells:
        if cell.cell_type == "code" and not cell.source.startswith("%%"):
            compile(cell.source, path.name, "exec")


@pytest.mark.parametrize("path", ORIGINALS, ids=renew_outputs.name_of)
def test_it_has_the_parts_that_a_student_looks_for(path: Path) -> None:
    notebook = renew_outputs.read(path)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert [part for part in PARTS if part not in prose] == []
    hidden = [cell for cell in notebook.cells if "hide-cell" in cell.metadata.get("tags", ())]
    assert prose.count("{dropdown} Solution") >= 3
    assert len(hidden) >= 3, "each exercise has a solution that runs"
    assert prose.startswith(f"# {int(path.stem[:2])}. ")


@each_notebook
def test_every_number_in_its_prose_is_printed_by_a_cell(path: Path) -> None:
    assert renew_outputs.kept(path), "run python docs/course/renew_outputs.py"
    assert untrue_numbers(renew_outputs.read(path), [renew_outputs.kept(path)]) == []


def test_nothing_is_kept_that_belongs_to_no_notebook() -> None:
    assert {*renew_outputs.OUTPUTS.iterdir()} == {renew_outputs.place_of(path) for path in ORIGINALS}


@pytest.mark.parametrize("page", PAGES, ids=renew_outputs.name_of)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#\s]+\.\w+)", page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


EQUATION = re.compile(r"\$\$(?P<block>.+?)\$\$|(?<![\\$])\$(?P<line>[^$\n]+(?:\n[^$\n]+)?)\$", re.DOTALL)


@each_notebook
def test_its_equations_can_be_shown_without_a_script(path: Path) -> None:
    cells = [cell for cell in renew_outputs.read(path).cells if cell.cell_type == "markdown"]
    prose = "\n\n".join(re.sub(r"`[^`]*`", "", cell.source) for cell in cells)
    for found in EQUATION.finditer(prose):
        block = found["block"] is not None
        node = nodes.math_block if block else nodes.math
        assert "<math" in mathml.convert(node(text=found["block"] or found["line"]), block=block), found[0]


def test_equations_become_mathml_and_a_wrong_one_is_said(caplog: pytest.LogCaptureFixture) -> None:
    block = mathml.convert(nodes.math_block(text=r"a_1 + \dots + a_T \\ = \max_a Q"), block=True)
    assert 'display="block"' in block
    assert "…" in block
    assert "<mtr>" in block, "two lines are set below each other"
    assert not caplog.records
    assert mathml.convert(nodes.math(text=r"\nothing"), block=False) == r"<code>\nothing</code>"
    assert "cannot be read" in caplog.text


def test_the_first_notebook_runs_and_prints_what_is_kept() -> None:
    run = renew_outputs.execute(NOTEBOOKS[0])
    assert renew_outputs.problems(NOTEBOOKS[0], run.notebook) == []
    assert run.seconds is not None
    assert run.seconds > 0.0


@pytest.mark.slow
@each_notebook
def test_it_runs_and_prints_what_is_kept(path: Path) -> None:
    assert renew_outputs.problems(path, renew_outputs.execute(path).notebook) == []


# ---- the checks themselves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("It earns 0.93, at best.", ["0.93"]),
        ("It earns -2.06 or \u22122.06.", ["-2.06", "\u22122.06"]),
        ("Of 1,555 texts 12 % are good, 12% or 12 per cent.", ["1,555", "12 %", "12%", "12 per cent"]),
        ("After 4 tokens of 16 words there are 259 prefixes.", ["259"]),
        ("A factor of 1e-3 and version v2 are no numbers of that kind.", []),
        ("A list 1, 2, 3; a range 0.1 to 0.25; the end is 1.5.", ["0.1", "0.25", "1.5"]),
        ("$\\alpha = .5$ and 1,234,567.8", [".5", "1,234,567.8"]),
        ("共有1,555篇，最好的得1.43分，占12%。", ["1,555", "1.43", "12%"]),
    ],
)
def test_numbers_that_have_to_be_printed_are_found(text: str, numbers: list[str]) -> None:
    assert list(quoted(text)) == numbers


def test_a_number_that_no_cell_prints_is_untrue() -> None:
    page = notebook_of(("code", "steps = 20_000"), ("text", "After 20,000 steps the error is 0.31, or 7 %."))
    assert untrue_numbers(page, ["20,000 steps: error 0.31 (7 %)"]) == []
    assert untrue_numbers(page, ["20,000 steps: error 0.310 (7 %)"]) == ["0.31"]
    assert untrue_numbers(page, ["20000 steps: error 0.31 (7)"]) == ["7 %"]
    assert untrue_numbers(page, ["error -0.31 (7 %)"]) == ["20,000"], "code is no output"
    assert untrue_numbers(page, ["10.31 0.315 120,000 17 %"]) == ["20,000", "0.31", "7 %"]


def test_inline_code_may_quote_the_code_and_a_minus_sign_must_be_printed() -> None:
    page = notebook_of(("code", "rate = 0.5; steps = 20_000"), ("text", "With `rate = 0.5` and `20_000` it is -0.25."))
    assert untrue_numbers(page, ["-0.25"]) == []
    assert untrue_numbers(page, ["0.25"]) == ["-0.25"]
    assert untrue_numbers(notebook_of(("code", "x = 0.5"), ("text", "`rate = 0.7`")), [""]) == ["0.7"]


def test_years_links_options_and_blocks_are_left_alone_and_solutions_are_not() -> None:
    text = """Watkins (1989), 沃特金斯（Watkins，1989）, [see 4](page_100.md#part-2.5), <https://example.org/2023/1.5>.

:::{dropdown} Solution
:open: 1.25
It is 4.75.
:::

```text
9.99
```

<!-- translates page.md as of 123456789abc -->
"""
    assert untrue_numbers(notebook_of(("text", text)), []) == ["4.75"]


def test_outputs_are_text_without_colours_and_a_picture_is_a_line() -> None:
    cell = nbformat.v4.new_code_cell("...")
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="\x1b[31mre"),
        nbformat.v4.new_output("stream", name="stdout", text="d\x1b[0m  \n"),
        nbformat.v4.new_output("display_data", data={"text/html": "<svg/>", "text/plain": "<HTML at 0x7f>"}),
        nbformat.v4.new_output("execute_result", data={"text/plain": "1.5"}, execution_count=1),
    ]
    cells = renew_outputs.printed(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1"), cell]))
    assert cells == ["", "red\n(text/html)\n1.5"]
    assert renew_outputs.as_file(cells) == "[2]\nred\n(text/html)\n1.5\n"


def test_a_word_on_stderr_and_another_output_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = nbformat.v4.new_code_cell("...")
    cell.outputs = [nbformat.v4.new_output("stream", name="stderr", text="UserWarning: beware")]
    notebook = nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_markdown_cell("It is 0.5.")])
    monkeypatch.setattr(renew_outputs, "kept", lambda path: "[1]\nold\n")
    stderr, number, other = renew_outputs.problems(NOTEBOOKS[0], notebook)
    assert "beware" in stderr
    assert "0.5" in number
    assert "-old" in other


def test_a_notebook_that_sphinx_ran_must_be_the_one_that_is_there(tmp_path: Path) -> None:
    path = NOTEBOOKS[0]
    with pytest.raises(SystemExit, match="is not there"):
        renew_outputs.read_run(path, tmp_path)
    older = renew_outputs.read(path)
    (tmp_path / "course").mkdir(exist_ok=True)
    nbformat.write(older, tmp_path / "course" / f"{path.stem}.ipynb")
    assert renew_outputs.read_run(path, tmp_path).seconds is None
    older.cells = older.cells[:-1] + [nbformat.v4.new_code_cell("another = 1")]
    (tmp_path / "course").mkdir(exist_ok=True)
    nbformat.write(older, tmp_path / "course" / f"{path.stem}.ipynb")
    with pytest.raises(SystemExit, match="older"):
        renew_outputs.read_run(path, tmp_path)


def test_names_choose_notebooks() -> None:
    chosen = [path.stem[:2] for path in renew_outputs.chosen(["02", "01"]) if path.parent == COURSE]
    assert chosen == ["01", "02"]
    with pytest.raises(SystemExit, match="no notebook begins with 99"):
        renew_outputs.chosen(["99"])
