"""The gallery and the page about the suite: complete, and what the generator would write."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from textgym import tasks
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.playing import speak

DOCS = Path(__file__).resolve().parents[1] / "docs"
sys.path.append(str(DOCS))  # the generator and its helpers are scripts, not part of the package
import environment_gallery  # noqa: E402
import environment_tables  # noqa: E402
import environment_writing  # noqa: E402
import generate_environments  # noqa: E402


@pytest.fixture(scope="module")
def overviews() -> dict[str, str]:
    """What the generator would write about all tasks at once."""
    return generate_environments.overviews()


def test_the_committed_overviews_are_those_of_the_generator(
    overviews: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert overviews.keys() == {"gallery.md", "suite.md"}
    status = generate_environments.check(overviews, DOCS, whole=False)
    assert status == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", tasks.names())
def test_the_gallery_has_a_card_for_every_level(overviews: dict[str, str], name: str) -> None:
    section = overviews["gallery.md"].split(f"\n### {name}\n")[1].split("\n### ")[0].split("\n## ")[0]
    assert f"](environments/{name.lower()}.md)" in section
    cards = section.split('<div class="card">')[1:]
    assert [card.split("<strong>")[1].split("</strong>")[0] for card in cards] == [*tasks.get(name).levels]
    for card in cards:
        assert [card.count(f'<p class="{who}">') for who in ("best", "random")] == [1, 1]
        for tag in ("div", "p", "code", "span", "details", "summary", "blockquote"):
            closed = card.count(f"</{tag}>") - (tag == "div" and card is cards[-1])  # the last also ends the row
            assert card.count(f"<{tag}>") + card.count(f"<{tag} ") + (tag == "div") == closed


@pytest.mark.parametrize("name", tasks.names())
def test_the_suite_names_every_task_and_level(overviews: dict[str, str], name: str) -> None:
    title = environment_tables.family(name)
    page, link = overviews["suite.md"], f"| [{name}](environments/{name.lower()}.md) | "
    assert link in page.split("## How difficulty grows")[0]
    rows = page.split(f"<!-- levels: {title} -->")[1].split("<!-- end -->")[0].split(link)[1].splitlines()
    for level, row in zip(tasks.get(name).levels, rows, strict=False):
        task = tasks.get(name, level)
        cells = row.removeprefix("|  | ").split(" | ")
        assert cells[0] == level
        assert cells[3] == f"{task.budget:,}"
        kind = "reward" if task.gold is None else "gold"
        assert f"{task.returns(kind=kind).best:.3f}" in cells[-1]


def test_tables_of_a_page_are_renewed_and_nothing_else() -> None:
    page = "# A\n<!-- levels: Puzzles -->\nold\n<!-- end -->\n| B |\n"
    filled = environment_tables.fill(page)
    assert filled.startswith("# A\n<!-- levels: Puzzles -->\n<details>")
    assert filled.endswith("</details>\n<!-- end -->\n| B |\n")
    assert "old" not in filled
    assert environment_tables.fill(filled) == filled
    with pytest.raises(KeyError):
        environment_tables.fill(page.replace("Puzzles", "Poems"))


def test_a_task_whose_package_is_missing_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "copy.md").write_text("as it was", encoding="utf-8")
    monkeypatch.setattr(generate_environments, "FOLDER", tmp_path)
    for module in (generate_environments, environment_gallery):
        monkeypatch.setattr(module, "missing", lambda name: "pip install letters" if name == "Copy" else None)
    assert generate_environments.kept_files("Copy") == {"copy.md": "as it was"}
    assert generate_environments.overviews() == {}
    assert "Copy (pip install letters)" in capsys.readouterr().out
    section = environment_gallery.task_section("Copy")
    assert "*Not shown: pip install letters*" in section
    assert "card" not in section


@pytest.mark.parametrize("error", [ImportError("no module"), ConfigurationError("try pip install letters")])
def test_what_cannot_be_made_here_says_why(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(name: str) -> Any:
        raise error

    monkeypatch.setattr(environment_tables.tasks, "get", fail)
    assert environment_tables.missing.__wrapped__("Copy") == str(error)
    error.args = ("broken",)
    if not isinstance(error, ImportError):
        with pytest.raises(ConfigurationError, match="broken"):
            environment_tables.missing.__wrapped__("Copy")


def test_of_many_texts_the_one_in_the_middle_is_shown() -> None:
    envs = EnvFactory("TextGen/Chain-v0", {"level": "easy"})
    rows = environment_writing.example_rows(envs)
    batch, returns = speak(envs.task().best_turn, envs, prompt_indices=rows, seed=0)
    assert len(set(returns.tolist())) > 1  # the best player has good luck and bad
    shown = environment_writing.best_text(envs)
    assert shown.reward == sorted(returns.tolist())[len(returns) // 2]
    assert shown.turns in [batch.dialogue(row) for row in range(len(batch))]


def test_long_texts_and_conversations_are_folded() -> None:
    assert environment_gallery.folded("a <b>", 9, mark="code") == "<code>a &lt;b&gt;</code>"
    assert environment_gallery.folded("[](", 9) == "<span>[]&#40;</span>"  # no link
    assert environment_gallery.folded("", 9) == "<em>(empty)</em>"
    words = " ".join(f"w{number}" for number in range(30))
    shown, hidden = environment_gallery.folded(words, 60).split("</summary>")
    start = shown.removeprefix("<details><summary><span>").removesuffix(" …</span>")
    assert f"{start} {hidden.removeprefix('<span>').removesuffix('</span></details>')}" == words
    turns = [("agent" if number % 2 == 0 else "partner", f"turn {number:02}") for number in range(12)]
    long = environment_gallery.conversation(turns)
    assert "<summary>5 more turns</summary>" in long
    assert [long.count(text) for _, text in turns] == [1] * 12
    assert "<details>" not in environment_gallery.conversation(turns[:8])


def test_small_numbers_keep_their_digits() -> None:
    values = (0.001, -0.0001, 0.0, 1000.0, -0.125)
    assert [environment_gallery.short_number(value) for value in values] == [
        "0.001",
        "-0.0001",
        "0.00",
        "1000.00",
        "-0.12",
    ]
