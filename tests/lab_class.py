"""A lab hour as a teacher and a class run it, for tests: commands, a server process, simulated students over HTTP.

Run as a program it does the hour in network namespaces of its own: the server in one, thirty students in another, each
with an address of their own, and a wire between the two.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from textgym.factory import EnvFactory
from textgym.feedback.pairs import Pair, to_batches
from textgym.keys import spawn_seed

HERE = Path(__file__).resolve()
SERVER, FIRST_STUDENT = "10.77.0.1", 10
TEXTGYM = (sys.executable, "-m", "textgym.cli")
TASTES = ("honest", "brief", "chatty")
"""Groups: by the true score; short texts; long texts."""
DEADLINE = 120.0


@dataclass
class Student:
    """Somebody who judges as their group does, and errs now and then.

    Attributes:
        number: From 0 on; decides name and group.
        rng: What their errors come from.
    """

    number: int
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(spawn_seed(0, "student", str(self.number)))

    @property
    def taste(self) -> str:
        """The group."""
        return TASTES[self.number % len(TASTES)]

    @property
    def name(self) -> str:
        """As it is typed at the join page, each in a spelling of their own."""
        group = self.taste if self.number % 2 else self.taste.title()
        return f"{group}: student {self.number}"

    def choose(self, task: Any, prompt: str, left: str, right: str) -> str:
        """What this student says of two texts."""
        batches = to_batches(task, [Pair(id="", prompt=prompt, first=left, second=right)])
        gold = [float(batch.gold()[0]) for batch in batches]
        words = [len(text.split()) for text in (left, right)]
        lean = 4.0 * (gold[0] - gold[1]) if self.taste == "honest" else 2.0 * (words[0] - words[1])
        lean = -lean if self.taste == "brief" else lean
        if lean == 0.0:
            return "tie"
        return "left" if self.rng.random() < 1.0 / (1.0 + np.exp(-lean)) else "right"


def attend(url: str, code: str, number: int, votes: int, address: str | None = None) -> int:
    """One student: joins with the class code, follows the personal link, judges. Returns how many answers were saved.

    Args:
        url: The server's.
        code: The class code.
        number: The student's.
        votes: How many answers to give at most.
        address: From which of this machine's addresses to call.
    """
    student, task = Student(number), EnvFactory("TextGen-v0").task()
    options = {} if address is None else {"transport": httpx.HTTPTransport(local_address=address)}
    with httpx.Client(base_url=url, trust_env=False, timeout=DEADLINE, **options) as client:
        joined = client.post("/join", data={"code": code, "name": student.name})
        assert joined.status_code == 200, joined.text
        (link,) = [line for line in joined.text.splitlines() if "/a/" in line]
        token = link.split("/a/")[1].split("<")[0]
        client.cookies.clear()  # as on another device
        assert client.get(f"/a/{token}").status_code == 303
        card, saved = client.get("/task").json()["card"], 0
        while card["task"] is not None and saved < votes:
            prompt, left, right = (spelled(card[name]) for name in ("prompt", "left", "right"))
            vote = {"task": card["task"], "choice": student.choose(task, prompt, left, right), "seconds": 4.0}
            answer = client.post("/judgements", json=vote)
            assert answer.status_code == 200, answer.text
            card, saved = answer.json()["card"], saved + 1
    return saved


def spelled(shown: dict[str, Any]) -> str:
    """A text as the page shows it, from its pieces."""
    return "".join(piece["text"] for piece in shown["pieces"])


def fill_the_room(url: str, code: str, students: int, votes: int, addresses: Sequence[str] = ()) -> list[int]:
    """All students at once; how many answers of each were saved."""
    with ThreadPoolExecutor(students) as pool:
        places = [addresses[number] if addresses else None for number in range(students)]
        return list(pool.map(lambda number: attend(url, code, number, votes, places[number]), range(students)))


@contextmanager
def serving(*words: str) -> Iterator[list[str]]:
    """``textgym label serve`` in a process of its own; the lines that it has printed when it answers."""
    with subprocess.Popen([*TEXTGYM, "label", "serve", *words], stdout=subprocess.PIPE, text=True) as server:
        lines: list[str] = []
        try:
            assert server.stdout is not None
            for line in server.stdout:
                lines.append(line.rstrip())
                if "is running" in line:
                    break
            else:
                raise AssertionError(f"the server has ended: {lines}")
            yield lines
        finally:
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=DEADLINE)
    assert server.returncode == 0, lines


def run_command(*words: str) -> None:
    """A command in a process of its own, as somebody types it."""
    subprocess.run([*TEXTGYM, *words], check=True)


def teach(
    folder: Path, url: str, *, pairs: int, steps: int, visit: Any, command: Callable[..., Any] = run_command
) -> dict[str, Any]:
    """The whole hour by the commands of the docs; what came of it.

    Args:
        folder: Where everything goes.
        url: The public address, with a port.
        pairs: Pairs of texts, which six students judge each.
        steps: Tokens that each agent may write.
        visit: Called with the class code, while the server is up; what it returns is passed on.
        command: Runs the commands before and after it.
    """
    db, handout, begin = str(folder / "lab.sqlite"), str(folder / "handout.html"), time.monotonic()
    create = ["label", "create", db, "--policy", "mixed", "--pairs", str(pairs), "--overlap", "6", "--checks", "3"]
    command(*create)
    command("lab", "handout", db, "--public-url", url, "--out", handout)
    port = url.rsplit(":", 1)[1]
    options = ["--annotators", "0", "--host", "0.0.0.0", "--port", port, "--public-url", url]
    with serving("--db", db, *options) as lines:
        (join,) = [line for line in lines if line.startswith("join page")]
        address, code = join.removeprefix("join page: ").split(" with the class code ")
        assert address == f"{url}/join"
        saved = visit(code)
    labelled = time.monotonic()
    command("lab", "report", db, "--out", str(folder / "lab"), "--steps", str(steps))
    end = time.monotonic()
    times = {"labelling": labelled - begin, "report": end - labelled, "seconds": end - begin}
    return {"code": code, "saved": saved, **times}


# ---- network namespaces --------------------------------------------------------------------------------------------


def why_no_namespace() -> str:
    """Why this machine lets nobody make a network of their own; "" where it does."""
    steps = ("command -v nsenter", "ip link set lo up", "ip link add v0 type veth peer name v1")
    try:
        found = subprocess.run(
            ["unshare", "-rn", "sh", "-c", " && ".join(steps)], check=False, capture_output=True, text=True, timeout=60
        )
    except OSError as error:
        return str(error)
    return "" if found.returncode == 0 else f"unshare -rn: {found.stderr.strip()}"


def teach_in_namespaces(folder: Path, students: int, votes: int, **options: Any) -> dict[str, Any]:
    """The hour between two network namespaces; this process must be alone in a fresh one, as its root.

    The server stands at ``10.77.0.1``, each student calls from an address of their own.
    """
    addresses = [f"10.77.0.{FIRST_STUDENT + number}" for number in range(students)]
    # The second namespace lives as long as this process, which waits for its input to end.
    with subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE) as room:
        try:
            lay_a_wire(room.pid, addresses)
            url = f"http://{SERVER}:8000"
            inside = ["nsenter", "-t", str(room.pid), "-n", sys.executable, str(HERE), "--students", str(students)]

            def visit(code: str) -> list[int]:
                words = [*inside, "--votes", str(votes), "--url", url, "--code", code, *addresses]
                found = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
                saved: list[int] = json.loads(found.stdout)
                return saved

            return teach(folder, url, visit=visit, **options)
        finally:
            assert room.stdin is not None
            room.stdin.close()


def lay_a_wire(room: int, addresses: Sequence[str]) -> None:
    """Joins this namespace and that of a process, and gives each student an address there."""
    ours = Path("/proc/self/ns/net").readlink()
    end = time.monotonic() + DEADLINE
    while Path(f"/proc/{room}/ns/net").readlink() == ours:  # until it has its own
        assert time.monotonic() < end, "the second namespace does not come"
        time.sleep(0.01)
    there = ["nsenter", "-t", str(room), "-n"]
    commands = [
        ["ip", "link", "set", "lo", "up"],
        ["ip", "link", "add", "server", "type", "veth", "peer", "name", "students"],
        ["ip", "addr", "add", f"{SERVER}/24", "dev", "server"],
        ["ip", "link", "set", "server", "up"],
        ["ip", "link", "set", "students", "netns", str(room)],
        *([*there, "ip", "addr", "add", f"{address}/24", "dev", "students"] for address in addresses),
        [*there, "ip", "link", "set", "students", "up"],
    ]
    for command in commands:
        subprocess.run(command, check=True)


def main() -> None:
    """The hour in namespaces, or, with a code, the students alone."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--votes", type=int, default=25)
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--url", default="")
    parser.add_argument("--code", default="")
    parser.add_argument("addresses", nargs="*")
    given = parser.parse_args()
    if given.code:
        found: Any = fill_the_room(given.url, given.code, given.students, given.votes, given.addresses)
        print(json.dumps(found))
        return
    found = teach_in_namespaces(given.folder, given.students, given.votes, pairs=given.pairs, steps=given.steps)
    (given.folder / "found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
