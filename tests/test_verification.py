"""Replayed policies, and records that were edited, are incomplete or cannot be."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from textgym.agents.q_learning import QLearning
from textgym.benchmarks import ledger_file
from textgym.benchmarks.comparison import compare
from textgym.benchmarks.consistency import differing_fields, impossible_numbers
from textgym.benchmarks.ledger import read_results
from textgym.benchmarks.records import RunResult
from textgym.benchmarks.suites import Entry, Suite
from textgym.benchmarks.verification import FLAGGED, UNVERIFIED, VERIFIED, read_verdicts, verify
from textgym.cli import app
from textgym.errors import ConfigurationError

SUITE = Suite(
    name="small",
    title="Small",
    entries=(
        Entry(agent="uniform", steps=500, env={"level": "tiny"}),
        Entry(agent="q_learning", steps=2000, env={"level": "tiny"}),
    ),
    seeds=(0,),
    episodes=20,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "runs"
    assert [result.status for result in compare(SUITE, out, processes=0)] == ["ok", "ok"]
    return out


@pytest.fixture
def out(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "runs")


def folder_of(out, agent):
    return next(path for path in out.iterdir() if path.name.startswith(agent))


def forge(out, change, agent="q_learning"):
    """Edits the record of an agent in ledger and folder alike, checksums included."""
    results = read_results(out)
    (out / "ledger.jsonl").unlink()
    for result in results:
        if result.spec.agent == agent:
            change(result)
            (out / result.spec.folder_name / "run.json").write_text(result.to_json() + "\n", encoding="utf-8")
        ledger_file.append(out / "ledger.jsonl", result)


def flagged(out, **how):
    """The problems of q_learning's run; the other run stays verified."""
    found = verify(out, **how)
    assert not found.ok
    (other,) = (check for check in found.checks if check.name.startswith("uniform"))
    assert other.verdict == (VERIFIED if how.get("replay", True) else UNVERIFIED)
    (check,) = (check for check in found.checks if check.name.startswith("q_learning"))
    assert check.verdict == FLAGGED
    return check.problems


def test_an_honest_folder_is_verified(out):
    told = []
    found = verify(out, on_check=told.append)
    assert [check.verdict for check in found.checks] == [VERIFIED, VERIFIED]
    assert [check.notes for check in found.checks] == [(), ()]
    assert found.ok
    assert told == list(found.checks)
    assert set(read_verdicts(out).values()) == {VERIFIED}


class Drawing(QLearning):
    """Draws from a generator that nobody can seed, as a short agent of one's own does."""

    @property
    def seed_sampling(self):
        raise AttributeError("seed_sampling")

    @classmethod
    def load(cls, path):
        agent = super().load(path)
        agent.act_rng = np.random.default_rng(12345)  # not where its training has left it
        return agent


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("drawn") / "runs"
    entry = Entry(agent=f"{__name__}:Drawing", steps=2000, env={"level": "tiny"})
    compare(replace(SUITE, entries=(entry,), episodes=100), out, processes=0)
    return out


def test_sampled_play_that_cannot_be_repeated_is_compared_within_chance(drawn):
    (check,) = verify(drawn, trust=True).checks
    assert (check.verdict, check.problems) == (VERIFIED, ())
    assert any("no seed_sampling(seed), so what it draws cannot be repeated" in note for note in check.notes)


@pytest.mark.parametrize(
    ("play", "errors", "times"), [("sampled", 9.0, 1.0), ("sampled", 20.0, 100.0), ("greedy", 1.0, 1.0)]
)
def test_what_is_no_chance_is_found_all_the_same(drawn, tmp_path, play, errors, times):
    out = shutil.copytree(drawn, tmp_path / "runs")

    def better(result):
        number = next(n for n, measure in enumerate(result.measures) if measure.play == play)
        old = result.measures[number]
        mean = old.mean + errors * max(old.standard_error, 0.01)
        facts = result.references[old.split][old.score]
        normalized = (mean - facts["random"]) / (facts["best"] - facts["random"])
        error = times * old.standard_error  # a forged one is no excuse
        result.measures[number] = replace(old, mean=mean, normalized=normalized, standard_error=error)

    forge(out, better, agent=f"{__name__}:Drawing")
    (check,) = verify(out, trust=True).checks
    assert check.verdict == FLAGGED
    assert any(f"{play} all reward mean was recorded as" in problem for problem in check.problems)


def test_a_measure_that_is_left_out_is_found(drawn, tmp_path):
    out = shutil.copytree(drawn, tmp_path / "runs")
    forge(out, lambda result: result.measures.pop(), agent=f"{__name__}:Drawing")
    (check,) = verify(out, trust=True).checks
    assert check.verdict == FLAGGED


def test_without_a_replay_nothing_is_verified(out):
    found = verify(out, replay=False)
    assert [check.verdict for check in found.checks] == [UNVERIFIED, UNVERIFIED]
    assert found.ok


def edit_mean(result):
    measure = result.measures[0]
    facts = result.references[measure.split][measure.score]
    mean = measure.mean - 0.01
    normalized = (mean - facts["random"]) / (facts["best"] - facts["random"])
    result.measures[0] = replace(measure, mean=mean, normalized=normalized)


def test_a_number_edited_everywhere_is_found_by_the_replay(out):
    forge(out, edit_mean)
    problems = flagged(out)
    assert any(problem.startswith("greedy all reward mean was recorded as ") for problem in problems)
    forge(out, edit_mean)
    assert not impossible_numbers(read_results(out)[1])  # nothing but a replay could have found it


def test_every_measure_is_compared(out):
    count = len(read_results(out)[0].measures)
    assert count == 4
    for number in range(count):
        for name in ("mean", "standard_error", "normalized"):
            copy = shutil.copytree(out, out.with_name(f"copy-{number}-{name}"))

            def change(result, number=number, name=name):
                old = result.measures[number]
                result.measures[number] = replace(old, **{name: getattr(old, name) + 1e-4})

            forge(copy, change)
            assert any(f"{name} was recorded as" in problem for problem in flagged(copy))


def test_edited_texts_and_reference_lines_are_found(out):
    forge(out, lambda result: result.texts["greedy"][0].update(completion="a text that it never wrote"))
    assert "the greedy texts are not those that its policy writes" in flagged(out)

    def lower_the_bar(result):
        for facts in result.references["all"].values():
            facts["best"] -= 0.5

    forge(out, lower_the_bar)
    assert any("references" in problem for problem in flagged(out))


def test_an_edit_in_one_place_is_an_edit(out):
    path = folder_of(out, "q-learning") / "run.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["measures"][0]["mean"] += 0.5
    path.write_text(json.dumps(data), encoding="utf-8")
    assert "run.json and the ledger differ in measures.0.mean" in flagged(out, replay=False)


def test_an_edited_ledger_is_reported(out):
    path = out / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0].replace(b'"episodes": 20', b'"episodes": 21', 1) + lines[1])
    found = verify(out, replay=False)
    assert not found.ok
    assert any("edited after it was written" in problem for problem in found.problems)
    assert any("holds a record that is not in the ledger" in problem for problem in found.problems)


@pytest.mark.parametrize("name", ["config.json", "run.json", "curve.jsonl", "texts.jsonl", "packages.txt",
                                  "machine.json", "exit.json"])  # fmt: skip
def test_missing_files_are_named(out, name):
    (folder_of(out, "q-learning") / name).unlink()
    assert f"{name} is missing" in flagged(out, replay=False)


def test_a_missing_policy_or_folder_is_named(out):
    shutil.rmtree(folder_of(out, "q-learning") / "agent")
    assert "agent is missing" in flagged(out)
    folder = folder_of(out, "q-learning")
    shutil.rmtree(folder)
    assert f"its folder {folder.name} is missing" in flagged(out)


def test_another_policy_is_found(out):
    agent = folder_of(out, "q-learning") / "agent"
    shutil.rmtree(agent)
    shutil.copytree(folder_of(out, "uniform") / "agent", agent)
    assert any("was recorded as" in problem for problem in flagged(out))


def test_a_key_that_does_not_belong_to_its_configuration(out):
    path = folder_of(out, "q-learning") / "config.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["steps"] = 1000
    path.write_text(json.dumps(data), encoding="utf-8")
    assert any("the key does not belong to the configuration" in problem for problem in flagged(out, replay=False))


def test_an_edited_curve_is_found(out):
    path = folder_of(out, "q-learning") / "curve.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"n": ', '"n": 1', 1), encoding="utf-8")
    assert "curve.jsonl is not the curve of its record" in flagged(out, replay=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 2001}, "at most its budget of 2000"),
        ({"episodes": 3000}, "a text has at least one token"),
        ({"measures": []}, "has no measures"),
        ({"status": "failed"}, "recorded as failed and has measures"),
        ({"curve": [{"steps": 4000, "n": 1}]}, "not one over its budget"),
        ({"curve": [{"steps": 1, "n": 10**6}]}, "more texts than it wrote"),
    ],
)
def test_impossible_numbers(finished, change, words):
    result = next(result for result in read_results(finished) if result.spec.agent == "q_learning")
    assert impossible_numbers(result) == []
    for name, value in change.items():
        setattr(result, name, value)
    assert any(words in problem for problem in impossible_numbers(result))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 19}, "19 texts, where 20"),
        ({"normalized": 0.123}, "on the recorded scale"),
        ({"standard_error": -1.0}, "is no mean"),
        ({"mean": 100.0, "normalized": None}, "is no mean"),
        ({"impossible": "far too much"}, "impossible score: far too much"),
    ],
)
def test_impossible_measures(finished, change, words):
    result = next(result for result in read_results(finished) if result.spec.agent == "q_learning")
    if change.get("mean"):  # a score above the best, on the scale and yet not marked
        facts = result.references["all"]["reward"]
        scaled = (100.0 - facts["random"]) / (facts["best"] - facts["random"])
        change, words = {"mean": 100.0, "normalized": scaled}, "not marked as impossible"
    result.measures[0] = replace(result.measures[0], **change)
    assert any(words in problem for problem in impossible_numbers(result))


def test_a_verdict_ends_with_the_record_that_it_was_about(out):
    verify(out)
    path = folder_of(out, "q-learning") / "run.json"
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert list(read_verdicts(out).values()) == [VERIFIED]
    (out / "verification.json").write_text("[1", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="damaged"):
        read_verdicts(out)


def test_folders_of_earlier_versions_are_refused(tmp_path):
    spec = SUITE.specs()[0]
    (tmp_path / "results.jsonl").write_text(RunResult(spec=spec).to_json() + "\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="earlier version"):
        verify(tmp_path)


def test_fields_that_differ():
    before = {"a": [1, 2.0], "b": {"c": "x"}, "d": None}
    assert list(differing_fields(before, {"a": [1, 2.0 + 1e-12], "b": {"c": "x"}, "d": None}, share=1e-9)) == []
    found = [field.path for field in differing_fields(before, {"a": [1, 2.1], "b": {"c": "y"}, "e": 1})]
    assert found == ["a.1", "b.c", "e"]
    assert [field.path for field in differing_fields({"a": [1]}, {"a": [1, 2]})] == ["a"]


def test_the_command_says_what_is_wrong_and_exits_with_one(out):
    run = CliRunner().invoke(app, ["bench", "verify", str(out)])
    assert run.exit_code == 0
    assert "2 verified" in run.output
    forge(out, edit_mean)
    run = CliRunner().invoke(app, ["bench", "verify", str(out)])
    assert run.exit_code == 1
    assert "FLAGGED: q_learning on TextGen-v0(level=tiny), seed 0" in run.output
    assert "1 verified, 1 flagged" in run.output
