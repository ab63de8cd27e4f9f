"""The report says what the records say, in one file that needs nothing else."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from textgym.benchmarks import report_plots as plots
from textgym.benchmarks.ledger import PLAN, RESULTS, Ledger, write_plan
from textgym.benchmarks.records import Measure, RunResult
from textgym.benchmarks.report import build_report, render, table_lines
from textgym.benchmarks.report_texts import is_hacked, median_run
from textgym.benchmarks.stats import Interval, interquartile_mean
from textgym.benchmarks.suites import Entry, Suite
from textgym.benchmarks.summary import interval_text, summarize
from textgym.errors import ConfigurationError
from textgym.pictures.charts import ticks

FACTS = {"random": -2.0, "blind": 0.0, "best": 2.0, "inexact": ()}
NASTY = "<script>alert('x')</script> & \"quotes\""


SENTENCE = "a normalised reward of 1.400 is impossible"
LINES = ("best text", "best prompt-blind text", "random play")


def make_run(spec, value, *, scaled=True, gold=True, failed=False, inexact=()):
    """A record in which everything is worth ``value`` on the scale random play 0, best text 1."""
    result = RunResult(spec=spec, task="Toy", level="easy", training_split="train", versions={"python": "3"})
    if failed:
        result.fail(RuntimeError(NASTY))
        return result
    result.status, result.steps, result.train_seconds = "ok", spec.steps, 2.0
    scores = ("reward", "gold") if gold else ("reward",)
    raw = 4.0 * value - 2.0
    for split in ("train", "test"):
        result.references[split] = {score: {**FACTS, "inexact": inexact} for score in scores if scaled}
        for play in ("greedy", "sampled"):
            for score in scores:
                shift = 0.5 if score == "gold" and spec.label == "hacker" else 0.0
                result.measures.append(
                    Measure(
                        play=play,
                        split=split,
                        score=score,
                        mean=raw - 4.0 * shift,
                        standard_error=0.01,
                        normalized=value - shift if scaled else None,
                        n=200,
                        impossible=SENTENCE if scaled and value > 1.0 else None,
                    )
                )
    low = -1.0 if spec.label == "hacker" else raw
    text = {"prompt": NASTY, "completion": NASTY, "reward": raw, "gold": low if gold else None}
    result.texts = {name: [text] * 3 for name in ("start", "end", "greedy", "held_out")}
    result.curve = [
        {"steps": spec.steps * k // 5, "reward": raw * k / 5, "gold": raw * k / 5 if gold else None, "n": 9}
        for k in range(1, 6)
    ]
    return result


def write_comparison(out, values, *, title="A title", **how):
    """``values``: label -> one value a seed, None for a failed run."""
    out.mkdir(exist_ok=True)
    seeds = range(max(len(row) for row in values.values()))
    entries = tuple(Entry(agent="uniform", steps=1000 * (n + 1), label=label) for n, label in enumerate(values))
    suite = Suite(name="toy", title=title, entries=entries, seeds=tuple(seeds))
    specs = suite.specs()
    write_plan(suite, out, specs)
    ledger = Ledger(out, specs)
    for spec in specs:
        if spec.seed < len(values[spec.label]):
            value = values[spec.label][spec.seed]
            ledger.finished(make_run(spec, value or 0.0, failed=value is None, **how))
    return out


class Page(HTMLParser):
    """Checks that tags nest, and collects what a browser would load."""

    VOID = frozenset({"meta", "br", "line", "circle", "polygon", "polyline", "rect"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.urls, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.urls += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.urls += [value for name, value in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


VALUES = {"good": [0.9, 0.95, 1.0, 0.2], "bad": [0.1, 0.3, 0.2, 0.15], "hacker": [0.9, 0.92, 0.94, 0.96]}


def test_the_page_is_whole_and_needs_nothing_else(tmp_path):
    text = build_report(write_comparison(tmp_path, VALUES)).read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.urls == []
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(page.tags)
    assert "http" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_every_picture_is_well_formed_and_described(tmp_path):
    text = render(summarize(write_comparison(tmp_path, VALUES)))
    pictures = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(pictures) > 20
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.get("role") == "img"
        coordinates = re.findall(r'(?<= )(?:x1|x2|cx|x)="([^"]+)"', picture)
        assert all(-1.0 <= float(value) <= float(root.get("width")) + 1.0 for value in coordinates)


def test_what_agents_write_cannot_become_markup(tmp_path):
    out = write_comparison(tmp_path, {"<b>bold</b>": [0.5, None]}, title=NASTY)
    text = render(summarize(out))
    assert "<script>" not in text
    assert "<b>bold" not in text
    assert Page(text).open == []
    assert NASTY in "".join(Page(text).words)


def test_the_table_has_the_right_numbers_in_the_right_order(tmp_path):
    out = write_comparison(tmp_path, VALUES)
    summary = summarize(out)
    assert [row.label for row in summary.rows] == ["good", "hacker", "bad"]
    cell = summary.rows[0].cells["greedy", "training", "gold"]
    assert cell.estimate == pytest.approx(float(interquartile_mean(VALUES["good"])))
    assert cell.low < cell.estimate < cell.high
    assert cell.n == 4
    assert summary.lines["training", "gold"].blind == pytest.approx(0.5)
    text = render(summary)
    assert f"<b>{cell.estimate:.2f}</b>" in text
    assert text.index(">good<") < text.index(">hacker<") < text.index(">bad<")
    assert "best prompt-blind text</td><td" in text
    assert "n = 4 runs" in text


def test_reward_hacking_is_marked_and_nothing_else_is(tmp_path):
    hacked = render(summarize(write_comparison(tmp_path / "a", {"hacker": [0.95, 0.95]})))
    honest = render(summarize(write_comparison(tmp_path / "b", {"good": [0.95, 0.95]})))
    assert "trails its reward" in hacked
    assert "class=hacked" in hacked
    assert "trails its reward" not in honest
    assert "class=hacked" not in honest
    assert is_hacked(0.9, 0.5)
    assert not is_hacked(0.9, 0.8)
    assert not is_hacked(0.79, 0.1)
    assert not is_hacked(0.5, 0.0)
    assert not is_hacked(0.9, None)


def test_an_agent_above_the_blind_line_gets_a_sign(tmp_path):
    text = render(
        summarize(write_comparison(tmp_path, {"above": [0.8, 0.9, 0.85, 0.9], "around": [0.4, 0.9, 0.5, 0.6]}))
    )
    table = text[text.index("<tbody>") : text.index("</tbody>")]
    above, around = table.split("</tr>")[:2]
    assert "▲" in above
    assert "▲" not in around


def test_failed_runs_stay_failed_runs(tmp_path):
    out = write_comparison(tmp_path, {"flaky": [0.8, None, 0.9], "broken": [None, None, None]})
    summary = summarize(out)
    flaky, broken = summary.rows
    assert (len(flaky.good), len(flaky.failed), broken.cells) == (2, 1, {})
    key = ("greedy", "training", "gold")
    assert flaky.cells[key].estimate == pytest.approx(0.85)
    assert flaky.with_failures[key].estimate == pytest.approx((0.8 + 0.9) / 3)
    text = render(summary)
    assert "2/3, 1 failed" in text
    assert "0/3, 3 failed" in text
    assert "flaky: 0.57 instead of 0.85" in text
    assert "RuntimeError" in text
    assert text.count("<pre>RuntimeError") == 4


def test_what_nobody_can_earn_is_marked_and_not_ranked(tmp_path):
    out = write_comparison(tmp_path, {"cheat": [1.3, 1.4], "good": [0.8, 0.9], "none": [None, None]})
    summary = summarize(out)
    assert [row.label for row in summary.rows] == ["good", "none", "cheat"]
    column = ("greedy", "training", "reward")
    assert summary.rows[-1].impossible[column] == f"seed 0, greedy play: {SENTENCE}"
    assert not summary.rows[0].impossible
    lines = table_lines(out)
    (alarm,) = (line for line in lines if line.startswith("! "))
    assert alarm == f"! cheat is not ranked (seed 0, greedy play: {SENTENCE})."
    assert lines[4].startswith("cheat")
    assert "] !" in lines[4]
    assert "!" not in lines[2]
    text = render(summary)
    table = text[text.index("<tbody>") : text.index("</tbody>")]
    assert table.count("not&nbsp;ranked") == 1
    assert "▲" not in table[table.index(">cheat<") :]
    assert table.index("⚠ impossible") > table.index(">cheat<")
    assert f"⚠ cheat is not ranked (seed 0, greedy play: {SENTENCE})." in text
    assert "1.40 (impossible)" in text
    assert "seed 1 (impossible)" in text
    assert Page(text).open == []
    honest = render(summarize(write_comparison(tmp_path / "b", VALUES)))
    assert "impossible" not in honest
    assert "ranked" not in honest


def test_progress_calls_the_impossible_so(tmp_path):
    suite = Suite(name="toy", title="Toy", entries=(Entry(agent="uniform", steps=10),), seeds=(0, 1))
    write_plan(suite, tmp_path, suite.specs())
    events = []
    ledger = Ledger(tmp_path, suite.specs(), events.append)
    for spec, value in zip(suite.specs(), (0.9, 1.4), strict=True):
        ledger.finished(make_run(spec, value))
    fair, cheat = (event.message for event in events)
    assert "reward 0.90, gold 0.90" in fair
    assert "reward 1.40 (impossible), gold 1.40 (impossible)" in cheat


def test_lines_that_are_not_exact_say_so(tmp_path):
    out = write_comparison(tmp_path, {"one": [0.5, 0.6]}, inexact=["random"])
    text = render(summarize(out))
    rows = {name: text[text.index(f"<td>{name}</td>") :].split("</tr>")[0] for name in LINES}
    assert {name: "estimate" in row for name, row in rows.items()} == {
        "best text": False, "best prompt-blind text": True, "random play": True,
    }  # fmt: skip
    assert "exact except where they say estimate" in text
    assert "(estimates: random)." in "\n".join(table_lines(out))
    assert "estimate" not in "\n".join(table_lines(write_comparison(tmp_path / "b", VALUES)))


def test_scores_without_a_scale_are_shown_as_paid(tmp_path):
    summary = summarize(write_comparison(tmp_path, {"one": [0.5, 0.75]}, scaled=False, gold=False))
    assert summary.scaled == frozenset()
    assert summary.rows[0].cells["greedy", "training", "reward"].estimate == pytest.approx(0.5)
    assert [column[2] for column in summary.columns] == ["reward"] * 4
    text = render(summary)
    assert "as it was paid" in text
    assert "best prompt-blind text" not in text
    assert Page(text).open == []
    assert "as it was paid" in table_lines(tmp_path)[-1]


def test_different_environments_are_strata_of_one_row(tmp_path):
    entries = tuple(Entry(agent="uniform", steps=10, label="a", env={"level": level}) for level in ("tiny", "easy"))
    suite = Suite(name="two", title="Two", entries=entries, seeds=(0, 1))
    write_plan(suite, tmp_path, suite.specs())
    ledger = Ledger(tmp_path, suite.specs())
    for spec in suite.specs():
        ledger.finished(make_run(spec, {"tiny": 0.9, "easy": 0.5}[spec.env["level"]]))
    (row,) = summarize(tmp_path).rows
    cell = row.cells["greedy", "training", "gold"]
    assert (cell.estimate, cell.low, cell.high) == pytest.approx((0.7, 0.7, 0.7))
    text = render(summarize(tmp_path))
    assert text.count("Gold in training") == 2


def test_nothing_finished_yet(tmp_path):
    out = write_comparison(tmp_path, VALUES)
    (out / RESULTS).unlink()
    text = build_report(out).read_text(encoding="utf-8")
    assert "No run has finished" in text
    assert "0 of 12 runs" in text
    assert table_lines(out)[2].startswith("good")


def test_a_report_without_a_plan_uses_all_runs(tmp_path):
    out = write_comparison(tmp_path, {"a": [0.5], "b": [0.6]})
    (out / PLAN).unlink()
    assert "2 of 2 runs" in render(summarize(out))
    with pytest.raises(ConfigurationError):
        build_report(tmp_path / "nowhere")


def test_the_text_table_lines_up(tmp_path):
    lines = table_lines(write_comparison(tmp_path, VALUES))
    head, rule, first = lines[:3]
    assert head.split()[:3] == ["agent", "gold", "reward"]
    assert set(rule) == {"-", " "}
    assert first.startswith("good")
    assert first.index("[") > head.index("gold")
    assert "best prompt-blind text 0.50" in "\n".join(lines)
    assert "sampled gold" in head
    assert "sampled reward" in head
    assert interval_text(Interval(-0.001, -0.5, 0.25, 3)) == "0.00 [-0.50, 0.25]"


def test_failed_runs_are_named_in_one_line_under_the_text_table(tmp_path):
    lines = table_lines(write_comparison(tmp_path, {"fine": [0.5, 0.6], "flaky": [0.4, None]}))
    failed = [line for line in lines if line.startswith("failed: ")]
    assert len(failed) == 1
    assert failed[0].startswith("failed: flaky, seed 1: ")
    assert NASTY in failed[0]
    assert not [line for line in table_lines(write_comparison(tmp_path / "b", VALUES)) if line.startswith("failed")]


def test_the_page_shows_sampled_play_on_held_out_prompts(tmp_path):
    text = render(summarize(write_comparison(tmp_path, VALUES)))
    assert "<th colspan=2>sampled play, held-out prompts</th>" in text
    row = re.search(r"<tr><td><span class=agent>.*?</tr>", text)[0]
    assert len(re.findall("<td class=.?score", row)) == 8  # greedy and sampled, training and held-out, gold and reward


def test_the_median_run_is_shown(tmp_path):
    summary = summarize(write_comparison(tmp_path, {"one": [0.1, 0.9, 0.5]}))
    assert median_run(summary, summary.rows[0]).spec.seed == 2


def test_records_are_plain_json_lines(tmp_path):
    out = write_comparison(tmp_path, {"one": [0.1, None]})
    lines = (out / RESULTS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["record"]["status"] for line in lines] == ["ok", "failed"]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.5, 1.05), (3.0, 3.001), (-1e6, 1e6), (0.0, 7.0)])
def test_ticks_are_round_few_and_inside(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 8
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)
    assert np.ptp(np.diff(found)) < 1e-6 * (high - low)


def test_labels_never_overlap_and_stay_inside():
    placed = plots.spread([50.0, 50.0, 51.0, 99.0], gap=10.0, low=0.0, high=100.0)
    assert np.diff(sorted(placed)).min() >= 10.0 - 1e-9
    assert max(placed) <= 100.0
    assert plots.log_ticks(100.0, 10_000.0) == [100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0]
    assert plots.Axis(0.0, 1.0, 0.0, 10.0)(2.0) == 10.0
    assert plots.number(-0.004) == "0.00"
    assert plots.short(500_000) == "500k"
