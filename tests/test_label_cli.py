"""``textgym label``: the database of a project on the command line."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from stores import PLAIN, make_store, vote
from typer.testing import CliRunner

from textgym.cli import app
from textgym.comparison_files import read_comparisons
from textgym.errors import TextGymError
from textgym.feedback.store import Store


def textgym(*words: str | Path) -> list[str]:
    """Runs the command in this process; a mistake is raised."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_from_texts_to_a_file_of_comparisons(tmp_path: Path) -> None:
    db, guidelines = tmp_path / "labels.sqlite", tmp_path / "guidelines.txt"
    guidelines.write_text("Which one is kinder?\n", encoding="utf-8")
    options = ["--policy", "mixed", "--pairs", "12", "--checks", "2", "--overlap", "2", "--seed", "3"]
    lines = textgym(
        "label", "create", db, *options, "--guidelines", guidelines, "--ask-strength", "--set", "level=easy"
    )
    assert lines == [
        "12 pairs and 2 attention checks; 0 complete",
        "0 of 24 judgements; 0 tasks open",
        f"saved to {db}",
    ]
    links = textgym("label", "invite", db, "Ann", "Bo", "--url", "http://10.0.0.1:8000/")
    assert [re.sub("/a/[-_A-Za-z0-9]{32}$", "/a/TOKEN", line) for line in links] == [
        "Ann  http://10.0.0.1:8000/a/TOKEN",
        "Bo  http://10.0.0.1:8000/a/TOKEN",
    ]
    textgym("label", "invite", db, "Ms Day", "--teacher")
    with Store(db) as store:
        assert store.project.guidelines == "Which one is kinder?\n"
        assert (store.project.env_kwargs, store.project.seed, store.project.ask_strength) == (
            {"level": "easy"},
            3,
            True,
        )
        ann = store.annotator_of(links[0].rsplit("/", 1)[1])
        assert ann is not None
        vote(store, ann.id, "tie", most=3)
        vote(store, ann.id, "right", most=4)
        assert store.undo(ann.id) is not None
        shown = len(store.comparisons())
    lines = textgym("label", "status", db, "--sheet", tmp_path / "sheet")
    assert lines[0].startswith("TextGen-v0, project ")
    assert lines[2].endswith("of 24 judgements; 1 tasks open")
    assert lines[3:5] == [
        "  Ann      6 answers, 0 skipped, 1 undone, 1.5 s each",
        "  Bo       0 answers, 0 skipped, 0 undone",
    ]
    assert "Ann" in (tmp_path / "sheet" / "annotators.csv").read_text(encoding="utf-8")
    assert textgym("label", "export", db, "--out", tmp_path / "labels.jsonl")[0].startswith(f"{shown} comparisons")
    assert [item.choice for item in read_comparisons(tmp_path / "labels.jsonl")] == ["tie"] * 3 + ["right"] * 3
    new = textgym("label", "invite", db, "Ann", "--renew")
    assert new[0].rsplit("/", 1)[1] != links[0].rsplit("/", 1)[1]


def test_export_leaves_repeats_and_checks_to_those_who_want_them(tmp_path: Path) -> None:
    db = tmp_path / "labels.sqlite"
    with make_store(db, 40, repeat_share=0.2) as store, store.together():
        vote(store, store.add_annotator("Ann").id)
        shown = len(store.comparisons())
    assert shown > 45
    lines = textgym("label", "export", db, "--format", "trl", "--out", tmp_path / "trl.jsonl")
    assert lines[0] == "40 comparisons in 40 rows"
    assert lines[1] == f"without {shown - 40} repeats and attention checks (--all keeps them)"
    lines = textgym("label", "export", db, "--format", "arena", "--all", "--out", tmp_path / "arena.csv")
    assert lines[0] == f"{shown} comparisons in {shown} rows"
    lines = textgym("label", "export", db, "--out", tmp_path / "all.jsonl")
    assert lines[0] == f"{shown} comparisons in {shown} rows"


def test_merge_and_import(tmp_path: Path) -> None:
    for name in "ab":
        with make_store(tmp_path / f"{name}.sqlite", 2, **PLAIN) as store:
            vote(store, store.add_annotator(f"person {name}").id)
    out = tmp_path / "out.sqlite"
    lines = textgym("label", "merge", out, tmp_path / "a.sqlite", tmp_path / "b.sqlite")
    assert lines == [
        "new: 2 pairs, 2 annotators, 4 judgements, 0 undone",
        "conflict: the pair 'pair 0' has answers of 2 annotators, 1 were asked for",
        "conflict: the pair 'pair 1' has answers of 2 annotators, 1 were asked for",
        f"saved to {out}",
    ]
    textgym("label", "export", out, "--out", tmp_path / "out.jsonl")
    assert textgym("label", "import", tmp_path / "a.sqlite", tmp_path / "out.jsonl") == ["2 of 4 comparisons are new"]
    assert textgym("label", "import", tmp_path / "a.sqlite", tmp_path / "out.jsonl") == ["0 of 4 comparisons are new"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["create", "a.sqlite"], "'.*a.sqlite' exists already"),
        (["create", "new.sqlite", "--policy", "unifrom"], "Did you mean 'uniform'"),
        (["create", "new.sqlite", "--strategy", "varience"], "Did you mean 'variance'"),
        (["create", "new.sqlite", "--guidelines", "none.txt"], "expected a text file in UTF-8"),
        (["invite", "a.sqlite", "Bo", "Ann"], "there is an annotator 'Ann' already"),
        (["invite", "a.sqlite", "--renew", "An"], "unknown annotator 'An'. Did you mean 'Ann'"),
        (["status", "none.sqlite"], "does not exist; `textgym label create` makes one"),
        (["export", "a.sqlite", "--out", "x.jsonl", "--format", "csv"], "unknown format"),
        (["import", "a.sqlite", "none.jsonl"], "does not exist"),
        (["merge", "a.sqlite", "a.sqlite"], "expected other databases to merge"),
    ],
)
def test_mistakes(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with make_store(tmp_path / "a.sqlite", 2) as store:
        store.add_annotator("Ann")
    with pytest.raises(TextGymError, match=message):
        textgym("label", *words)
    with Store(tmp_path / "a.sqlite") as store:
        assert [person.name for person in store.annotators()] == ["Ann"]  # of several people all or none
    assert not (tmp_path / "new.sqlite").exists()


def test_no_token_is_in_the_file(tmp_path: Path) -> None:
    make_store(tmp_path / "a.sqlite", 2).close()
    token = textgym("label", "invite", tmp_path / "a.sqlite", "Ann")[0].rsplit("/", 1)[1]
    connection = sqlite3.connect(tmp_path / "a.sqlite")
    dump = "\n".join(connection.iterdump())
    connection.close()
    assert "Ann" in dump
    assert token not in dump
