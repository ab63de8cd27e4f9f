"""The pages of the environments: each is there, complete, and what the generator would write."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from toys import TOYS, Noisy, toy

from textgym import registration, tasks
from textgym.cli.facts import describe
from textgym.factory import EnvFactory

DOCS = Path(__file__).resolve().parents[1] / "docs"
sys.path.append(str(DOCS))  # the generator and its helper are scripts, not part of the package
import environment_examples  # noqa: E402
import generate_environments  # noqa: E402


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """What the generator would write: file name -> text."""
    return generate_environments.pages()


def facts_of(task: Any) -> dict[str, Any]:
    """The facts of a toy, for functions that make its environment again."""
    return describe(EnvFactory("TextGen-v0", {"task": task}), max_seconds=0.0)


@pytest.fixture
def make_toys(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets the helper find a toy again, which has no id of its own."""

    def use(task: Any) -> dict[str, Any]:
        def factory(facts: dict[str, Any], **extra: Any) -> EnvFactory:
            return EnvFactory("TextGen-v0", {"task": task, **extra})

        monkeypatch.setattr(environment_examples, "factory", factory)
        return facts_of(task)

    return use


def test_the_committed_pages_are_those_of_the_generator(
    pages: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = generate_environments.check(pages, DOCS / "environments")
    assert status == 0, capsys.readouterr().out


def test_the_check_names_what_differs(
    pages: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in pages.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert generate_environments.check(pages, tmp_path) == 0
    assert capsys.readouterr().out == ""
    (tmp_path / "reviews.md").write_text(pages["reviews.md"].replace("0.932", "0.933"), encoding="utf-8")
    (tmp_path / "index.md").unlink()
    (tmp_path / "old.md").write_text("# Old\n", encoding="utf-8")
    assert generate_environments.check(pages, tmp_path) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split("; ")[0].removeprefix(f"{tmp_path / 'x'}"[:-1]) for line in said] == [
        "index.md is missing",
        "old.md belongs to no task",
        "reviews.md is out of date",
    ]


def test_the_command_writes_and_checks(pages: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_environments, "pages", lambda: pages)
    monkeypatch.setattr(generate_environments, "overviews", lambda: {"gallery.md": "# Gallery\n"})
    monkeypatch.setattr(generate_environments, "DOCS", tmp_path)
    monkeypatch.setattr(generate_environments, "FOLDER", tmp_path / "environments")
    assert generate_environments.main(["--check"]) == 1
    assert generate_environments.main([]) == 0
    assert generate_environments.main(["--check"]) == 0
    assert {path.name for path in (tmp_path / "environments").iterdir()} == pages.keys()
    (tmp_path / "gallery.md").write_text("# Old\n", encoding="utf-8")
    assert generate_environments.main(["--check"]) == 1
    with pytest.raises(SystemExit, match="--check"):
        generate_environments.main(["--chekc"])


# ---- a page for each task ------------------------------------------------------------------------------------------

FIELDS = (
    "Id",
    "Import",
    "Skills",
    "Default level",
    "Action space",
    "Observation space",
    "Mask",
    "Reward range",
    "Gold range",
    "Token budget",
    "Ends",
    "Prompts",
)
SECTIONS = ("The task", "Levels", "What can be earned", "Worked examples", "Arguments", "Versions")


@pytest.mark.parametrize("env_id", registration.env_ids())
def test_every_id_has_a_page_with_all_fields(pages: dict[str, str], env_id: str) -> None:
    name = registration.task_name(env_id)
    task, page = tasks.get(name), pages[f"{name.lower()}.md"]
    assert page.startswith(f"# {name}\n\n{task.summary}\n")
    assert f"`{env_id}`" in page
    for field in FIELDS:
        (line,) = [line for line in page.splitlines() if line.startswith(f"| **{field}** | ")]
        assert len(line.split(" | ")[1].strip(" |")) > 0
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == [*SECTIONS]
    for level in task.levels:
        for split in task.at(level).prompts.splits:
            for kind in ("reward", "gold") if task.gold is not None else ("reward",):
                best = task.at(level).returns(split, kind).best
                (line,) = [line for line in page.splitlines() if line.startswith(f"| {level} | {split} | {kind} |")]
                assert f"{best:.3f}" in line
    examples = page.split("## Worked examples")[1].split("## Arguments")[0]
    assert len([line for line in examples.splitlines() if line.startswith("|")]) == 2 + 3
    kinds = ("the best text", "clumsy play", "failing play") if task.partner else ()
    assert [kind for kind in kinds if f"| {kind}" in examples] == [*kinds]
    assert "![" in page or "raw} html" in page


@pytest.mark.parametrize("name", tasks.names())
def test_the_index_leads_to_every_page(pages: dict[str, str], name: str) -> None:
    index = pages["index.md"]
    assert f"[TextGen/{name}-v0]({name.lower()}.md)" in index
    assert f"\n{name.lower()}\n" in index.split("{toctree}")[1]


def test_pictures_can_be_read_and_are_shown(pages: dict[str, str]) -> None:
    pictures = [name for name in pages if name.endswith(".svg")]
    assert pictures
    for name in pictures:
        assert ElementTree.fromstring(pages[name]).tag.endswith("svg")
        assert f"]({name})" in pages[name.replace(".svg", ".md")]


def test_pages_have_no_trace_of_the_machine(pages: dict[str, str]) -> None:
    for text in pages.values():
        assert str(DOCS.parent) not in text
        assert text.endswith("\n")


def test_returns_that_are_not_exact_are_marked() -> None:
    row = {"random": -0.0001, "blind": 1.0, "best": None, "inexact": ["random", "blind"]}
    assert [generate_environments.mark(row, which) for which in ("random", "blind", "best")] == [
        "≈ 0.000",
        "≥ 1.000",
        "",
    ]


def test_later_versions_need_their_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert generate_environments.history("TextGen/Reviews-v0", "Reviews") == "- v0: the first version."
    with pytest.raises(KeyError):
        generate_environments.history("TextGen/Reviews-v1", "Reviews")
    monkeypatch.setitem(generate_environments.HISTORY, ("Reviews", 1), "fewer words.")
    history = generate_environments.history("TextGen/Reviews-v1", "Reviews")
    assert history.splitlines() == ["- v1: fewer words.", "- v0: the first version."]


def test_cells_are_safe_in_a_table() -> None:
    assert environment_examples.code("a`b\n") == "`` a`b\\n ``"
    assert generate_environments.table(["A", "B:"], [["`x|y`", "1"]]) == "| A | B |\n| --- | ---: |\n| `x\\|y` | 1 |"


@pytest.mark.parametrize("name", ["plain", "noisy", "chinese", "two ends", "ruled and stopping", "bytes"])
def test_examples_work_for_any_task(name: str, make_toys: Any) -> None:
    facts = make_toys(TOYS[name])
    found = list(environment_examples.examples(facts))
    assert found[-1][1] == "random play"
    assert all(written["prompt"] == facts["example"]["prompt"] for written, _ in found)


def test_the_favourite_of_the_reward_is_shown_where_it_is_not_the_best_text(make_toys: Any) -> None:
    facts = describe(EnvFactory("TextGen-v0", {"level": "tiny"}))
    best, _, favourite = environment_examples.examples(facts)
    assert favourite[0]["reward"] > best[0]["reward"]
    assert favourite[0]["gold"] < best[0]["gold"]
    lost = best[0]["gold"] - favourite[0]["gold"]
    assert f"its gold is {lost:.3f} below the best" in favourite[1]


def test_a_large_task_is_pictured_by_one_text_with_its_rewards() -> None:
    levels = [describe(EnvFactory("TextGen-v0", {"level": "medium"}))]
    shown, files = environment_examples.picture("Reviews", levels)
    assert not files
    assert shown.startswith("```{raw} html\n<div")
    for word in levels[0]["example"]["best"]["text"].split():
        assert f">{word}<" in shown


def test_a_stochastic_reward_is_not_drawn_as_a_tree(make_toys: Any) -> None:
    facts = make_toys(toy(reward=Noisy(), budget=2))
    facts["example"]["demonstration"] = {"prompt": facts["example"]["prompt"], "text": "a b"}
    shown, files = environment_examples.picture("Toy", [facts])
    assert not files
    assert ">a<" in shown
