"""Fifty annotators at once, and servers that are killed: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from labelling import LOCAL, ServerProcess, fill, make_pairs

from textgym.feedback.projects import Invitation
from textgym.feedback.store import Store


class Caller:
    """As much of HTTP as a vote needs, on one connection: a heavier client would measure itself."""

    def __init__(self, port: int, who: Invitation) -> None:
        self._port, self._who = port, who
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()

    async def work(self, votes: int) -> None:
        """Opens the connection and votes."""
        self._reader, self._writer = await asyncio.open_connection(LOCAL, self._port)
        try:
            card = (await self._call("GET", "/task"))["card"]
            for number in range(votes):
                vote = {"task": card["task"], "choice": ("left", "right", "tie")[number % 3], "seconds": 1.5}
                begin = time.perf_counter()
                card = (await self._call("POST", "/judgements", vote))["card"]
                self.seconds.append(time.perf_counter() - begin)
        finally:
            self._writer.close()
            await self._writer.wait_closed()

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        head = [f"{method} {path} HTTP/1.1", f"Host: {LOCAL}:{self._port}", f"Origin: http://{LOCAL}:{self._port}"]
        head += [f"Cookie: textgym_annotator_{self._port}={self._who.token}", "Content-Type: application/json"]
        self._writer.write("\r\n".join([*head, f"Content-Length: {len(content)}", "", ""]).encode() + content)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        self.statuses[int(answer.split(b" ", 2)[1])] += 1
        (length,) = [int(line[15:]) for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        return json.loads(await self._reader.readexactly(length))


def load(path: Path, people: int, votes: int) -> list[Caller]:
    """So many annotators vote at the same time, each as fast as the answers come."""
    count = people * votes // 2 + votes  # so that nobody is left with pairs of their own only
    store, invitations, _ = fill(path, make_pairs(count), [f"annotator {k}" for k in range(people)], overlap=2)
    store.close()
    server = ServerProcess(path)
    callers = [Caller(server.port, one) for one in invitations]

    async def everybody() -> None:
        await asyncio.gather(*(caller.work(votes) for caller in callers))

    asyncio.run(everybody())
    server.kill()
    return callers


def check_quotas(path: Path, answers: int) -> None:
    """All answers are there, each once, and no pair has more than its two."""
    with Store(path) as store:
        comparisons = store.comparisons()
    assert len(comparisons) == answers
    assert len({(item.pair, item.annotator) for item in comparisons}) == answers
    assert max(Counter(item.pair for item in comparisons).values()) <= 2


def test_several_annotators_at_once(tmp_path: Path) -> None:
    callers = load(tmp_path / "labels.sqlite", people=8, votes=5)
    assert sum((caller.statuses for caller in callers), Counter()) == {200: 8 * 6}
    check_quotas(tmp_path / "labels.sqlite", 40)


@pytest.mark.slow
def test_fifty_annotators_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callers = load(tmp_path / "labels.sqlite", people=50, votes=20)
    assert sum((caller.statuses for caller in callers), Counter()) == {200: 50 * 21}
    check_quotas(tmp_path / "labels.sqlite", 1000)
    seconds = sorted(second for caller in callers for second in caller.seconds)
    with capsys.disabled():
        middle, late, last = (1000 * seconds[int(share * len(seconds))] for share in (0.5, 0.95, 0.999))
        print(f"\n50 annotators x 20 votes: median {middle:.0f} ms, p95 {late:.0f} ms, slowest {last:.0f} ms")


def vote_and_kill(path: Path, kills: int) -> None:
    """Kills the server as soon as it has said that a vote is saved; now and then the vote is sent once more."""
    store, (ann, _), _ = fill(path, make_pairs(kills))
    store.close()
    server = ServerProcess(path)
    said: list[tuple[str, str]] = []
    for number in range(kills):
        headers = {"Cookie": f"textgym_annotator_{server.port}={ann.token}"}
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60.0) as client:
            task = client.get("/task").json()["card"]["task"]
            vote = {"task": task, "choice": ("left", "right", "tie", "both_bad")[number % 4], "seconds": number / 10}
            answer = client.post("/judgements", json=vote)
        server.kill()
        assert answer.status_code == 200
        said.append((task, answer.json()["judgement"]))
        server.start()
        if number % 3 == 0:
            with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60.0) as client:
                again = client.post("/judgements", json=vote)
            assert (again.status_code, again.json()["judgement"]) == (200, said[-1][1])
    server.kill()
    with Store(path) as store:
        rows = store.judgements()
        assert [(row.task, row.id) for row in rows] == said
        assert len({item.pair for item in store.comparisons()}) == len(store.comparisons()) == kills


def test_a_killed_server_has_kept_what_it_said_it_had(tmp_path: Path) -> None:
    vote_and_kill(tmp_path / "labels.sqlite", 10)


@pytest.mark.slow
def test_two_hundred_killed_servers_have_kept_what_they_said_they_had(tmp_path: Path) -> None:
    vote_and_kill(tmp_path / "labels.sqlite", 200)
