"""The label server's pages: votes by script and by plain form, undo, two tabs, the live page, and the command."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from hypothesis import given
from hypothesis import strategies as st
from labelling import PROMPTS, Class, fill, make_pairs, make_tokenizer, open_class

from textgym.cli import app, label_serve
from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError, TextGymError
from textgym.feedback.accuracy import LearningCurve, held_out_accuracy
from textgym.feedback.display import pieces
from textgym.feedback.live import Live
from textgym.feedback.pairs import Pair
from textgym.feedback.projects import StoreError
from textgym.feedback.reranking import keep_order
from textgym.feedback.server import LOCAL, find_socket, speller
from textgym.feedback.store import Store
from textgym.feedback.writer import Writer


def judge(client: httpx.Client, card: dict[str, Any], choice: str, **more: Any) -> httpx.Response:
    """Sends a vote as the script does."""
    return client.post("/judgements", json={"task": card["task"], "choice": choice, **more})


def card_of(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/task").json()["card"]
    return found


def text_of(shown: dict[str, Any]) -> str:
    return "".join(piece["text"] for piece in shown["pieces"])


# ---- votes --------------------------------------------------------------------------------------------------------


def test_votes_are_stored_as_they_were_shown(tmp_path: Path) -> None:
    pairs = make_pairs(12)
    with open_class(tmp_path / "labels.sqlite", pairs) as room:
        ann, said = room.client(room.people[0]), []
        card = card_of(ann)
        for number in range(12):
            choice = ("left", "right", "tie", "both_bad", "skip")[number % 5]
            said.append((text_of(card["prompt"]), text_of(card["left"]), text_of(card["right"]), choice, number / 4))
            assert card["done"] == number
            card = judge(ann, card, choice, seconds=number / 4).json()["card"]
        assert card["task"] is None
        found = room.store.comparisons()
    assert [(item.prompt, item.left, item.right, item.choice, item.seconds) for item in found] == said
    assert {item.annotator for item in found} == {"Ann"}
    texts = {pair.id: (pair.first, pair.second) for pair in pairs}
    assert all((item.right, item.left)[:: 1 if item.swapped else -1] == texts[item.pair] for item in found)
    assert {item.swapped for item in found} == {False, True}


def test_a_card_tells_nothing_that_could_sway_anybody(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(2), repeat_share=0.4) as room:
        card = card_of(room.client(room.people[0]))
    assert set(card) == {"task", "prompt", "left", "right", "done", "total"}
    assert "pair" not in json.dumps(card)


def test_two_tabs_share_a_task_and_answer_it_once(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(4)) as room:
        one, two = room.client(room.people[0]), room.client(room.people[0])
        card = card_of(one)
        assert card_of(two) == card
        first, again, other = judge(one, card, "left"), judge(two, card, "left"), judge(two, card, "right")
        assert first.json()["judgement"] == again.json()["judgement"]
        assert other.status_code == 409
        assert "already" in other.json()["detail"]
        assert other.json()["card"] == first.json()["card"] == again.json()["card"]
        assert len(room.store.judgements()) == 1


def test_undo_brings_the_task_back(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(4)) as room:
        ann = room.client(room.people[0])
        nothing = ann.post("/undo", json={})
        assert nothing.status_code == 409
        card = card_of(ann)
        judge(ann, card, "left")
        back = ann.post("/undo", json={}).json()["card"]
        assert back["task"] == card["task"]
        assert card_of(ann)["task"] == card["task"]
        judge(ann, card, "right")
        assert [row.choice for row in room.store.judgements()] == ["left", "right"]
        assert [item.choice for item in room.store.comparisons()] == ["right"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"choice": "left"}',
        b'{"task": "TASK", "choice": "best"}',
        b'{"task": "TASK", "choice": "left", "strength": 4}',
        b'{"task": "TASK", "choice": "tie", "strength": 1}',
        b'{"task": "TASK", "choice": "left", "seconds": -1}',
        b'{"task": "TASK", "choice": "left", "seconds": NaN}',
        b'{"task": "TASK", "choice": "left", "annotator": "Bo"}',
        b'{"task": 5, "choice": "left"}',
        b'{"task": "TASK", "choice": "left", "seconds": "\xff"}',
    ],
)
def test_votes_that_cannot_be(tmp_path: Path, body: bytes) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(2)) as room:
        ann = room.client(room.people[0])
        content = body.replace(b"TASK", card_of(ann)["task"].encode())
        answer = ann.post("/judgements", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["detail"]
        assert ann.post("/judgements", content=content).status_code == 415
        assert not room.store.judgements()


def test_unknown_tasks_and_methods(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(2)) as room:
        ann = room.client(room.people[0])
        assert judge(ann, {"task": "unheard-of"}, "left").status_code == 404
        assert ann.get("/judgements").status_code == 405
        page = ann.get("/nothing", headers={"Accept": "text/html"})
        assert page.status_code == 404
        assert "<h1>There is no such page</h1>" in page.text


def test_strength_is_asked_where_the_project_says_so(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(2), ask_strength=True) as room:
        ann = room.client(room.people[0])
        assert 'name="strength"' in ann.get("/").text
        assert judge(ann, card_of(ann), "right", strength=3).status_code == 200
        assert room.store.comparisons()[0].strength == 3


# ---- without scripts ----------------------------------------------------------------------------------------------


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the vote's form."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))


def test_the_page_works_without_scripts(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(3), ask_strength=True) as room:
        ann = room.client(room.people[0], follow_redirects=False)
        page = ann.get("/").text
        first = hidden(page)["task"]
        answer = ann.post("/judgements", data={**hidden(page), "choice": "left", "strength": "2"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        stale = ann.post("/judgements", data={**hidden(page), "choice": "right", "strength": "2"})
        assert stale.status_code == 409
        assert "already" in stale.text
        page = ann.get("/").text
        assert hidden(page)["task"] != first
        assert ann.post("/judgements", data={**hidden(page), "choice": "tie", "strength": "2"}).status_code == 303
        undone = ann.post("/undo", data={"form_token": hidden(page)["form_token"]})
        assert hidden(undone.text)["task"] == hidden(page)["task"]
        assert ann.post("/judgements", data={**hidden(page), "choice": "best"}).status_code == 422
        found = room.store.comparisons()
    assert [(item.choice, item.strength) for item in found] == [("left", 2)]


# ---- what is shown ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b", "a b"),
        ("a\nb\tc", "a\u21b5\nb\u21e5\tc"),
        ("\u202eevil\u202c", "U+202EevilU+202C"),
        ("\x1b[2J\x00", "U+001B[2JU+0000"),
        ("a\u200bb\ufeff", "aU+200BbU+FEFF"),
        ("pay\u200dpal", "payU+200Dpal"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("a\u00a0b\u3000\u4f60", "aU+00A0b\u3000\u4f60"),
        ("\u3164\u2800", "U+3164U+2800"),
        ("\ud800 \U000e0041", "U+D800 U+E0041"),
        ("caf\u00e9 \u05e9\u05dc\u05d5\u05dd", "caf\u00e9 \u05e9\u05dc\u05d5\u05dd"),
    ],
)
def test_what_cannot_be_seen_is_made_visible(text: str, shown: str) -> None:
    found = pieces(text)
    assert "".join(piece.text for piece in found) == shown
    assert all(piece.name for piece in found if piece.text.startswith("U+"))


@given(st.text(st.characters(), max_size=30))
def test_no_text_can_hide_anything_or_break_the_answer(text: str) -> None:
    found = pieces(text)
    shown = "".join(piece.text for piece in found)
    shown.encode()
    left = {letter for letter in shown if unicodedata.category(letter)[0] == "C"}
    assert left <= set("\n\t\u200c\u200d")
    kept = "".join(piece.text for piece in found if not piece.name)
    assert not set(kept) - set(text)


def test_strange_texts_reach_the_page_whole(tmp_path: Path) -> None:
    odd = "\u202e<b>&amp;\x00\u0301 'x' \"y\""
    pair = Pair(id="1", prompt=odd, first=odd + "1", second="")
    with open_class(tmp_path / "labels.sqlite", [pair], [odd.replace("\x00", "")], guidelines=odd) as room:
        ann = room.client(room.people[0])
        page, card = ann.get("/").text, card_of(ann)
        assert judge(ann, card, "left").status_code == 200
    assert "<b>" not in page
    assert page.count("&lt;b&gt;&amp;amp;") == 4
    assert text_of(card["prompt"]) == odd.replace("\u202e", "U+202E").replace("\x00", "U+0000")
    assert "(empty text)" in page


def test_token_boundaries_are_shown_where_tokens_are_known(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    with open_class(tmp_path / "labels.sqlite", make_pairs(1), tokenizer=tokenizer) as room:
        card = card_of(room.client(room.people[0]))
    for side in ("left", "right"):
        assert [piece["text"] for (piece,) in card[side]["tokens"]] == text_of(card[side]).split()
    assert speller(tokenizer)([0, *tokenizer.eos_ids]) == ["was", "<eos>"]
    with open_class(tmp_path / "other.sqlite", make_pairs(1)) as room:
        assert card_of(room.client(room.people[0]))["left"]["tokens"] == []


# ---- the live page ------------------------------------------------------------------------------------------------


def vote_by_rule(room: Class, count: int) -> None:
    """Two annotators who like "great" and dislike "awful", and choose the left text where that says nothing."""
    for person in room.people:
        for _ in range(count):
            task = room.store.next_task(person.id)
            assert task is not None
            left, right = (text.count("great") - text.count("awful") for text in (task.left, task.right))
            room.store.judge(person.id, task.id, "right" if right > left else "left", seconds=2.0)


def test_the_live_page_shows_what_the_database_says(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(60), tokenizer=make_tokenizer(), overlap=2) as room:
        vote_by_rule(room, 60)
        teacher = room.client(room.teacher)
        page, report = teacher.get("/live").text, teacher.get("/live/numbers").json()
        numbers = dict(report["numbers"])
        assert numbers["Answers"] == "120"
        assert numbers["Pairs complete"] == "60 of 60"
        assert numbers["Pairs judged by several"] == "60"
        assert re.fullmatch(r"\d+% \(\d+% to \d+%\)", numbers["Agreement"])
        assert [row[1] for row in report["people"]] == ["60", "60"]
        assert "2.0 s" in page
        labels = [count for count, _, _ in report["curve"]]
        assert labels[:3] == [20, 40, 80]
        assert report["curve"][-1][1] > 0.6
    assert f"<td>{labels[-1]}</td>" in page


def test_the_live_page_of_an_empty_project(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", [], []) as room:
        teacher = room.client(room.teacher)
        report = teacher.get("/live/numbers").json()
        assert teacher.get("/live").status_code == 200
    assert report["curve"] == report["people"] == []
    assert dict(report["numbers"])["Answers"] == "0"


def test_numbers_are_computed_beside_the_requests_and_not_too_often(tmp_path: Path) -> None:
    store, (ann, _), _ = fill(tmp_path / "labels.sqlite", make_pairs(2))

    async def look(live: Live) -> list[str]:
        found = [dict((await live.report()).numbers)["Answers"]]
        task = store.next_task(ann.id)
        assert task is not None
        store.judge(ann.id, task.id, "left")
        found.append(dict((await live.report()).numbers)["Answers"])
        while live._running is not None:
            await asyncio.sleep(0)
        return [*found, dict((await live.report()).numbers)["Answers"]]

    with store:
        assert asyncio.run(look(Live(store, pause=3600.0))) == ["0", "0", "0"]
        assert asyncio.run(look(Live(store, pause=0.0, rest=0.0))) == ["1", "1", "2"]


def comparisons_by_rule(count: int, prompts: Sequence[str] = PROMPTS) -> list[Comparison]:
    """Always for the text with more of "great" in it."""
    tokenizer, texts = make_tokenizer(), ("was great", "was dull")
    ids = [tuple(tokenizer.encode(text)) for text in texts]
    return [
        Comparison(
            prompt=prompts[number % len(prompts)],
            left=texts[number % 2],
            right=texts[1 - number % 2],
            left_ids=ids[number % 2],
            right_ids=ids[1 - number % 2],
            choice="left" if number % 2 == 0 else "right",
            pair=str(number),
        )
        for number in range(count)
    ]


def test_held_out_accuracy_is_of_unseen_prompts() -> None:
    assert held_out_accuracy(comparisons_by_rule(40), make_tokenizer()) == 1.0
    assert held_out_accuracy(comparisons_by_rule(40), make_tokenizer(), by="pair") == 1.0
    strange = comparisons_by_rule(40, ("one", "two", "three", "four"))  # no word is known, so prompts differ in nothing
    other = {"left": "right", "right": "left"}
    mixed = [replace(item, choice=other[item.choice]) if item.prompt == "one" else item for item in strange]
    assert held_out_accuracy(mixed, make_tokenizer()) == 0.75  # of four prompts, one is judged the other way round
    assert held_out_accuracy([replace(item, prompt=f"{item.prompt} ") for item in mixed], make_tokenizer()) == 0.75
    with pytest.raises(ConfigurationError, match="two or more"):
        held_out_accuracy(comparisons_by_rule(40, PROMPTS[:1]), make_tokenizer())


def test_a_learning_curve_says_why_there_is_none() -> None:
    assert "not known" in LearningCurve(None).points(comparisons_by_rule(40))[1]
    curve = LearningCurve(make_tokenizer())
    assert curve.points(comparisons_by_rule(19)) == ([], "19 of 20 decided labels that the first fit needs.")
    assert "one prompt" in curve.points(comparisons_by_rule(40, PROMPTS[:1]))[1]
    assert [size for size, *_ in curve.points(comparisons_by_rule(50))[0]] == [20, 40, 50]
    stranger = [replace(item, left_ids=(999,)) for item in comparisons_by_rule(40)]
    assert "999" in LearningCurve(make_tokenizer()).points(stranger)[1]


# ---- behind the pages -----------------------------------------------------------------------------------------------


def test_what_fails_in_a_batch_is_undone_alone(tmp_path: Path) -> None:
    store, (ann, _), _ = fill(tmp_path / "labels.sqlite", make_pairs(2))
    writer = Writer(store)

    def fail() -> None:
        store.set_setting("half", "written")
        raise ValueError("on purpose")

    async def work() -> list[Any]:
        jobs = [lambda: store.set_setting("one", "1"), fail, lambda: store.next_task(ann.id)]
        return await asyncio.gather(*map(writer.ask, jobs), return_exceptions=True)

    with store:
        nothing, error, task = asyncio.run(work())
        writer.close()
        assert nothing is None
        assert isinstance(error, ValueError)
        assert store.next_task(ann.id) == task
        assert (store.setting("one"), store.setting("half")) == ("1", "written")


def test_the_order_is_kept_up_to_date(tmp_path: Path) -> None:
    class Backwards:
        calls = 0

        def rank(self, pairs: Sequence[Pair], counts: Sequence[int], comparisons: Sequence[Comparison]) -> list[int]:
            Backwards.calls += 1
            return list(range(len(pairs)))[::-1]

    store, (ann, _), _ = fill(tmp_path / "labels.sqlite", make_pairs(5))

    async def work() -> str:
        ranking = asyncio.create_task(keep_order(store, Backwards(), pause=0.0))
        async with asyncio.timeout(60):
            while Backwards.calls < 1:
                await asyncio.sleep(0)
        ranking.cancel()
        await asyncio.gather(ranking, return_exceptions=True)
        task = store.next_task(ann.id)
        assert task is not None
        return task.pair

    with store:
        assert asyncio.run(work()) == "pair 4"
        assert Backwards.calls == 1


def test_a_busy_database_does_not_end_the_ranking(tmp_path: Path) -> None:
    class Busy:
        calls = 0

        def rank(self, pairs: Sequence[Pair], counts: Sequence[int], comparisons: Sequence[Comparison]) -> list[int]:
            Busy.calls += 1
            if Busy.calls < 3:
                raise StoreError("the database is locked")
            return list(range(len(pairs)))

    async def work(store: Store) -> None:
        ranking = asyncio.create_task(keep_order(store, Busy(), pause=0.0))
        async with asyncio.timeout(60):
            while Busy.calls < 3 and not ranking.done():
                await asyncio.sleep(0)
        ranking.cancel()
        await asyncio.gather(ranking, return_exceptions=True)

    store, _, _ = fill(tmp_path / "labels.sqlite", make_pairs(2))
    with store:
        asyncio.run(work(store))
    assert Busy.calls == 3


def test_a_taken_port_is_said_so() -> None:
    with find_socket(LOCAL, 0) as bound:
        bound.listen()
        with pytest.raises(ConfigurationError, match="try another --port"):
            find_socket(LOCAL, bound.getsockname()[1])


# ---- the command --------------------------------------------------------------------------------------------------


def start(folder: Path, *words: str) -> tuple[subprocess.Popen[str], list[str]]:
    """Starts ``textgym label serve``; what it prints until it runs."""
    command = [sys.executable, "-m", "textgym.cli", "label", "serve", "--port", "0", *words]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    )
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())
        if "is running" in line:
            break
    return process, lines


def stop(process: subprocess.Popen[str]) -> str:
    """Ends it as Ctrl-C does."""
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return rest


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for other processes")
def test_serve_from_nothing_and_again(tmp_path: Path) -> None:
    words = ("--annotators", "2", "--pairs", "8", "--set", "level=tiny", "--overlap", "1")
    process, lines = start(tmp_path, *words)
    links = dict(line.split(": ") for line in lines if "/a/" in line)
    assert list(links) == ["live page, for you alone", "annotator 1", "annotator 2"]
    assert all(link.startswith("http://127.0.0.1:") for link in links.values())
    with httpx.Client(follow_redirects=True, trust_env=False, timeout=60) as client:
        client.get(links["annotator 1"])
        base = links["annotator 1"].split("/a/")[0]
        card = client.get(f"{base}/task").json()["card"]
        assert card["left"]["tokens"]
        assert client.post(f"{base}/judgements", json={"task": card["task"], "choice": "left"}).status_code == 200
        assert "Labels as they arrive" in client.get(links["live page, for you alone"]).text
    assert "all answers are in labels.sqlite" in stop(process)
    process, lines = start(tmp_path, "--new-links", "--annotators", "3")
    stop(process)
    assert len([line for line in lines if "/a/" in line]) == 4
    assert "1 of 8 judgements" in "\n".join(lines)
    with Store(tmp_path / "labels.sqlite") as store:
        assert len(store.comparisons()) == 1
        assert store.annotator_of(links["annotator 1"].split("/a/")[1]) is None


def test_links_are_printed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, people, _ = fill(tmp_path / "labels.sqlite", make_pairs(1), ("Ann", "annotator 2"))
    with store:
        label_serve._print_links(store, "http://x", None, new_links=False)
        again = capsys.readouterr().out
        assert "/a/" not in again
        assert "--new-links replaces them all" in again
        label_serve._print_links(store, "http://x", 4, new_links=False)
        new = re.findall(r"^(.*): http://x/a/\S+$", capsys.readouterr().out, re.MULTILINE)
        assert new == ["annotator 1", "annotator 3"]
        assert store.annotator_of(people[0].token) is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], "--public-url http://192.168.1.5:8000"),
        (["--public-url", "my-laptop"], "expected the address that the class will type"),
        (["--port", "0", "--set", "levl=tiny"], "Did you mean 'level'"),
        (["--port", "0", "--policy", "runs/nothing"], "runs/nothing"),
        (["--port", "0", "--guidelines", "nothing.txt"], "nothing.txt"),
    ],
)
def test_mistakes_on_the_command_line(
    tmp_path: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TextGymError, match=re.escape(message)):
        app(["label", "serve", *words], standalone_mode=False)
    assert not list(tmp_path.iterdir())
