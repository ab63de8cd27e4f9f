"""The tables, the picture, the page and the command ``textgym overopt``."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from textgym import EnvFactory
from textgym.agents.registry import make_agent
from textgym.atomic import write_whole
from textgym.cli import app
from textgym.cli.overopt import split_models
from textgym.errors import ConfigurationError
from textgym.overoptimisation import Study, draw, overoptimise, render, summarise, write
from textgym.overoptimisation.tables import fits_csv, points_csv, texts_csv

SVG = "{http://www.w3.org/2000/svg}"
TINY = {"level": "tiny"}


@pytest.fixture(scope="module")
def study() -> Study:
    agents = {"uniform": make_agent("uniform")}
    models = ["unigram", "ngram", "reward"]
    return overoptimise(
        "TextGen-v0", models=models, pairs=[30, 200], noises=[0.0, 0.25], seeds=2, agents=agents, **TINY
    )


def read(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table)))


def test_the_points_stand_in_the_table(study: Study) -> None:
    rows = read(points_csv(study))
    assert len(rows) == sum(len(curve.points) for curve in study.curves) + 1
    chosen = [row for row in rows if row["method"] == "best-of-n" and row["model"] == "reward"]
    curve = next(curve for curve in study.of("best-of-n") if curve.cell.model == "reward")
    for row, point in zip(chosen, curve.points, strict=True):
        assert row["pairs"] == row["noise"] == row["seed"] == ""
        assert float(row["gold"]) == pytest.approx(point.gold, rel=1e-9)
        assert float(row["kl_formula"]) == pytest.approx(point.formula, rel=1e-9)
        assert float(row["distance"]) ** 2 == pytest.approx(float(row["kl"]), rel=1e-8)
    assert [row["model"] for row in rows if row["method"] == "agent"] == ["uniform"]


def test_the_summary_says_start_peak_end_and_drop(study: Study) -> None:
    lines = summarise(study)
    assert len(lines) == 2 * (2 * 2 * 2 + 1)
    for line in lines:
        curves = [
            curve
            for curve in study.of(line.method)
            if (curve.cell.model, curve.cell.pairs, curve.cell.noise)
            == (line.cell.model, line.cell.pairs, line.cell.noise)
        ]
        assert len(curves) == line.seeds
        assert line.drop == pytest.approx(line.peak - line.end)
        assert line.peak >= line.start
        assert line.least_drop == min(curve.peak.gold - curve.points[-1].gold for curve in curves)


def test_both_formulas_are_fitted_to_each_curve(study: Study) -> None:
    rows = read(fits_csv(study))
    assert len(rows) == 2 * len(study.curves)
    for row in rows:
        residuals = [float(value) for value in row["residuals"].split()]
        assert max(map(abs, residuals)) == pytest.approx(float(row["largest_residual"]), rel=1e-3)
        assert float(row["r_squared"]) <= 1.0


def test_texts_are_shown_from_start_peak_and_end(study: Study) -> None:
    rows = read(texts_csv(study))
    assert len(rows) == 9 * 3 * 2
    by_place = {place: [float(row["proxy"]) for row in rows if row["place"] == place] for place in ("start", "end")}
    assert sum(by_place["end"]) > sum(by_place["start"])
    scores = EnvFactory("TextGen-v0", TINY).task()
    assert {row["prompt"] for row in rows} == set(scores.prompts.texts)


def test_the_picture_is_plain_svg_with_every_curve(study: Study) -> None:
    root = ElementTree.fromstring(draw(study))
    assert root.tag == f"{SVG}svg"
    assert {element.tag for element in root.iter()} <= {
        f"{SVG}{name}" for name in ("svg", "rect", "g", "path", "text", "title", "circle", "polygon")
    }
    tips = [path.findtext(f"{SVG}title") or "" for path in root.iter(f"{SVG}path")]
    kinds = 2 * 2 * 2 + 1
    assert sum(tip.startswith("proxy: ") for tip in tips) == kinds
    assert sum(tip.startswith("gold: ") for tip in tips) == 2 * kinds
    assert sum(tip.startswith("gold, seed") for tip in tips) == 2 * (kinds - 1)
    assert len(list(root.iter(f"{SVG}polygon"))) == 5  # the agent, in every panel
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for path in root.iter(f"{SVG}path"):
        if path.findtext(f"{SVG}title"):
            numbers = [float(word) for word in re.findall(r"[\d.]+", path.attrib["d"])]
            assert max(numbers[::2]) <= width
            assert max(numbers[1::2]) <= height


class Page(HTMLParser):
    """Tags that were opened and not closed, and all attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _ in attrs}


def test_the_page_needs_nothing_from_elsewhere(study: Study) -> None:
    text = render(study)
    page = Page(text)
    assert not page.open
    assert not page.attributes & {"src", "href", "onclick", "onload"}
    assert not page.tags & {"script", "link", "img", "iframe"}
    assert "d (alpha - beta log d)" in text
    assert "log n − (n − 1)/n" in text
    assert "class=alarm" in text


def test_strange_texts_are_shown_as_text() -> None:
    study = overoptimise(
        "TextGen-v0",
        prompts=["<script>alert(1)</script>", "plain <b>"],
        tokenizer="word",
        reward=lambda completion: float(len(completion)),
        true_score="reward",
        max_new_tokens=2,
        models=["unigram"],
        pairs=[20],
        noises=[0.0],
    )
    assert "script" not in Page(render(study)).tags
    assert "&lt;script&gt;" in render(study)


def test_estimates_are_said_to_be_estimates() -> None:
    study = overoptimise("TextGen-v0", models=["unigram"], pairs=[30], noises=[0.0], samples=200, exact=False, **TINY)
    assert "Estimated from 200 texts a prompt (a sample was asked for)" in render(study)
    assert "estimated from 200 texts a prompt" in draw(study)
    assert all(float(row["gold_error"]) > 0.0 for row in read(points_csv(study)))


def test_writing_into_no_folder_is_an_error(study: Study, tmp_path: Path) -> None:
    assert [path.name for path in write(study, tmp_path)][-1] == "overopt.html"
    assert len(list(tmp_path.iterdir())) == 6  # and no scratch files
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write(study, tmp_path / "none")


# ---- the command ----------------------------------------------------------------------------------------------------


def run(*words: str) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app, ["overopt", *words])
    return result.exit_code, result.output, result.exception


def test_the_command_writes_everything_and_says_what_it_found(tmp_path: Path) -> None:
    agent = make_agent("q_learning", seed=0)
    agent.learn(EnvFactory("TextGen-v0", TINY), 2_000)
    agent.save(tmp_path / "q")
    write_whole(tmp_path / "q" / "env.json", json.dumps({"env_id": "TextGen-v0", "kwargs": TINY}))
    code, shown, problem = run(
        *("TextGen-v0", "--set", "level=tiny", "--pairs", "20,50", "--noise", "0.1", "--models", "unigram,reward"),
        *("--points", str(tmp_path / "q"), "--out", str(tmp_path / "out")),
    )
    assert code == 0, problem
    lines = shown.splitlines()
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["reward", "–", "–"],
        ["unigram", "20", "0.1"],
        ["unigram", "50", "0.1"],
    ]
    assert "exact: all 1,555 texts a prompt, 1 prompt" in shown
    assert "log n - (n - 1)/n" in shown
    assert f"{tmp_path / 'q'}: KL " in shown
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("points.csv", "summary.csv", "fits.csv", "texts.csv", "overopt.svg", "overopt.html"),
    }


def test_estimates_are_shown_with_their_errors_and_mistakes_without_a_table(tmp_path: Path) -> None:
    out = ("--pairs", "20", "--noise", "0", "--out", str(tmp_path))
    code, shown, problem = run("TextGen-v0", "--models", "unigram", "--set", "level=hard", "--samples", "100", *out)
    assert code == 0, problem
    assert "estimated from 100 texts a prompt" in shown
    assert shown.splitlines()[0].startswith("proxy ")
    assert re.search(r"^unigram .* -?[0-9.]+ ± 0\.[0-9]+ \(", shown, flags=re.MULTILINE)
    code, shown, problem = run("TextGen-v0", "--models", "unigrm", *out)
    assert "unigram" in str(problem)
    assert (code, shown) == (1, "")


def test_any_agent_with_probabilities_can_be_the_reference(tmp_path: Path) -> None:
    make_agent("uniform").save(tmp_path / "u")
    options = ["--set", "level=tiny", "--pairs", "20", "--noise", "0", "--models", "unigram", "--out", str(tmp_path)]
    shown = [run(*options, "--reference", reference) for reference in ("uniform", str(tmp_path / "u"))]
    assert shown[0][0] == shown[1][0] == 0
    assert shown[0][1].splitlines()[1] == shown[1][1].splitlines()[1]
    code, demonstrated, _ = run(*options, "--reference", "demonstrations")
    assert code == 0
    assert demonstrated.splitlines()[1] != shown[0][1].splitlines()[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pairs", "ten"], "expected numbers with commas"),
        (["--pairs", "1"], "at least 2 comparisons"),
        (["--models", "ngramm"], "Did you mean 'ngram'"),
        (["--models", "{name: x}"], "begins like JSON and is none"),
        (["--reference", "nowhere"], "a run folder, or the file or folder of a language model"),
        (["--points", "nowhere"], "no agent"),
        (["TextGen/Copy-v0"], "has no gold"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, tmp_path: Path) -> None:
    code, _, problem = run(*words, "--out", str(tmp_path))
    assert code != 0
    assert re.search(message, str(problem)), problem


def test_models_are_split_at_commas_and_json_is_not() -> None:
    given = ["unigram, ngram", '{"name": "preference", "path": "a,b"}']
    assert split_models(given) == ["unigram", "ngram", {"name": "preference", "path": "a,b"}]
    assert split_models(None) == []
