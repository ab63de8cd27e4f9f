"""The lab hour: groups, the handout, and the whole of it with simulated students over HTTP."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("segno")

import lab_class
from lab_class import TASTES, Student, fill_the_room, teach, why_no_namespace
from labelling import LOCAL, port_of
from stores import make_store, vote
from typer.testing import CliRunner

from textgym.cli import app
from textgym.comparisons import Comparison
from textgym.course.lab import _like_others, folder_name
from textgym.course.lab_groups import NO_GROUP, find_groups, read_groups, write_groups
from textgym.course.lab_handout import draw_handout
from textgym.errors import ConfigurationError
from textgym.feedback.joining import Joining
from textgym.feedback.quality import Share
from textgym.feedback.server import find_socket
from textgym.feedback.store import Store
from textgym.preference_models import RewardModel

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "course" / "lab_hour.md"


def textgym(*words: str | Path) -> list[str]:
    """Runs the command in this process; a mistake is raised."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


# ---- groups --------------------------------------------------------------------------------------------------------


def test_names_tell_the_groups() -> None:
    groups = find_groups(["Red : Cy", "blue: Bo", "Blue:Ann", "Dee", ": Eve"])
    assert groups == {"blue": ["Blue:Ann", "blue: Bo"], NO_GROUP: [": Eve", "Dee"], "red": ["Red : Cy"]}


def test_a_file_of_groups_comes_back_as_it_was(tmp_path: Path) -> None:
    groups = {"-a": ["'=2", "=1+1", 'Bo "B", Jr'], "b": ["Cy"]}
    (tmp_path / "groups.csv").write_text(write_groups(groups), encoding="utf-8")
    assert find_groups(["Cy", "=1+1", 'Bo "B", Jr', "'=2"], tmp_path / "groups.csv") == groups
    assert all(not line.startswith(("=", "-")) for line in write_groups(groups).splitlines())


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_spreadsheet_may_separate_columns_as_it_likes(mark: str, tmp_path: Path) -> None:
    rows = [["seat", "Name", "GROUP"], ["1", "Ann", " Blue "], ["2", "Bo", "red"], ["", "", ""]]
    (tmp_path / "g.csv").write_text("\ufeff" + "\r\n".join(mark.join(row) for row in rows), encoding="utf-8")
    assert read_groups(tmp_path / "g.csv") == {"Ann": "blue", "Bo": "red"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a CSV file"),
        ("who,team\nAnn,blue\n", "expected columns called name and group"),
        ("name,group\nAnn,\n", "row 2: .* has no group"),
        ("name,group\nAnna,blue\nBo,red\n", "'Ann' has judged and has no group. Did you mean 'Anna'"),
    ],
)
def test_groups_that_do_not_fit_are_refused(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "g.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        find_groups(["Ann", "Bo"], tmp_path / "g.csv")


# ---- the handout ---------------------------------------------------------------------------------------------------


def test_the_handout_has_address_code_and_rules(tmp_path: Path) -> None:
    with make_store(tmp_path / "lab.sqlite", guidelines="Which is <kinder>?") as store:
        out = tmp_path / "handout.html"
        textgym("lab", "handout", store.path, "--public-url", "http://192.168.1.5:8000/", "--out", out)
        code, page = Joining(store).code(), out.read_text(encoding="utf-8")
    assert len(code) == 6
    assert f">{code}<" in page
    assert "http://192.168.1.5:8000/join<" in page
    assert "Which is &lt;kinder&gt;?" in page
    assert "<script" not in page
    (picture,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', page)
    assert b"<svg" in base64.b64decode(picture)
    assert not re.search(r"(?:src|href)=.(?!data:)", page)


def test_without_an_address_there_are_lines_to_write_on() -> None:
    page = draw_handout()
    assert page.count('class="blank"') == 3
    assert "<img" not in page


def test_the_handout_of_the_docs_is_what_the_command_writes() -> None:
    assert (PAGE.parent / "handout.html").read_text(encoding="utf-8") == draw_handout()


def test_a_closed_join_page_leaves_the_code_blank(tmp_path: Path) -> None:
    with make_store(tmp_path / "lab.sqlite") as store:
        Joining(store).end()
        lines = textgym("lab", "handout", store.path, "--out", tmp_path / "handout.html")
    assert "closed" in lines[0]
    assert (tmp_path / "handout.html").read_text(encoding="utf-8") == draw_handout()


def test_a_wrong_address_is_not_printed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected the address that the class will type"):
        textgym("lab", "handout", "--public-url", "192.168.1.5:8000/join", "--out", tmp_path / "handout.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_handout_is_one_page(tmp_path: Path) -> None:
    from chromium import find_chromium

    url, long = "http://very-long-name.of-a-machine.department.university.example:8000", "Which one is kinder? " * 60
    page, printed = tmp_path / "handout.html", tmp_path / "handout.pdf"
    page.write_text(draw_handout(url, "ABCDEF", long), encoding="utf-8")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-pdf-header-footer",
        f"--user-data-dir={tmp_path / 'p'}",
    ]
    subprocess.run([find_chromium(), *flags, f"--print-to-pdf={printed}", page.as_uri()], check=True, timeout=120)
    assert len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) == 1


# ---- the report ----------------------------------------------------------------------------------------------------


def test_nobody_has_judged_yet(tmp_path: Path) -> None:
    make_store(tmp_path / "lab.sqlite").close()
    with pytest.raises(ConfigurationError, match="nobody has judged yet"):
        textgym("lab", "report", tmp_path / "lab.sqlite", "--out", tmp_path / "lab")


def test_agreement_with_other_groups_counts_pairs_of_judgements_across() -> None:
    def said(pair: str, annotator: str, choice: Any, *, swapped: bool = False, repeat: bool = False) -> Comparison:
        return Comparison(
            prompt="p", left="a", right="b", choice=choice, pair=pair, annotator=annotator, swapped=swapped,
            metadata={"repeat": repeat},
        )  # fmt: skip

    votes = [
        said("1", "ann", "left"), said("1", "bo", "left"), said("1", "cy", "right", swapped=True),
        said("1", "dee", "tie"), said("2", "ann", "tie"), said("2", "bo", "left"), said("3", "cy", "left"),
        said("1", "ann", "right", repeat=True),
    ]  # fmt: skip
    # ann agrees with bo and with cy, who saw the pair the other way round, and with nobody else: 2 of 3 and 0 of 1.
    assert _like_others(votes, {"ann"}) == Share(2, 4)
    assert _like_others(votes, {"ann", "bo"}) == Share(2, 4)  # each with cy, neither with dee; the rest is inside
    assert _like_others(votes, {"ann", "bo", "cy", "dee"}) == Share(0, 0)


def test_groups_have_folders_of_their_own() -> None:
    names = ["blue", "light blue", "light-blue", "a.b", "a/b", "..", "\u84dd", "\u7ea2"]
    folders = {folder_name(name) for name in names}
    assert len(folders) == len(names)
    assert all(re.fullmatch("[a-z0-9-]+", folder) for folder in folders)


def test_a_group_with_few_judgements_does_not_stop_the_others(tmp_path: Path) -> None:
    db, out = tmp_path / "lab.sqlite", tmp_path / "lab"
    textgym("label", "create", db, "--policy", "mixed", "--pairs", "60", "--overlap", "2")
    with Store(db) as store, store.together():
        for name, most in (("blue: Ann", 40), ("red: Bo", 4)):
            person = store.add_annotator(name)
            for number in range(most // 2):
                vote(store, person.id, "left" if number % 2 else "right", most=2)
    words = ["lab", "report", db, "--out", out, "--steps", "2000"]
    lines = textgym(*words)
    found = json.loads((out / "lab.json").read_text(encoding="utf-8"))
    assert [(group["name"], bool(group["problem"])) for group in found["groups"]] == [
        ("blue", False),
        ("red", True),
        ("the whole class", False),
    ]
    assert "too few" in next(line for line in lines if line.startswith("red"))
    page = (out / "lab.html").read_text(encoding="utf-8")
    assert "too few" in page
    assert "<script" not in page
    before = (out / "blue" / "round-1" / "training" / "run.json").stat().st_mtime_ns
    (tmp_path / "groups.csv").write_text("name,group\nblue: Ann,<b>\nred: Bo,<b>\n", encoding="utf-8")
    assert textgym(*words)
    assert (out / "blue" / "round-1" / "training" / "run.json").stat().st_mtime_ns == before  # not trained again
    lines = textgym(*words[:3], "--groups", tmp_path / "groups.csv", "--out", tmp_path / "other", "--steps", "2000")
    assert "&lt;b&gt;" not in (tmp_path / "other" / "lab.html").read_text(encoding="utf-8")  # one group: the class
    assert [line.split(":")[0] for line in lines][-2:] == ["the whole class", "report"]


# ---- the whole hour ------------------------------------------------------------------------------------------------


def check_hour(folder: Path, found: dict[str, Any], students: int) -> None:
    """Everything is there, and the groups' tastes show in their agents' texts."""
    assert len(found["saved"]) == students
    assert min(found["saved"]) > 0
    with Store(folder / "lab.sqlite") as store:
        assert len(store.judgements()) == sum(found["saved"])
        assert {person.name for person in store.annotators() if person.role == "annotator"} == {
            Student(number).name for number in range(students)
        }
    assert "Krippendorff" in (folder / "lab" / "agreement.md").read_text(encoding="utf-8")
    numbers = json.loads((folder / "lab" / "lab.json").read_text(encoding="utf-8"))
    groups = {group["name"]: group for group in numbers["groups"]}
    assert list(groups) == [*sorted(TASTES), "the whole class"]
    for name, group in groups.items():
        assert group["problem"] == ""
        assert len(group["texts"]) > 0
        place = folder / "lab" / name.replace(" ", "-") / "round-1"
        assert RewardModel.load(place / "model").kind == "ngram"
        assert (place / "training" / "agent" / "agent.json").is_file()
    lengths = {name: mean_length(group["texts"]) for name, group in groups.items()}
    assert lengths["brief"] < lengths["chatty"]
    likes = numbers["likes"]
    assert likes[0][0] > likes[1][0]  # the brief group's model likes its own agent better than the chatty one's
    assert likes[1][1] > likes[0][1]
    assert found["code"] in (folder / "handout.html").read_text(encoding="utf-8")


def mean_length(texts: list[dict[str, str]]) -> float:
    return sum(len(text["completion"].split()) for text in texts) / len(texts)


def visit_from_here(url: str, students: int, votes: int) -> Callable[[str], list[int]]:
    return lambda code: fill_the_room(url, code, students, votes)


def free_url() -> str:
    with find_socket(LOCAL, 0) as bound:
        return f"http://{LOCAL}:{port_of(bound)}"


no_signals = pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C for one process on Windows")


@no_signals
def test_an_hour_with_six_students(tmp_path: Path) -> None:
    url = free_url()
    found = teach(tmp_path, url, pairs=60, steps=20_000, visit=visit_from_here(url, 6, 40), command=textgym)
    check_hour(tmp_path, found, 6)


@pytest.mark.slow
@no_signals
def test_an_hour_with_thirty_students(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = free_url()
    found = teach(tmp_path, url, pairs=150, steps=100_000, visit=visit_from_here(url, 30, 30))
    check_hour(tmp_path, found, 30)
    tell(capsys, found, "127.0.0.1")


@pytest.mark.slow
def test_an_hour_with_thirty_students_on_a_network_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if why := why_no_namespace():
        pytest.skip(f"no network namespaces here: {why}")
    script = [sys.executable, lab_class.__file__, "--folder", str(tmp_path), "--students", "30", "--votes", "30"]
    subprocess.run(["unshare", "-rn", *script], check=True, timeout=600)
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    check_hour(tmp_path, found, 30)
    tell(capsys, found, f"{lab_class.SERVER}, a network namespace away")


def tell(capsys: pytest.CaptureFixture[str], found: dict[str, Any], where: str) -> None:
    with capsys.disabled():
        print(
            f"\n30 students at {where}: {sum(found['saved'])} answers in {found['labelling']:.0f} s, "
            f"the report in {found['report']:.0f} s"
        )
