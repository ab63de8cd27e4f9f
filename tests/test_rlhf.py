"""The loop from texts to an agent: what it leaves behind, where it goes on, and what it refuses."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from textgym.comparison_files import read_comparisons
from textgym.errors import ConfigurationError, TextGymError
from textgym.feedback.terminal import TerminalGatherer
from textgym.rlhf import Plan, run_loop
from textgym.rlhf.plan import COMPARISONS
from textgym.rlhf.stages import PAIRS

TINY = Plan(pairs=80, algo="q_learning", steps=6_000, env={"level": "tiny"})
EASY = Plan(pairs=300, algo="q_learning", steps=30_000)


def gold_of(round_: Any, split: str = "train") -> float:
    found = round_.result.measure("greedy", split, "gold")
    return float(found.normalized)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    out = tmp_path_factory.mktemp("loop")
    return out, run_loop(replace(EASY, rounds=2), out)


def test_two_rounds_learn_from_all_comparisons_and_show_the_truth(done: tuple[Path, list[Any]]) -> None:
    out, (first, second) = done
    assert (first.seen, second.seen) == (300, 600)
    assert sum(second.choices.values()) == 300
    assert first.fit["held out"]["accuracy"] > 0.5
    assert max(gold_of(first), gold_of(second)) > 0.25  # well above random play, whose gold is 0
    assert second.comparisons[0].policy == "QLearning and mixed"
    numbers = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [row["learned_from"] for row in numbers] == [300, 600]
    assert 0.5 < numbers[0]["agreement_with_gold"] <= 1.0
    page = (out / "report.html").read_text(encoding="utf-8")
    for words in (
        "Proxy and gold",
        "Round 2",
        "Reward model",
        "Gold in training",
        "held out",
        "best prompt-blind text",
    ):
        assert words in page
    assert "<script" not in page


def test_the_same_command_goes_on_where_it_stopped(done: tuple[Path, list[Any]]) -> None:
    out, rounds = done
    before = {path: path.stat().st_mtime_ns for path in sorted(out.rglob("*")) if path.is_file() and path.parent != out}
    said: list[str] = []
    again = run_loop(replace(EASY, rounds=2), out, tell=said.append)
    assert [gold_of(item) for item in again] == [gold_of(item) for item in rounds]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(said) == 7


def test_an_unfinished_stage_is_done_again(tmp_path: Path) -> None:
    run_loop(TINY, tmp_path)
    kept = read_comparisons(tmp_path / "round-1" / COMPARISONS)
    first = (tmp_path / "report.json").read_text(encoding="utf-8")
    (tmp_path / "round-1" / "training" / "run.json").unlink()
    (tmp_path / "report.json").unlink()
    run_loop(TINY, tmp_path)
    assert read_comparisons(tmp_path / "round-1" / COMPARISONS) == kept
    untimed = [{**row, "seconds": None} for row in json.loads(first)]
    assert [{**row, "seconds": None} for row in json.loads((tmp_path / "report.json").read_text())] == untimed


def test_another_plan_is_refused_and_the_field_named(done: tuple[Path, list[Any]]) -> None:
    with pytest.raises(ConfigurationError, match=r"steps was 30000 and is 40000.*--labels .*comparisons\.jsonl"):
        run_loop(replace(EASY, steps=40_000), done[0])


def test_labels_take_the_place_of_annotators(done: tuple[Path, list[Any]], tmp_path: Path) -> None:
    labels = str(done[0] / "round-1" / COMPARISONS)
    (found,) = run_loop(replace(EASY, labels=labels, annotator="terminal"), tmp_path)
    assert found.fit == done[1][0].fit
    assert gold_of(found) == gold_of(done[1][0])
    assert not (tmp_path / "round-1" / PAIRS).exists()


def test_a_reward_model_takes_the_place_of_everything_before(done: tuple[Path, list[Any]], tmp_path: Path) -> None:
    (found,) = run_loop(replace(EASY, reward=str(done[0] / "round-1" / "model")), tmp_path)
    assert gold_of(found) == gold_of(done[1][0])
    assert (found.seen, found.fit) == (0, {})
    assert "–" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_classifier_takes_the_place_of_everything_before(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tiny_models import save_bert

    folder = save_bert(tmp_path / "classifier", ("bad", "good"))
    reward = {"name": str(folder), "label": "good", "output": "log_odds"}
    (found,) = run_loop(replace(TINY, steps=600, reward=reward), tmp_path / "out")
    assert found.result.reward_calls > 50
    assert str(folder) in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_an_agent_of_ones_own_writes_in_the_second_round_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from textgym.agents.q_learning import QLearning\n\n\nclass Mine(QLearning):\n    pass\n"
    (tmp_path / "an_agent_of_mine.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    plan = replace(TINY, algo="an_agent_of_mine:Mine", rounds=2, pairs=20, steps=600)
    _, second = run_loop(plan, tmp_path / "out")
    assert second.seen == 40
    assert second.comparisons[0].policy == "Mine and mixed"


def test_somebody_at_the_terminal_may_stop_early(tmp_path: Path) -> None:
    answers = iter([*"1212t12121" * 4, "q"])
    person = TerminalGatherer(lambda _: next(answers), lambda _: None)
    (found,) = run_loop(replace(TINY, annotator="terminal"), tmp_path, gatherer=person)
    assert found.seen == 40
    assert found.choices["tie"] == 4


def test_more_judgements_mean_another_model_and_agent(tmp_path: Path) -> None:
    plan = replace(TINY, annotator="terminal", pairs=40, steps=600)

    def person(*answers: str) -> TerminalGatherer:
        given = iter(answers)
        return TerminalGatherer(lambda _: next(given), lambda _: None)

    def learned() -> int:
        card = json.loads((tmp_path / "round-1" / "model" / "card.json").read_text(encoding="utf-8"))
        return int(card["data"]["judgements"])

    (first,) = run_loop(plan, tmp_path, gatherer=person(*"121212121212q"))
    assert (first.seen, learned()) == (12, 12)
    (second,) = run_loop(plan, tmp_path, gatherer=person(*"12" * 14))
    assert (second.seen, learned()) == (40, 40)
    assert second.result.curve != first.result.curve
    training = tmp_path / "round-1" / "training" / "run.json"
    before = training.stat().st_mtime_ns
    run_loop(plan, tmp_path, gatherer=person())
    assert training.stat().st_mtime_ns == before


def test_an_interruption_at_the_terminal_keeps_what_was_judged(tmp_path: Path) -> None:
    given = iter("12t12")

    def ask(_: str) -> str:
        answer = next(given, None)
        if answer is None:
            raise KeyboardInterrupt
        return answer

    with pytest.raises(KeyboardInterrupt):
        run_loop(replace(TINY, annotator="terminal"), tmp_path, gatherer=TerminalGatherer(ask, lambda _: None))
    assert [item.choice for item in read_comparisons(tmp_path / "round-1" / COMPARISONS)] == [
        "left", "right", "tie", "left", "right",
    ]  # fmt: skip


def test_a_label_database_takes_the_place_of_annotators(tmp_path: Path) -> None:
    from textgym.factory import EnvFactory
    from textgym.feedback.founding import found_project

    tiny = {"level": "tiny"}
    with found_project(tmp_path / "labels.sqlite", EnvFactory("TextGen-v0", tiny), "mixed", pairs=30) as store:
        ann = store.add_annotator("Ann").id
        while (task := store.next_task(ann)) is not None:
            store.judge(ann, task.id, "left" if len(task.left) > len(task.right) else "right")
        judged = sum(not item.metadata["repeat"] for item in store.comparisons())
    plan = replace(TINY, labels=str(tmp_path / "labels.sqlite"), steps=600)
    (found,) = run_loop(plan, tmp_path / "out")
    assert found.seen == judged == 30
    with pytest.raises(ConfigurationError, match="name the environment in which the texts were written"):
        run_loop(replace(plan, env={"level": "hard"}), tmp_path / "hard")


@pytest.mark.parametrize(
    "change",
    [
        {"model": "ngrams"},
        {"algo": "q_lerning"},
        {"config": {"learning_rat": 0.1}},
        {"env": {"levle": "tiny"}},
        {"reward": "nowhere"},
    ],
)
def test_what_cannot_work_is_said_before_anybody_is_asked(change: dict[str, Any], tmp_path: Path) -> None:
    def ask(_: str) -> str:
        raise AssertionError("nobody may be asked")

    with pytest.raises(TextGymError):
        run_loop(replace(TINY, **change), tmp_path / "out", gatherer=TerminalGatherer(ask, lambda _: None))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annotator": "crowd"}, "Known: browser, simulated, terminal"),
        ({"pairs": 1}, "pairs=1: expected at least 2"),
        ({"rounds": 0}, "rounds=0"),
        ({"reward": "x", "rounds": 2}, "leave labels and rounds out"),
        ({"env": {"reward": "reviews"}}, "as reward= of the loop"),
        ({"env": {"levle": "tiny"}}, "level"),
        ({"annotator": "terminal"}, "pass gatherer="),
        ({"labels": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"model": "ngrams"}, "ngram"),
        ({"algo": "q_lerning"}, "q_learning"),
        ({"env_id": "TextGen/Copy-v0", "env": {}}, "no gold score"),
    ],
)
def test_what_cannot_work_is_said(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(TextGymError, match=said):
        run_loop(replace(TINY, **change), tmp_path)


def test_a_browser_judges_through_the_server(tmp_path: Path) -> None:
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("fastapi")
    from textgym.rlhf.people import label_server

    plan, links = replace(TINY, annotator="browser", pairs=12), list[str]()
    with label_server(plan, tmp_path, port=0, tell=links.append) as gatherer:
        worker = threading.Thread(target=_answer, args=(httpx, links[0].split()[-1], lambda: gatherer.pending))
        gatherer.pause = 0.05
        worker.start()
        (found,) = run_loop(plan, tmp_path, gatherer=gatherer)
        worker.join(timeout=60)
    assert sum(found.choices.values()) == 12
    assert {item.annotator for item in found.comparisons} == {"annotator 1"}


def _answer(httpx: Any, link: str, pending: Callable[[], int]) -> None:
    """Whoever opens the link and says left until nothing is left to say."""
    origin = link.partition("/a/")[0]
    with httpx.Client(base_url=origin, headers={"Origin": origin}, follow_redirects=True) as browser:
        assert browser.get(link).status_code == 200
        deadline = time.monotonic() + 60
        while pending() or time.monotonic() < deadline:
            task = browser.get("/task").json()["card"]["task"]
            if task:
                vote = {"task": task, "choice": "left", "seconds": 1.0}
                assert browser.post("/judgements", json=vote).status_code == 200
            elif not pending():
                return
