"""The leaderboard over several tasks: ranks, failures, what cannot be averaged; and the page of a large suite."""

from __future__ import annotations

import re

import pytest
from test_report import Page, make_run

from textgym.benchmarks.alarms import alarms_of, count_alarms
from textgym.benchmarks.ledger import Ledger, write_plan
from textgym.benchmarks.records import RunResult, RunSpec
from textgym.benchmarks.report import render, table_lines
from textgym.benchmarks.report_charts import profile_chart, radar_chart
from textgym.benchmarks.report_overview import MOST_AXES, overview_pictures
from textgym.benchmarks.report_plots import Curve
from textgym.benchmarks.standings import board_of
from textgym.benchmarks.stats import Interval, interquartile_mean
from textgym.benchmarks.suites import Entry, Suite
from textgym.benchmarks.summary import summarize
from textgym.benchmarks.tables import all_tables, leaderboard_table, separated_best, tasks_table

TASKS = ("Copy", "Reverse", "Sort", "Add", "Story")
SEEDS = (0, 1, 2, 3)


def write_suite(out, value_of, *, agents=("good", "bad"), tasks=TASKS, seeds=SEEDS, **how):
    """``value_of(agent, task, seed)``: a value, None for a failed run, or "skip" for one that has not finished."""
    entries = tuple(
        Entry(agent="uniform", steps=1000, label=agent, env_id=f"TextGen/{task}-v0", config={"label": agent})
        for task in tasks
        for agent in agents
    )
    suite = Suite(name="toys", title="Toys", entries=entries, seeds=seeds)
    out.mkdir(exist_ok=True)
    specs = suite.specs()
    write_plan(suite, out, specs)
    ledger = Ledger(out, specs)
    for spec in specs:
        task = spec.env_id.removeprefix("TextGen/").removesuffix("-v0")
        value = value_of(spec.label, task, spec.seed)
        if value == "skip":
            continue
        options = how.get("options", {}).get(task, {})
        result = make_run(spec, value or 0.0, failed=value is None, **options)
        if value is not None:
            result.task = task
        ledger.finished(result)
    return out


def plain(agent, task, seed):
    return {"good": 0.9, "bad": 0.2}[agent] + 0.01 * seed


def test_intervals_do_not_depend_on_the_order_in_which_runs_were_made(tmp_path):
    def noisy(agent, task, seed):
        return {"good": 0.6, "bad": 0.2}[agent] + (len(task) * seed * 7 % 5) / 10

    one = board_of(summarize(write_suite(tmp_path / "one", noisy)))
    other = board_of(summarize(write_suite(tmp_path / "other", noisy, tasks=TASKS[::-1], seeds=SEEDS[::-1])))
    for name in ("score", "mean", "median", "gap"):
        assert [getattr(row, name) for row in one.standings] == [getattr(row, name) for row in other.standings]


def test_agents_are_ranked_over_all_tasks(tmp_path):
    board = board_of(summarize(write_suite(tmp_path, plain)))
    good, bad = board.standings
    assert (good.label, good.rank, good.ranks) == ("good", 1, (1, 1))
    assert (bad.label, bad.rank, bad.ranks) == ("bad", 2, (2, 2))
    scores = [0.9 + 0.01 * seed for seed in SEEDS] * len(TASKS)
    assert good.score.estimate == pytest.approx(float(interquartile_mean(scores)))
    assert good.mean.estimate == pytest.approx(0.915)
    assert good.gap.estimate == pytest.approx(0.085)
    assert good.score.low < good.score.estimate < good.score.high
    assert (good.tasks, good.finished, good.failed, good.left_out) == (5, 20, 0, None)


def test_ranks_that_intervals_do_not_separate_are_shared(tmp_path):
    def noisy(agent, task, seed):
        return [0.1, 0.9, 0.4, 0.6][(seed + (agent == "bad")) % 4]

    ranks = [standing.ranks for standing in board_of(summarize(write_suite(tmp_path, noisy))).standings]
    assert ranks == [(1, 2), (1, 2)]


def test_failed_runs_count_as_random_play_and_are_shown_left_out(tmp_path):
    def flaky(agent, task, seed):
        return None if agent == "good" and task == "Add" else plain(agent, task, seed)

    board = board_of(summarize(write_suite(tmp_path, flaky)))
    good = board.standings[0]
    assert (good.failed, good.finished, good.tasks) == (4, 16, 5)
    assert good.mean.estimate == pytest.approx(0.915 * 4 / 5)
    assert good.left_out.estimate == pytest.approx(0.915, abs=1e-9)
    page = render(summarize(tmp_path))
    assert "4 failed" in page
    table = leaderboard_table(board)
    column = table.columns.index("without failed runs")
    assert {len(row) for row in table.rows} == {len(table.columns)} == {len(table.numeric)}
    assert [row[column].text for row in table.rows if row[1].text == "good"] == ["0.92"]
    assert {row[column].text for row in table.rows if row[1].text != "good"} == {"-"}
    assert "Failed runs are counted and left out of these numbers." in tasks_table(board).notes


def test_nobody_gains_by_crashing(tmp_path):
    def poor(agent, task, seed):
        fails = agent == "crashes" and seed == 0
        return plain("good", task, seed) if agent == "good" else None if fails else -0.3 - 0.1 * seed

    board = board_of(summarize(write_suite(tmp_path, poor, agents=("good", "crashes", "finishes"))))
    means = {standing.label: standing.mean.estimate for standing in board.standings}
    assert means["finishes"] == pytest.approx(-0.45)
    assert means["crashes"] == pytest.approx((-0.4 - 0.5 - 0.6 - 0.6) / 4)


def test_an_agent_without_runs_on_every_task_is_not_ranked(tmp_path):
    def partial(agent, task, seed):
        return "skip" if agent == "good" and task != "Copy" else plain(agent, task, seed)

    board = board_of(summarize(write_suite(tmp_path, partial)))
    assert [(standing.label, standing.rank) for standing in board.standings] == [("bad", 1), ("good", None)]
    assert board.standings[1].unranked == "has runs on 1 of 5 tasks"
    assert any(line == "! good is not ranked: has runs on 1 of 5 tasks." for line in table_lines(tmp_path))


def test_what_nobody_can_earn_is_not_ranked(tmp_path):
    def cheating(agent, task, seed):
        return 1.5 if agent == "good" and task == "Sort" else plain(agent, task, seed)

    out = write_suite(tmp_path, cheating)
    bad, good = board_of(summarize(out)).standings
    assert (bad.rank, good.rank) == (1, None)
    assert good.unranked.startswith("on Sort easy: a normalised reward")
    assert "good is not ranked" in render(summarize(out))


def test_tasks_without_a_scale_are_shown_as_paid_and_not_averaged(tmp_path):
    out = write_suite(tmp_path, plain, options={"Story": {"scaled": False}})
    board = board_of(summarize(out))
    story = next(arena for arena in board.arenas if arena.task == "Story")
    assert not story.scaled
    assert story.cells["good"].interval.estimate == pytest.approx(4 * 0.915 - 2)
    assert board.standings[0].tasks == 4
    assert board.standings[0].mean.estimate == pytest.approx(0.915)
    page = render(summarize(out))
    assert "not part of the averages" in page
    assert "gold <small>as paid</small>" in page


def test_agents_are_judged_by_gold_where_there_is_one_and_by_held_out_prompts(tmp_path):
    out = write_suite(tmp_path, plain, options={"Copy": {"gold": False}})
    board = board_of(summarize(out))
    assert {arena.task: arena.score for arena in board.arenas}["Copy"] == "reward"
    assert {arena.task: arena.score for arena in board.arenas}["Sort"] == "gold"
    assert {arena.prompts for arena in board.arenas} == {"held-out"}


def test_the_page_of_several_tasks_is_whole(tmp_path):
    text = render(summarize(write_suite(tmp_path, plain)))
    page = Page(text)
    assert page.open == []
    assert [url for url in page.urls if not url.startswith("#task-")] == []
    assert len([url for url in page.urls if url.startswith("#task-")]) == len(TASKS)
    for number in range(len(TASKS)):
        assert f"id=task-{number} " in text
    for headline in ("Leaderboard", "Over all tasks", "Task by task", "Cost of a run", "Curves and texts of each task"):
        assert f">{headline}</h2>" in text
    assert "http" not in text
    assert re.search(r"<b>0\.9\d</b>", text)  # the best agent's interval is apart


def test_the_pictures_over_all_tasks(tmp_path):
    summary = summarize(write_suite(tmp_path, plain))
    board = board_of(summary)
    pictures = overview_pictures(board, {"good": 0, "bad": 1})
    assert set(pictures) == {"profiles", "radar", "efficiency"}
    assert "puzzle" in board.tags
    assert "planning" in board.tags
    few = board_of(summarize(write_suite(tmp_path / "few", plain, tasks=("Copy",))))
    assert set(overview_pictures(few, {"good": 0, "bad": 1})) == {"profiles"}


def test_a_tag_that_all_tasks_share_is_no_axis(tmp_path):
    board = board_of(summarize(write_suite(tmp_path, plain, tasks=("Copy", "Reverse", "Sort"))))
    assert board.tags == ["copying", "reversing", "sorting"]
    assert len(board.tags) <= MOST_AXES


def test_a_radar_puts_scores_between_the_middle_and_the_rim():
    picture = radar_chart(["a", "b", "c"], {"x": [0.0, 1.0, None], "y": [2.0, -1.0, 0.5]}, {"x": 0, "y": 1})
    outlines = re.findall(r'<polyline points="([^"]+)" class="curve', picture)[2:]  # after the legend
    x, y = ([tuple(map(float, point.split(","))) for point in outline.split()] for outline in outlines)
    assert len(x) == 3  # two scores, and back to the first
    middle, rim = x[0], x[1]
    assert y[1] == middle  # below random play: in the middle
    length = ((rim[0] - middle[0]) ** 2 + (rim[1] - middle[1]) ** 2) ** 0.5
    assert length == pytest.approx(150.0, abs=0.2)
    assert middle[1] - y[0][1] == pytest.approx(150.0, abs=0.2)  # above the best: at the rim


def test_profiles_name_every_agent_once():
    curves = [
        Curve(label=f"agent {n}", style=n, line=[(0.0, 1.0), (1.0, 0.0)], band=[(0.0, 0.9, 1.0), (1.0, 0.0, 0.1)])
        for n in range(8)
    ]
    picture = profile_chart(curves, [], low=0.0, high=1.0)
    assert all(picture.count(f">agent {n}<") == 1 for n in range(8))
    xs = [float(value) for value in re.findall(r'<text x="([\d.]+)"', picture)]
    assert max(xs) < 560


def test_bold_only_where_intervals_separate():
    apart = {"a": Interval(0.9, 0.8, 1.0, 5), "b": Interval(0.5, 0.4, 0.7, 5), "c": None}
    assert separated_best(apart) == "a"
    assert separated_best({**apart, "b": Interval(0.5, 0.4, 0.85, 5)}) is None
    wide = {**apart, "c": Interval(0.1, -1.0, 0.95, 5)}  # not the second best, and in the way all the same
    assert separated_best(wide) is None
    assert separated_best({"a": Interval(0.9, 0.9, 0.9, 1), "b": Interval(0.5, 0.4, 0.7, 5)}) is None
    assert separated_best({"a": apart["a"]}) is None


def test_the_tables_say_what_the_board_says(tmp_path):
    summary = summarize(write_suite(tmp_path, plain))
    board, tasks, cost = all_tables(summary, board_of(summary))
    assert [entry.text for entry in board.rows[0]][:3] == ["1", "good", "0.92"]
    assert board.rows[0][2].bold
    assert not board.rows[1][2].bold
    assert [row[0].text for row in tasks.rows] == [f"{task} easy" for task in TASKS]
    assert all(
        len(row) == len(table.columns) == len(table.numeric) for table in (board, tasks, cost) for row in table.rows
    )
    assert cost.rows[0][1].text == "1,000"


def a_run(**changes):
    spec = RunSpec(agent="uniform", env_id="TextGen/Copy-v0", steps=1000, seed=0)
    result = RunResult(spec=spec, status="ok", steps=1000, episodes=500, training_split="train")
    for name, value in changes.items():
        setattr(result, name, value)
    return result


def points(**values):
    return [{"steps": 20 * k, "reward": 0.5, "gold": None, "n": 10, "spread": 0.3, "cut": 0.0, "illegal": 0.0, **values}
            for k in range(1, 51)]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"curve": points(cut=0.9)}, "texts cut off"),
        ({"curve": points(cut=0.9)[:5]}, "texts cut off"),  # after a tenth of the budget
        ({"curve": points(illegal=0.5)}, "illegal tokens"),
        ({"curve": points(spread=0.0)}, "no signal"),
        ({"steps": 400}, "budget unspent"),
        ({"texts": {"end": [{"prompt": str(n), "completion": "same"} for n in range(12)]}}, "one text for all"),
    ],
)
def test_alarms(changes, kind):
    assert [alarm.kind for alarm in alarms_of(a_run(**changes))] == [kind]
    assert alarms_of(a_run(curve=points())) == []


def test_alarms_of_scores(tmp_path):
    spec = RunSpec(agent="uniform", env_id="TextGen/Copy-v0", steps=10, seed=0, label="hacker")
    run = make_run(spec, 0.9)
    assert [alarm.kind for alarm in alarms_of(run)] == ["gold trails reward"]
    run.measures = [m for m in run.measures if m.split == "train" and m.score == "reward"]
    assert alarms_of(run) == []
    cheat = make_run(spec, 1.4)
    assert set(count_alarms([run, cheat])) == {"impossible score", "gold trails reward"}
