"""What agents counted while they were evaluated is told, whatever it is, and never stops a report."""

from __future__ import annotations

import pytest

from textgym.benchmarks.alarms import alarms_of
from textgym.benchmarks.records import RunResult, RunSpec
from textgym.benchmarks.tally_notes import share, tallies, tally_sentences

SPEC = RunSpec(agent="chat", env_id="TextGen-v0", steps=100, seed=0)


def run(**tally):
    return RunResult(spec=SPEC, status="ok", tally=tally)


def test_runs_of_one_agent_are_added_up():
    runs = [run(answers=50, unparseable=10, requests=7), run(answers=150, unparseable=0), RunResult(spec=SPEC)]
    assert tallies(runs) == {"chat": {"answers": 200, "unparseable": 10, "requests": 7}}
    (sentence,) = tally_sentences(runs)
    assert sentence.startswith("chat: 10 of 200 answers could not be read")
    assert sentence.endswith("(5.0%); 7 requests.")


@pytest.mark.parametrize("tally", [{"illegal": 3}, {"unparseable": 40, "calls": 2}, {"texts": 0, "illegal": 5}])
def test_a_count_without_what_it_is_a_share_of_is_told_and_raises_no_alarm(tally):
    found = run(**tally)
    assert [share(tally, name) for name in ("illegal", "unparseable")] == [0.0, 0.0]
    assert "unread answers" not in {alarm.kind for alarm in alarms_of(found)}
    (sentence,) = tally_sentences([found])
    assert all(f"{count:,}" in sentence for count in tally.values())


def test_many_unread_answers_raise_an_alarm():
    (alarm,) = [alarm for alarm in alarms_of(run(answers=1000, unparseable=300)) if alarm.kind == "unread answers"]
    assert alarm.sentence.startswith("30% of the answers could not be read")


def test_counts_of_several_evaluations_are_added_up():
    result = run()
    for tally in ({"answers": 3, "retries": 1}, {"answers": 4}):
        result.count(tally)
    assert result.tally == {"answers": 7, "retries": 1}
