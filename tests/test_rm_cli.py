"""``textgym rm``, as a user types it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from judging import judged
from typer.testing import CliRunner, Result

from textgym.cli import app
from textgym.comparison_files import write_comparisons
from textgym.errors import TextGymError
from textgym.feedback.pairs import Pair
from textgym.preference_models import RewardModel


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def rm(*words: str) -> Result:
    """Runs a command; a user's mistake is raised as it is."""
    return CliRunner().invoke(app, ["rm", *words], catch_exceptions=False)


@pytest.mark.parametrize(("name", "form"), [("own.jsonl", "jsonl"), ("trl.jsonl", "trl"), ("arena.csv", "arena")])
def test_train_and_report_on_files(name: str, form: str) -> None:
    write_comparisons(name, judged(300), form=form)
    write_comparisons("fresh.jsonl", judged(200, seed=1))
    trained = rm("train", name, "--out", "model")
    assert trained.exit_code == 0, trained.output
    assert "300 judgements" in trained.output
    assert "1 held-out prompt (" in trained.output
    assert "--set reward=model" in trained.output
    report = rm("report", "model", "fresh.jsonl", "--svg", "calibration.svg")
    assert report.exit_code == 0, report.output
    assert "200 judgements" in report.output
    assert "accuracy at most" in report.output
    assert Path("calibration.svg").read_text(encoding="utf-8").startswith("<svg")
    found = json.loads(rm("report", "model", "fresh.jsonl", "--json").output)
    assert found["measures"]["accuracy"] > 0.6


def test_train_on_a_label_database() -> None:
    store = pytest.importorskip("textgym.feedback.store")
    projects = pytest.importorskip("textgym.feedback.projects")
    with store.Store.create(Path("labels.sqlite"), projects.Project(env_id="TextGen-v0")) as desk:
        said = judged(60)
        rows = enumerate(said)
        desk.add_pairs([Pair(id=str(n), prompt=c.prompt, first=c.left, second=c.right, first_ids=c.left_ids,
                             second_ids=c.right_ids) for n, c in rows])  # fmt: skip
        ann = desk.add_annotator("Ann")
        for number in range(40):
            task = desk.next_task(ann.id)
            desk.judge(ann.id, task.id, "tie" if number % 10 == 0 else "left" if len(task.left) > 9 else "right")
        asked = [item for item in desk.comparisons() if not item.metadata["repeat"]]
    assert 30 < len(asked) < 40  # a repeat says something about the annotator and would count twice
    trained = rm("train", "labels.sqlite", "--out", "model", "--holdout", "0")
    assert trained.exit_code == 0, trained.output
    card = RewardModel.load("model").card
    ties = sum(item.choice == "tie" for item in asked)
    assert (card["data"]["judgements"], card["data"]["ties"]) == (len(asked), ties)


def test_simulated_comparisons_an_ensemble_and_another_environment() -> None:
    words = ["train", "--simulate", "200", "--ensemble", "3", "--set", "level=tiny", "--fit", "penalty=5", "--no-refit"]
    trained = rm(*words, "--out", "models/tiny", "--seed", "4")
    assert trained.exit_code == 0, trained.output
    assert "one prompt alone" in trained.output
    model = RewardModel.load("models/tiny")
    assert model.card["env_kwargs"] == {"level": "tiny"}
    assert model.card["settings"]["penalty"] == 5
    assert not model.card["split"]["refitted"]
    assert len(model.places) == 3
    report = rm("report", "models/tiny", "--simulate", "200", "--aggregate", "worst")
    assert report.exit_code == 0, report.output
    assert "ngram of 3 members, worst" in report.output
    assert "best of four" in report.output


def test_a_network_from_the_command_line() -> None:
    pytest.importorskip("torch")
    trained = rm("train", "--simulate", "60", "--model", "mlp", "--fit", "epochs=1", "--out", "model")
    assert trained.exit_code == 0, trained.output
    assert RewardModel.load("model").kind == "mlp"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["train"], "a file, or --simulate NUMBER"),
        (["train", "x.jsonl", "--simulate", "5"], "not both"),
        (["train", "missing.jsonl"], "does not exist"),
        (["train", "model.pt"], "expected a file of comparisons"),
        (["train", "--simulate", "20", "--model", "nrgam"], "Did you mean 'ngram'"),
        (["train", "--simulate", "20", "--fit", "epoch=3"], "Did you mean 'epochs'"),
        (["train", "--simulate", "20", "--set", "levl=tiny"], "Did you mean 'level'"),
        (["train", "--simulate", "20", "--out", "full"], "is not replaced"),
        (["train", "--labels", "texts.csv", "--simulate", "20"], "leave out comparisons"),
        (["report", "missing", "--simulate", "20"], "is no reward model"),
        (["report", "model.pt", "--simulate", "20"], "looks like a pickle"),
    ],
)
def test_mistakes_are_said(words: list[str], what: str) -> None:
    Path("model.pt").write_bytes(pickle.dumps({}))
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("years", encoding="utf-8")
    with pytest.raises(TextGymError, match=what):
        rm(*words)
    assert [path.name for path in Path("full").iterdir()] == ["thesis.txt"]


def test_labelled_texts_make_a_classifier() -> None:
    pytest.importorskip("transformers")
    rows = [f"{word} film number {number},{label}" for word, label in (("great", "good"), ("awful", "bad"))
            for number in range(30)]  # fmt: skip
    Path("texts.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    small = ["--fit", "epochs=2", "--fit", "width=16", "--fit", "layers=1", "--fit", "heads=2"]
    trained = rm("train", "--labels", "texts.csv", "--model", "tiny", "--out", "classifier", *small)
    assert trained.exit_code == 0, trained.output
    assert Path("classifier/config.json").is_file()
    assert "accuracy" in trained.output


def test_a_database_says_in_which_environment_its_texts_were_written() -> None:
    from textgym.factory import EnvFactory
    from textgym.feedback.founding import found_project

    with found_project("labels.sqlite", EnvFactory("TextGen-v0", {"level": "hard"}), "mixed", pairs=40) as store:
        ann = store.add_annotator("Ann").id
        while (task := store.next_task(ann)) is not None:
            store.judge(ann, task.id, "left" if len(task.left) > len(task.right) else "right")
    assert rm("train", "labels.sqlite", "--out", "model").exit_code == 0
    card = RewardModel.load("model").card
    assert (card["env_id"], card["env_kwargs"]) == ("TextGen-v0", {"level": "hard"})
    told = "name the environment in which the texts were written"
    with (
        pytest.warns(UserWarning, match="outside the vocabulary"),
        pytest.raises(TextGymError, match=told),
    ):
        rm("train", "labels.sqlite", "--set", "level=medium", "--out", "other")
    with pytest.raises(TextGymError, match="unknown kind of reward model"):
        rm("train", "nowhere.jsonl", "--model", "ngrm", "--out", "other")
