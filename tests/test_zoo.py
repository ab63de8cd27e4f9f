"""The bug zoo: every exhibit trains without complaint, and its number gives it away."""

from __future__ import annotations

import ast
import inspect
import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from textgym.cli import app
from textgym.course.zoo import checking, programs
from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.drawing import bar_chart, draw
from textgym.course.zoo.running import NAMES, SEEDS, SPOILER, blurb, cure, functions, get, run, source
from textgym.errors import ConfigurationError, UnknownNameError
from textgym.exact import solve

FOLDER = Path(programs.__file__).parent
NEEDS_TORCH = ("cicada", "cuckoo")
QUICK = tuple(name for name in NAMES if name not in NEEDS_TORCH)


def need(name: str) -> None:
    """Skips an exhibit that needs torch where there is none."""
    if name in NEEDS_TORCH:
        pytest.importorskip("torch")


@cache
def found(name: str, seed: int, *, mended: bool = False) -> Findings:
    """What a run finds; nobody changes it."""
    return run(name, seed, mended=mended)


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8")


# ---- each exhibit keeps its contract --------------------------------------------------------------------------------


def test_the_list_is_the_folder_and_has_at_least_fifteen() -> None:
    assert sorted(NAMES) == sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))
    assert len(NAMES) >= 15


def test_the_bugs_are_all_different() -> None:
    pytest.importorskip("torch")
    assert len({get(name).name for name in NAMES}) == len(NAMES)


def test_the_mistakes_of_the_tutorials_are_there() -> None:
    names = {get(name).name for name in ("lemming", "mole", "squirrel", "sheep", "goldfish", "bat")}
    assert names == {
        "the step of four values",
        "max over s instead of s'",
        "a missing -Q(s, a)",
        "pure argmax without exploration",
        "V without the future",
        "a class index used as a state",
    }


def check_the_contract(name: str, seed: int) -> None:
    """With the bug the number lies on its side, mended it is sound, and all else looks well in both."""
    need(name)
    bug = get(name)
    ill, sound = found(name, seed), found(name, seed, mended=True)
    assert bug.tell.shows(ill), f"{name}, seed {seed}: {bug.tell.number} = {ill[bug.tell.number]}"
    assert bug.tell.is_sound(sound), f"{name}, seed {seed}, mended: {bug.tell.number} = {sound[bug.tell.number]}"
    assert not bug.tell.is_sound(ill)
    assert not bug.unhealthy(ill), f"{name}, seed {seed}: {bug.unhealthy(ill)}"
    assert not bug.unhealthy(sound), f"{name}, seed {seed}, mended: {bug.unhealthy(sound)}"
    assert ill.keys() == sound.keys()


@pytest.mark.parametrize("name", NAMES)
def test_the_number_gives_it_away_and_all_else_looks_well(name: str) -> None:
    check_the_contract(name, SEEDS[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", SEEDS[1:])
def test_so_it_is_with_five_seeds(name: str, seed: int) -> None:
    check_the_contract(name, seed)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_repeats_itself_in_finite_numbers(name: str) -> None:
    need(name)
    first = found(name, 0)
    assert first == run(name, 0)
    json.dumps(first)
    numbers = np.concatenate([np.ravel(value) for value in first.values()])
    assert np.isfinite(numbers).all()


@pytest.mark.parametrize("name", QUICK)
def test_where_the_claim_is_that_the_return_rises_it_rises(name: str) -> None:
    bug = get(name)
    if "return rises" in bug.symptom:
        assert bug.healthy["rise"][0] > 0.0
        assert found(name, 0)["rise"] > 0.0
    assert bug.healthy, "an exhibit without a healthy number is no silent bug"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_short_and_gives_nothing_away_above_its_spoiler_line(name: str) -> None:
    need(name)
    bug, text = get(name), text_of(name)
    assert 40 <= len(text.splitlines()) <= 100
    assert text.count(SPOILER) == 1
    program = source(name)
    assert SPOILER not in program
    for spoiler in ("mended", "BUG", "Tell", "type: ignore", bug.name, bug.explanation[:40]):
        assert spoiler not in program, spoiler
    assert not re.search(r"bug|wrong way|mistake|faulty", ast.get_docstring(ast.parse(program)) or "", re.IGNORECASE)
    compile(program, name, "exec")


@pytest.mark.parametrize("name", NAMES)
def test_the_twin_replaces_one_function_and_differs_from_it(name: str) -> None:
    need(name)
    bug = get(name)
    module: Any = inspect.getmodule(bug.mended)
    faulty = getattr(module, bug.faulty)
    assert bug.faulty in functions(source(name))
    assert [*inspect.signature(faulty).parameters] == [*inspect.signature(bug.mended).parameters]
    assert functions(cure(name)) != {bug.faulty: functions(source(name))[bug.faulty]}
    assert [*functions(cure(name))] == [bug.faulty]
    assert "run" in functions(source(name))


def test_running_a_mended_exhibit_leaves_the_exhibit_alone() -> None:
    run("mole", 0, mended=True)
    assert run("mole", 0) == found("mole", 0)
    assert run("mole", 0) != found("mole", 0, mended=True)
    assert get("mole").mended.__name__ == "mended"


def test_the_koalas_optimum_is_that_of_the_exact_solver() -> None:
    from textgym.course.zoo.programs.koala import BETA

    soft = solve("TextGen-v0", level="tiny", temperature=BETA).soft  # type: ignore[union-attr]
    assert soft is not None
    assert found("koala", 0)["optimum"] == pytest.approx(soft.objective, abs=1e-9)


# ---- the record of a bug --------------------------------------------------------------------------------------------


def test_a_tell_knows_both_sides() -> None:
    above = Tell(number="n", sound=(0.0, 1.0), side="above", meaning="")
    below = Tell(number="n", sound=(0.0, 1.0), side="below", meaning="")
    table = [
        (tell.shows({"n": value}), tell.is_sound({"n": value})) for tell in (above, below) for value in (-1, 0, 1, 2)
    ]
    assert table == [
        *[(False, False), (False, True), (False, True), (True, False)],
        *[(True, False), (False, True), (False, True), (False, False)],
    ]


def test_a_bug_with_an_empty_range_is_refused() -> None:
    tell = Tell(number="n", sound=(1.0, 0.0), side="above", meaning="")
    with pytest.raises(ConfigurationError, match="sound="):
        Bug(
            symptom="", tell=tell, healthy={}, chart=Chart(series="s", across="", up=""), name="", faulty="",
            mended=print, explanation="",
        )  # fmt: skip


def test_an_unknown_exhibit_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="hamster"):
        get("hamstr")


# ---- pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hamster", "mole", "pigeon"])
def test_a_picture_shows_both_runs(name: str) -> None:
    drawn = draw(get(name), "A title", {"as it is": found(name, 0), "mended": found(name, 0, mended=True)})
    root = ElementTree.fromstring(drawn)
    words = [element.text for element in root.iter() if element.text]
    assert root.tag.endswith("svg")
    assert {"A title", "as it is", "mended"} <= {word.strip() for word in words}
    assert root.get("aria-label")
    if get(name).chart.reference_label:
        assert get(name).chart.reference_label in words


def test_bars_stand_on_zero_and_are_as_high_as_their_numbers() -> None:
    root = ElementTree.fromstring(bar_chart({"a": [1.0, -2.0]}, ["x", "y"], title="T", up="u"))
    bars = [rect for rect in root.iter() if rect.tag.endswith("rect") and len(rect)]
    top, bottom = (float(bars[0].attrib["y"]), float(bars[1].attrib["y"]))
    heights = [float(bar.attrib["height"]) for bar in bars]
    assert heights[1] == pytest.approx(2 * heights[0], rel=0.01)
    assert top + heights[0] == pytest.approx(bottom, abs=0.1)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected 2 heights"):
        bar_chart({"a": [1.0]}, ["x", "y"], title="T", up="u")
    with pytest.raises(ConfigurationError, match="no runs"):
        draw(get("mole"), "T", {})


# ---- checking a submission ------------------------------------------------------------------------------------------

FUTURE = "from __future__ import annotations\n\n"


def test_a_whole_program_that_is_mended_is_recognised() -> None:
    program = source("mole").replace("best = table[state].max()", "best = table[following].max()")
    verdict = checking.check("mole", program)
    assert verdict.mended, verdict.sentences
    assert verdict.changed == ("update",)
    assert len(verdict.numbers) == len(SEEDS)
    assert "max over s" in " ".join(verdict.sentences)


def test_a_function_alone_will_do_and_may_use_the_exhibits_names() -> None:
    verdict = checking.check("koala", FUTURE + cure("koala"))
    assert verdict.mended, verdict.sentences
    verdict = checking.check("koala", cure("koala"))
    assert not verdict.mended
    assert checking.HINT in verdict.sentences


def test_a_change_that_mends_nothing_does_not_pass() -> None:
    program = source("mole").replace("best = table[state].max()", "best = table[state].max() + 0.0")
    verdict = checking.check("mole", program)
    assert not verdict.mended
    assert verdict.sentences[0].startswith("Still ill. Value of the beginning: 0 with seed 0")
    assert "spoiler" not in " ".join(verdict.sentences)
    assert "max over s" not in " ".join(verdict.sentences)


def test_a_file_that_changes_nothing_is_not_run() -> None:
    verdict = checking.check("mole", source("mole").replace("Moves the value", "Nudges the value") + "# a remark\n")
    assert not verdict.mended
    assert verdict.changed == ()
    assert "changes no function" in verdict.sentences[0]


def test_measuring_cannot_be_replaced() -> None:
    fake = source("mole") + '\n\ndef run(seed):\n    return {"value of the beginning": 1.4, "rise": 1.0}\n'
    verdict = checking.check("mole", fake.replace("RATE * (reward", "RATE * 1.0 * (reward"))
    assert not verdict.mended


def test_the_number_alone_is_not_enough() -> None:
    broken = FUTURE + "def generators(seed):\n    return [np.random.default_rng([seed, 9, k]) for k in range(LANES)]\n"
    assert checking.check("parrot", broken).mended  # another way to seed lanes is as good
    still = FUTURE + "def update(table, state, action, reward, following):\n    table[state][action] = 1.4\n"
    verdict = checking.check("mole", still)
    assert not verdict.mended
    assert "something else is not" in verdict.sentences[0]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def update(", "not Python"),
        ("def update(*args):\n    raise ValueError('no idea')\n", "ValueError"),
        ("import os\ndef update(*args):\n    os._exit(0)\n", "does not run"),
        ("def train(seed):\n    return {}, b'', []\n", "does not run"),
    ],
)
def test_what_does_not_run_is_told_in_a_sentence(code: str, said: str) -> None:
    verdict = checking.check("mole", code)
    assert not verdict.mended
    assert said in verdict.sentences[0]


def test_an_endless_submission_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "LIMITS", checking.SandboxLimits(seconds=0.5, gigabytes=4.0))
    verdict = checking.check("mole", "def update(*args):\n    while True:\n        pass\n")
    assert not verdict.mended
    assert "does not run" in verdict.sentences[0]


def test_answers_that_are_no_measurement_are_told_apart() -> None:
    bug = get("mole")
    good = [{"value of the beginning": 1.0, "rise": 1.0} for _ in SEEDS]
    assert checking._is_whole(good, bug)
    for bad in (None, good[:-1], [*good[:-1], 3], [*good[:-1], {"rise": 1.0}], [*good[:-1], {**good[0], "rise": "1"}]):
        assert not checking._is_whole(bad, bug)
    assert not bug.tell.is_sound({"value of the beginning": math.nan})


# ---- the command ----------------------------------------------------------------------------------------------------


def invoke(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["zoo", *words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def test_the_command_lists_every_exhibit_without_naming_its_bug() -> None:
    listed = invoke("list")
    assert all(f"{name} " in listed for name in NAMES)
    assert not any(get(name).name in listed for name in QUICK)
    assert blurb("hamster").startswith("The hamster: ")


def test_the_command_shows_the_program_or_the_spoiler() -> None:
    assert invoke("show", "koala") == source("koala")
    told = invoke("show", "koala", "--spoiler")
    assert "KL divergence the wrong way round" in told
    assert "def pull(" in told


def test_the_command_runs_and_draws(tmp_path: Path) -> None:
    out = tmp_path / "plot.svg"
    told = invoke("run", "pigeon", "--mended", "--out", str(out))
    assert re.search(r"prompts seen +1\.000 +4\.000  <- look at this one", told)
    assert ElementTree.parse(out).getroot().tag.endswith("svg")
    data = json.loads(invoke("run", "pigeon", "--seed", "3", "--json"))
    assert data["as it is"] == run("pigeon", 3)


def test_the_command_checks_and_says_so_by_its_status(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(FUTURE + cure("stag"), encoding="utf-8")
    assert "Found and mended" in invoke("check", "stag", "--submission", str(mine))
    mine.write_text(source("stag"), encoding="utf-8")
    verdict = json.loads(invoke("check", "stag", "--submission", str(mine), "--json", code=1))
    assert verdict["mended"] is False
    with pytest.raises(ConfigurationError, match="cannot be read"):
        invoke("check", "stag", "--submission", str(tmp_path / "none.py"))


# ---- long proofs ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_cure_passes_the_check_as_a_whole_program(name: str) -> None:
    need(name)
    bug, program = get(name), source(name)
    tree = ast.parse(program)
    old = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == bug.faulty)
    segment = ast.get_source_segment(program, old)
    assert segment is not None
    verdict = checking.check(name, program.replace(segment, cure(name).rstrip()))
    assert verdict.mended, verdict.sentences
    assert verdict.changed == (bug.faulty,)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_exhibit_passes_as_it_is(name: str) -> None:
    need(name)
    first = next(iter(functions(source(name))))
    idle = source(name).replace(f"def {first}(", f"def {first}_(").replace(f"class {first}:", f"class {first}_:")
    verdict = checking.check(name, idle + f"\n\n{first} = {first}_\n")
    assert not verdict.mended


@pytest.mark.slow
def test_the_page_and_its_pictures_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "docs"))
    import generate_zoo

    assert generate_zoo.main(["--check"]) == 0


def test_pictures_are_compared_to_a_pixel_and_pages_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "docs"))
    import generate_zoo

    assert generate_zoo.same("a.svg", '<path d="M10 20"/>', '<path d="M11 20.5"/>')
    assert not generate_zoo.same("a.svg", '<path d="M10 20"/>', '<path d="M14 20"/>')
    assert not generate_zoo.same("a.svg", '<path d="M10 20"/>', '<line d="M10 20"/>')
    assert not generate_zoo.same("a.md", "1.0", "1.1")
