"""Two agents against each other: what `textgym bench compare` pairs, says and refuses."""

import re
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from textgym.benchmarks.comparing_text import lines, verdict
from textgym.benchmarks.comparing_two import compare_all, compare_two, find_sides
from textgym.benchmarks.ledger import Ledger, write_plan
from textgym.benchmarks.records import Measure, RunResult
from textgym.benchmarks.stats import Interval, paired_difference
from textgym.benchmarks.stats_tests import detectable_difference, holm, improvement_test, seeds_needed
from textgym.benchmarks.suites import Entry, Suite
from textgym.cli import app
from textgym.errors import ConfigurationError, TextGymError

FACTS = {"random": -2.0, "blind": 0.0, "best": 2.0}
QUICK = {"replicates": 500}


def make_run(spec, value, *, scaled=True, inexact=(), version="1", impossible=None):
    """A record of one score; None for a failed run."""
    run = RunResult(spec=spec, task=spec.env["reward"], level="", training_split="all", versions={"textgym": version})
    if value is None:
        run.fail(RuntimeError("out of luck"))
        return run
    run.status = "ok"
    run.references["all"] = {"reward": {**FACTS, "inexact": inexact}} if scaled else {}
    run.measures.append(
        Measure(
            play="greedy",
            split="all",
            score="reward",
            mean=4.0 * value - 2.0,
            standard_error=0.01,
            normalized=value if scaled else None,
            n=200,
            impossible=impossible,
        )
    )
    return run


def write_runs(out, values, *, steps=None, **how):
    """``values``: agent -> task -> one score a seed."""
    out.mkdir(parents=True, exist_ok=True)
    entries = [
        Entry(
            agent="uniform",
            steps=(steps or {}).get(label, 1000),
            label=label,
            config={"who": label},
            env={"reward": task},
        )
        for label, tasks in values.items()
        for task in tasks
    ]
    suite = Suite(name="toy", title="Toy", entries=tuple(entries), seeds=tuple(range(9)))
    specs = [spec for spec in suite.specs() if spec.seed < len(values[spec.label][spec.env["reward"]])]
    write_plan(suite, out, specs)
    ledger = Ledger(out, specs)
    for spec in specs:
        ledger.finished(make_run(spec, values[spec.label][spec.env["reward"]][spec.seed], **how))
    return out


def duel_of(folder, left="left", right="right"):
    return compare_two(*find_sides(left, right, folder=folder)[0], **QUICK)


def text_of(*duels):
    return "\n".join(lines(duels))


NOISE = np.random.default_rng(0).normal(scale=0.05, size=(4, 6))
CLEAR = {
    "left": {"Copy": (0.8 + NOISE[0]).tolist(), "Sort": (0.6 + NOISE[1]).tolist()},
    "right": {"Copy": (0.4 + NOISE[2]).tolist(), "Sort": (0.3 + NOISE[3]).tolist()},
}
CLOSE = {
    "left": {"Copy": (0.505 + NOISE[0]).tolist(), "Sort": (0.505 + NOISE[1]).tolist()},
    "right": {"Copy": (0.5 + NOISE[2]).tolist(), "Sort": (0.5 + NOISE[3]).tolist()},
}


def test_two_agents_of_a_folder_are_paired_by_task_and_seed(tmp_path):
    duel = duel_of(write_runs(tmp_path, CLEAR))
    left, right = list(CLEAR["left"].values()), list(CLEAR["right"].values())
    assert [contest.name for contest in duel.tasks] == ["Copy", "Sort"]
    assert [contest.pairs for contest in duel.tasks] == [6, 6]
    overall = duel.overall
    expected = paired_difference(left, right, np.random.default_rng(0), replicates=500)
    assert overall.difference == expected
    assert (overall.pairs, overall.seeds, overall.tasks) == (12, 6, 2)
    assert overall.p == improvement_test(left, right).two_sided
    alone = [improvement_test([a], [b]).two_sided for a, b in zip(left, right, strict=True)]
    assert [contest.p for contest in duel.tasks] == alone
    assert [contest.corrected for contest in duel.tasks] == holm(alone).tolist()
    assert duel.left_out is None
    assert duel.notes == ()


def test_the_sides_are_not_swapped(tmp_path):
    folder = write_runs(tmp_path, CLEAR)
    there, back = duel_of(folder).overall, duel_of(folder, "right", "left").overall
    assert there.difference.low > 0.0 > back.difference.high
    assert there.difference.estimate == pytest.approx(-back.difference.estimate)
    assert (there.improvement.estimate, back.improvement.estimate) == (1.0, 0.0)
    assert (there.left, there.right) == (back.right, back.left)
    assert there.p == back.p
    assert verdict(there, "a", "b").startswith("a is better than b by")
    assert verdict(back, "a", "b").startswith("b is better than a by")


def test_a_small_difference_says_how_many_seeds_it_would_take(tmp_path):
    duel = duel_of(write_runs(tmp_path, CLOSE))
    difference = duel.overall.difference
    needed = seeds_needed(difference, 6)
    least = detectable_difference(difference, 6)
    sentence = verdict(duel.overall, "left", "right")
    assert needed > 6
    assert f"The difference of {abs(difference.estimate):.2g} is smaller than what 6 seeds on 2 tasks" in sentence
    assert f"({least:.2g}, in 80% of experiments)" in sentence
    assert f"about {needed:,} seeds would be needed" in sentence
    assert sentence in text_of(duel)


def test_no_difference_and_one_seed_are_said(tmp_path):
    same = {"left": {"Copy": [0.5, 0.6, 0.7]}, "right": {"Copy": [0.6, 0.5, 0.7]}}
    assert "No difference was seen; 3 seeds on 1 task would show one of" in text_of(duel_of(write_runs(tmp_path, same)))
    twins = {name: {"Copy": [0.5, 0.6, 0.7]} for name in ("left", "right")}
    text = text_of(duel_of(write_runs(tmp_path / "twins", twins)))
    assert "No difference was seen in any pair of runs: 3 seeds on 1 task." in text
    single = {"left": {"Copy": [0.5]}, "right": {"Copy": [0.9]}}
    duel = duel_of(write_runs(tmp_path / "single", single))
    assert duel.overall is None
    assert duel.final is duel.tasks[0]
    assert "1 seed on 1 task show no spread" in text_of(duel)


def test_no_mean_is_a_negative_zero(tmp_path):
    nearly = {"left": {"Copy": [-0.001, -0.002]}, "right": {"Copy": [0.3, 0.4]}}
    text = text_of(duel_of(write_runs(tmp_path, nearly)))
    assert re.search(r"Copy +2 +0\.00 +0\.35", text)


def test_a_verdict_never_calls_a_difference_small_that_is_not(tmp_path):
    overall = duel_of(write_runs(tmp_path, CLOSE)).overall
    skewed = replace(overall, difference=Interval(0.5, -0.1, 0.6, 12, standard_error=0.1, degrees=10.0))
    assert verdict(skewed, "a", "b") == (
        "a is ahead of b by 0.5, but the interval holds 0: 6 seeds on 2 tasks leave it open."
    )
    hopeless = replace(overall, difference=Interval(-1e-6, -0.2, 0.2, 12, standard_error=0.1, degrees=10.0))
    assert "more than 100,000 seeds would be needed" in verdict(hopeless, "a", "b")


def test_few_seeds_cannot_reach_significance_on_single_tasks(tmp_path):
    tasks = {name: [0.9, 0.8, 0.85] for name in ("Copy", "Sort", "Add")}
    others = {name: [0.1, 0.2, 0.15] for name in tasks}
    text = text_of(duel_of(write_runs(tmp_path, {"left": tasks, "right": others})))
    # 2 / C(2n, n) x 3 <= 0.05 first for n = 5: 3 x 2 / 252
    assert "With 3 seeds a side no single task can reach p = 0.05 after correction for 3, even if every run" in text
    assert "; 5 can." in text
    assert "no single task" not in text_of(duel_of(write_runs(tmp_path / "six", CLEAR)))


def test_failed_runs_appear_twice(tmp_path):
    values = {
        "left": {"Copy": [0.9, 0.8, None, 0.85], "Sort": [0.7, 0.6, 0.65, 0.68]},
        "right": {"Copy": [0.5, 0.5, 0.5, None], "Sort": [0.5, 0.45, 0.55, 0.5]},
    }
    duel = duel_of(write_runs(tmp_path, values))
    worst = [[0.9, 0.8, 0.0, 0.85], [0.7, 0.6, 0.65, 0.68]], [[0.5, 0.5, 0.5, 0.0], [0.5, 0.45, 0.55, 0.5]]
    rest = [[0.9, 0.8], [0.7, 0.6, 0.65, 0.68]], [[0.5, 0.5], [0.5, 0.45, 0.55, 0.5]]
    rng = np.random.default_rng
    assert duel.overall.difference == paired_difference(*worst, rng(0), replicates=500)
    assert duel.left_out.difference == paired_difference(*rest, rng(0), replicates=500)
    assert (duel.overall.pairs, duel.left_out.pairs, duel.left_out.seeds) == (8, 6, 2)
    text = text_of(duel)
    assert re.search(r"^failed runs left out +6 ", text, re.MULTILINE)
    assert "! 2 failed runs count as random play (0), or as the agent's worst run if that is worse." in text


def test_seeds_and_tasks_that_only_one_side_ran_are_left_alone(tmp_path):
    values = {
        "left": {"Copy": [0.9, 0.8, 0.7, 0.6], "Sort": [0.5, 0.6]},
        "right": {"Copy": [0.1, 0.2, 0.3], "Add": [0.5, 0.4]},
    }
    duel = duel_of(write_runs(tmp_path, values))
    assert [(contest.name, contest.pairs) for contest in duel.tasks] == [("Copy", 3)]
    assert duel.tasks[0].left == pytest.approx(0.8)


def test_nothing_to_pair_is_refused_with_what_there_is(tmp_path):
    folder = write_runs(tmp_path, {"left": {"Copy": [0.9]}, "right": {"Sort": [0.1, 0.2]}})
    with pytest.raises(ConfigurationError, match=r"no finished pair.*Copy.*\[0\] against.*Sort.*\[0, 1\]"):
        duel_of(folder)
    with pytest.raises(ConfigurationError, match="on both sides; expected two different agents"):
        duel_of(folder, "left", "left")


def test_two_folders_are_compared_agent_by_agent_and_corrected_together(tmp_path):
    old, new = write_runs(tmp_path / "old", CLEAR), write_runs(tmp_path / "new", CLOSE)
    sides = find_sides(str(new), str(old))
    assert [(one.label, other.label) for one, other in sides] == [("left", "left"), ("right", "right")]
    duels = compare_all(sides, **QUICK)
    assert [duel.left for duel in duels] == [f"left ({new})", f"right ({new})"]
    p = [duel.overall.p for duel in duels]
    assert [duel.overall.corrected for duel in duels] == holm(p).tolist()
    assert max(duel.overall.corrected for duel in duels) > max(min(p), 0.0)
    assert "over 2 comparisons of agents" in text_of(*duels)


def test_an_agent_is_named_by_its_folder(tmp_path):
    old, new = write_runs(tmp_path / "old", CLEAR), write_runs(tmp_path / "new", {"left": CLOSE["left"]})
    for left, right, expected in (
        (f"{old}/left", f"{old}/right", ("left", "right")),
        (f"{new}", f"{old}/right", ("left", "right")),
        (f"{new}", f"{old}", ("left", "left")),
        (f"{old}/left", f"{new}", ("left", "left")),
    ):
        ((one, other),) = find_sides(left, right)
        assert (one.label, other.label) == expected


@pytest.mark.parametrize(
    ("left", "right", "match"),
    [
        ("nowhere", "old", r"'nowhere': expected a folder that `textgym bench run` wrote.*--folder"),
        ("old/lefty", "old/right", "lefty.*left"),
        ("old", "other", "no agent in common"),
        ("old", "other/third", "third"),
    ],
)
def test_what_cannot_be_found_is_said(tmp_path, monkeypatch, left, right, match):
    monkeypatch.chdir(tmp_path)
    write_runs(tmp_path / "old", CLEAR)
    write_runs(tmp_path / "other", {"third": CLEAR["left"], "fourth": CLEAR["left"]})
    with pytest.raises(TextGymError, match=match):
        find_sides(left, right)


def test_what_makes_sides_unequal_is_said(tmp_path):
    folder = write_runs(tmp_path / "a", CLEAR, steps={"left": 5000}, inexact=("random",))
    notes = duel_of(folder).notes
    assert "Copy: the scale is not exact (random estimated)." in notes
    assert "Copy: the budgets differ, 5,000 and 1,000 steps." in notes
    old = write_runs(tmp_path / "b", {"left": CLEAR["left"]}, version="0")
    new = write_runs(tmp_path / "c", {"left": CLEAR["left"]}, impossible="nobody can earn that")
    duel = compare_two(*find_sides(str(old), str(new))[0], **QUICK)
    assert duel.notes[-1] == "The two sides ran with different versions of textgym."
    assert f"left ({new}) on Copy: nobody can earn that" in duel.notes


def test_scores_as_paid_are_not_averaged_over_tasks(tmp_path):
    duel = duel_of(write_runs(tmp_path, CLEAR, scaled=False))
    assert duel.overall is None
    assert duel.tasks[0].difference.estimate == pytest.approx(4.0 * (duel.tasks[0].left - duel.tasks[0].right) / 4.0)
    assert duel.tasks[0].left > 1.0  # 4 x 0.8 - 2
    assert "Copy is compared as paid, without the scale, and not averaged with others." in duel.notes


def test_the_command_prints_the_table_and_refuses_in_one_line(tmp_path):
    folder = write_runs(tmp_path / "toy", CLEAR)
    runner = CliRunner()
    found = runner.invoke(app, ["bench", "compare", "left", "right", "--folder", str(folder), "--replicates", "500"])
    assert found.exit_code == 0, found.output
    rows = [line.split() for line in found.output.splitlines()]
    assert rows[0] == ["left", "against", "right"]
    assert rows[1] == ["task", "pairs", "first", "second", "difference", "P", "p", "Holm"]
    assert [row[:2] for row in rows[2:5]] == [["Copy", "6"], ["Sort", "6"], ["all", "tasks"]]
    assert "left is better than right by" in found.output
    slashes = runner.invoke(app, ["bench", "compare", f"{folder}/left", f"{folder}/right", "--replicates", "500"])
    assert slashes.output == found.output
    wrong = runner.invoke(app, ["bench", "compare", "left", "right"])
    assert isinstance(wrong.exception, ConfigurationError)


def test_the_command_for_the_statistics_renews_the_page(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("<!-- coverage of the intervals: begin -->\n<!-- coverage of the intervals: end -->\n")
    monkeypatch.setattr("textgym.benchmarks.stats_coverage.STATISTICS", {"mean": np.mean})
    monkeypatch.setattr("textgym.benchmarks.stats_coverage.coverage", lambda *_, **how: 0.9512)
    found = CliRunner().invoke(app, ["bench", "stats", "--coverage", "7", "--page", str(page)])
    assert found.exit_code == 0, found.output
    assert "Share of 7 simulated experiments" in page.read_text()
    assert "| mean | 10 | normal | 95.1 % | 95.1 % | 95.1 % | 95.1 % |" in page.read_text()
