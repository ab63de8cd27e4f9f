"""Nobody gets in: tokens, hosts, origins, bodies, paths, rates and the join page."""

from __future__ import annotations

import http.client
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from labelling import LOCAL, PAGE, Class, make_pairs, open_class

from textgym.errors import ConfigurationError
from textgym.feedback import security
from textgym.feedback.joining import Joining
from textgym.feedback.security import MOST_BYTES, Addresses, RateLimit, form_token

SECRET_PAGES = ("/", "/task", "/live", "/live/numbers", "/live/qr.svg", "/nothing", "/static/nothing.js", "/docs")
CLIMBING = ("/../../etc/passwd", "/static/../server.py", "/static/..%2f..%2fserver.py", "/%2e%2e/labels.sqlite")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Class]:
    """One server for all tests that leave nothing behind which others would stumble over."""
    path = tmp_path_factory.mktemp("labels") / "labels.sqlite"
    with open_class(path, make_pairs(60), public=True, overlap=2) as found:
        yield found


def raw(room: Class, head: list[str], body: bytes = b"") -> int:
    """Sends a request byte for byte, and returns the status."""
    parts = urlsplit(room.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.connect()
    connection.sock.sendall("\r\n".join([*head, "Connection: close", "", ""]).encode() + body)
    answer = http.client.HTTPResponse(connection.sock)
    answer.begin()
    answer.read()
    answer.close()
    connection.close()
    return answer.status


def host(room: Class) -> str:
    return f"Host: {urlsplit(room.url).netloc}"


def cookie(room: Class, number: int = 0) -> str:
    return f"Cookie: textgym_annotator_{urlsplit(room.url).port}={room.people[number].token}"


@pytest.mark.parametrize("path", SECRET_PAGES)
def test_without_a_token_no_page_says_whether_it_is_there(room: Class, path: str) -> None:
    stranger = room.client()
    assert stranger.get(path).status_code == 401
    assert stranger.get(path, headers=PAGE).status_code == 401
    forged = f"textgym_annotator_{urlsplit(room.url).port}={'x' * 32}"
    assert stranger.get(path, headers={"Cookie": forged}).status_code == 401
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert stranger.request(method, path).status_code == 401


@pytest.mark.parametrize("path", ["/judgements", "/undo", "/live/joining"])
def test_nobody_writes_without_a_token(room: Class, path: str) -> None:
    stranger = room.client()
    assert stranger.post(path, json={"task": "x", "choice": "left"}).status_code == 401
    assert stranger.post(path, data={"task": "x", "choice": "left"}).status_code == 401


def test_a_wrong_link_opens_nothing(room: Class) -> None:
    stranger = room.client()
    for token in ("x", "%F0%9F%98%80", "a" * 5000, "%ED%A0%80", room.people[0].token[:-1], room.people[0].id):
        answer = stranger.get(f"/a/{token}")
        assert answer.status_code == 401
        assert not stranger.cookies


def test_a_link_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(room: Class) -> None:
    answer = room.client().get(f"/a/{room.people[0].token}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert room.people[0].token not in answer.headers["location"] + answer.text
    flags = {flag.strip().lower() for flag in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert "secure" not in flags  # the class comes by http


def test_from_another_site_our_own_page_goes_on_since_a_redirect_would_not_bring_the_cookie(room: Class) -> None:
    answer = room.client().get(f"/a/{room.people[0].token}", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=/">' in answer.text
    assert room.people[0].token not in answer.text
    assert room.people[0].token in answer.headers["set-cookie"]


def test_tokens_are_long_and_the_database_holds_only_hashes(room: Class) -> None:
    content = b"".join(path.read_bytes() for path in room.store.path.parent.iterdir() if path.is_file())
    for person in (*room.people, room.teacher):
        assert len(person.token) * 6 >= 128
        assert person.token.encode() not in content


def test_another_annotators_task_is_refused(room: Class) -> None:
    ann, bo = (room.client(person) for person in room.people)
    task = ann.get("/task").json()["card"]["task"]
    rows = len(room.store.judgements())
    assert bo.post("/judgements", json={"task": task, "choice": "left"}).status_code == 403
    assert bo.post("/judgements", json={"task": "../" + task, "choice": "left"}).status_code == 404
    assert len(room.store.judgements()) == rows


def test_roles_do_not_mix(room: Class) -> None:
    ann, teacher = room.client(room.people[0]), room.client(room.teacher)
    assert ann.get("/live").status_code == ann.get("/live/numbers").status_code == 401
    assert teacher.get("/task").status_code == 401
    swapped = cookie(room).removeprefix("Cookie: ").replace("annotator", "teacher")
    assert room.client().get("/live", headers={"Cookie": swapped}).status_code == 401


@pytest.mark.parametrize("name", ["evil.example", "evil.example:80", "127.0.0.1", "localhost:1", "127.0.0.1@evil", ""])
def test_other_host_names_are_not_answered(room: Class, name: str) -> None:
    assert raw(room, ["GET /static/style.css HTTP/1.1", f"Host: {name}"]) == 400
    assert raw(room, ["GET / HTTP/1.1", f"Host: {name}", cookie(room)]) == 400


def test_the_public_host_is_answered_and_no_other() -> None:
    addresses = Addresses.of(8000, "https://labels.example.org")
    assert {"labels.example.org", "127.0.0.1:8000", "localhost:8000"} <= addresses.hosts
    assert "https://labels.example.org" in addresses.origins
    assert "http://labels.example.org" not in addresses.origins
    assert addresses.is_encrypted
    assert addresses.is_shared
    assert not Addresses.of(8000).is_shared
    for wrong in ("192.168.1.5", "ftp://x", "http://x/path", "http://me@x", "http://", "http://x:99999", "http://x?y"):
        with pytest.raises(ConfigurationError, match="--public-url"):
            Addresses.of(8000, wrong)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": f"http://{LOCAL}:1"},
        {"Origin": f"https://{LOCAL}"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_other_sites_cannot_write(room: Class, headers: dict[str, str]) -> None:
    ann = room.client(room.people[0])
    task = ann.get("/task").json()["card"]["task"]
    rows = len(room.store.judgements())
    assert ann.post("/judgements", json={"task": task, "choice": "left"}, headers=headers).status_code == 403
    assert ann.post("/undo", json={}, headers=headers).status_code == 403
    assert ann.post("/judgements", data={"task": task, "choice": "left"}, headers=headers).status_code == 403
    assert len(room.store.judgements()) == rows


def test_a_plain_form_needs_the_token_of_its_page(room: Class) -> None:
    """A browser without scripts sends the origin "null" from our page, and so does a sandboxed frame from elsewhere."""
    ann = room.client(room.people[0])
    vote = {"task": ann.get("/task").json()["card"]["task"], "choice": "skip"}
    rows = len(room.store.judgements())
    null = {"Origin": "null"}
    for wrong in (None, "", "x", form_token("x"), form_token(room.people[1].token)):
        fields = vote if wrong is None else {**vote, "form_token": wrong}
        assert ann.post("/judgements", data=fields, headers=null).status_code == 403
        assert ann.post("/undo", data=fields, headers=null).status_code == 403
    assert len(room.store.judgements()) == rows
    (right, *_) = re.findall(r'name="form_token" value="(\w+)"', ann.get("/").text)
    assert ann.post("/judgements", data={**vote, "form_token": right}, headers=null).status_code == 303
    assert len(room.store.judgements()) == rows + 1


def test_forms_that_are_none_are_an_answer_and_no_crash(room: Class) -> None:
    many = {f"field {number}": "1" for number in range(30)}
    stranger, person = room.client(), room.client(room.people[0])
    assert stranger.post("/join", data=many).status_code == 422
    assert person.post("/judgements", data=many).status_code == 422
    secret = {"form_token": form_token(room.people[0].token), "task": "none", "choice": "left"}
    for strength in ("9" * 5_000, "4", "\u0663"):
        assert person.post("/judgements", data={**secret, "strength": strength}).status_code == 404


def test_there_is_no_cors(room: Class) -> None:
    ann = room.client(room.people[0])
    for method in ("GET", "OPTIONS"):
        answer = ann.request(method, "/task", headers={"Origin": "http://evil.example"})
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", CLIMBING)
def test_paths_lead_nowhere(room: Class, path: str) -> None:
    assert raw(room, [f"GET {path} HTTP/1.1", host(room)]) == 401
    assert raw(room, [f"GET {path} HTTP/1.1", host(room), cookie(room)]) == 404


@pytest.mark.parametrize("size", [MOST_BYTES + 1, 64_000, 65_536, 1 << 24])
def test_a_large_body_is_refused_before_it_is_read(room: Class, size: int) -> None:
    head = ["POST /judgements HTTP/1.1", host(room), cookie(room), "Content-Type: application/json"]
    assert raw(room, [*head, f"Content-Length: {size}"]) == 413
    assert raw(room, [*head[:2], f"Content-Length: {size}"]) == 413


def test_a_large_body_in_chunks_is_refused_too(room: Class) -> None:
    head = ["POST /judgements HTTP/1.1", host(room), cookie(room), "Content-Type: application/json"]
    chunks = b"".join(b"1000\r\n" + b" " * 4096 + b"\r\n" for _ in range(16)) + b"0\r\n\r\n"
    assert raw(room, [*head, "Transfer-Encoding: chunked"], chunks) == 413
    assert raw(room, [*head, "Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n") == 422


def test_a_body_that_does_not_come_is_not_waited_for(room: Class, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "SECONDS_FOR_A_BODY", 0.05)
    head = ["POST /judgements HTTP/1.1", host(room), cookie(room), "Content-Type: application/json"]
    assert raw(room, [*head, "Content-Length: 100"], b"{") == 408


def test_every_answer_carries_the_headers(room: Class) -> None:
    ann, stranger = room.client(room.people[0]), room.client()
    pages = [(ann, "/"), (ann, "/task"), (ann, "/nothing"), (stranger, "/"), (stranger, "/static/judge.js")]
    for client, path in pages:
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers.get_list("x-frame-options") == ["DENY"]
        assert "server" not in headers
    refused = stranger.get("/", headers={"Host": "evil"})
    assert refused.headers["x-content-type-options"] == "nosniff"


def test_pages_have_no_inline_script_or_style_and_name_no_other_server(room: Class) -> None:
    teacher = room.client(room.teacher)
    for text in (room.client(room.people[0]).get("/").text, teacher.get("/live").text, teacher.get("/join").text):
        assert not re.search(r"<script(?![^>]*\ssrc=\"/static/)|<style|\sstyle=|\son\w+=|javascript:", text)
        assert not [link for link in re.findall(r'(?:src|href|action)="([^"]*)"', text) if not link.startswith("/")]


def test_who_is_too_fast_has_to_wait(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(4)) as room:
        ann, bo = (room.client(person) for person in room.people)
        statuses = [ann.get("/task").status_code for _ in range(80)]
        assert statuses[:50] == [200] * 50
        assert statuses[-1] == 429
        assert int(ann.get("/task").headers["retry-after"]) >= 1
        assert bo.get("/task").status_code == 200


def test_a_rate_limit_fills_again_and_forgets_the_idle() -> None:
    now = [0.0]
    limit = RateLimit(3, 1.0, clock=lambda: now[0])
    limit._MOST_KEYS = 5
    assert [limit.wait("a") for _ in range(4)] == [0.0, 0.0, 0.0, 1.0]
    now[0] = 1.5
    assert [limit.wait("a"), limit.wait("a")] == [0.0, 0.5]
    for number in range(100):
        limit.wait(f"key {number}")
        now[0] += 0.01
    assert len(limit._levels) <= 5


def test_the_join_page_hands_out_links_until_it_is_closed(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(8), public=True) as room:
        code = Joining(room.store).open_unless_closed()
        new, teacher = room.client(), room.client(room.teacher)
        assert code in teacher.get("/live").text
        assert teacher.get("/live/qr.svg").headers["content-type"] == "image/svg+xml"
        answer = new.post("/join", data={"code": f" {code[:3].lower()}-{code[3:]} ", "name": "  Cy  Young "})
        assert answer.status_code == 200
        (link,) = re.findall(r"http://[^<\s]*/a/[^<\s]*", answer.text)
        assert link.startswith(f"{room.url}/a/")
        assert new.get("/task").json()["card"]["task"]
        assert [person.name for person in room.store.annotators()][-1] == "Cy Young"
        assert room.client().get(link).status_code == 303
        (token, *_) = re.findall(r'name="form_token" value="(\w+)"', teacher.get("/live").text)
        assert teacher.post("/live/joining", data={"joining": "close"}).status_code == 403
        assert teacher.post("/live/joining", data={"joining": "close", "form_token": token}).status_code == 303
        assert room.client().post("/join", data={"code": code, "name": "Di"}).status_code == 403
        assert room.client().post("/join", data={"code": "", "name": "Di"}).status_code == 403
        assert teacher.get("/live/qr.svg").status_code == 404
        assert Joining(room.store).open_unless_closed() == ""
        assert new.get("/task").status_code == 200
        assert teacher.post("/live/joining", data={"joining": "open", "form_token": token}).status_code == 303
        assert Joining(room.store).code() not in ("", code)


@pytest.mark.parametrize("name", ["", " ", "x" * 41, "a\u202eb", "a\x00b", "Ann"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(2), public=True) as room:
        answer = room.client().post("/join", data={"code": Joining(room.store).begin(), "name": name})
        assert answer.status_code == 422
        assert len(room.store.annotators()) == 3


def test_class_codes_cannot_be_tried_one_by_one(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(2), public=True) as room:
        code = Joining(room.store).begin()
        client = room.client()
        statuses = [client.post("/join", data={"code": f"AAAA{n}", "name": "E"}).status_code for n in range(12)]
        assert statuses == [403] * 10 + [429] * 2
        assert client.post("/join", data={"code": code, "name": "E"}).status_code == 429


def test_without_a_public_address_there_is_no_join_page(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(2)) as room:
        assert room.client().get("/join").status_code == 401
        assert room.client(room.people[0]).get("/join").status_code == 404
        assert room.client().post("/join", data={"code": "", "name": "E"}).status_code == 401
        assert "Class code" not in room.client(room.teacher).get("/live").text


def test_a_new_link_ends_the_old_one(tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(2)) as room:
        old = room.client(room.people[0])
        assert old.get("/task").status_code == 200
        new = room.store.renew(room.people[0].id)
        assert old.get("/task").status_code == 401
        assert room.client(new).get("/task").status_code == 200


def test_no_token_is_logged(
    room: Class,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even where somebody has switched all logs on."""
    caplog.set_level(logging.DEBUG)
    for logger in ("uvicorn", "uvicorn.error", "uvicorn.access", "fastapi"):
        caplog.set_level(logging.DEBUG, logger=logger)
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)
    statuses = [raw(room, [f"GET /a/{room.people[0].token} HTTP/1.1", host(room)])]
    statuses += [raw(room, ["GET /task HTTP/1.1", host(room), cookie(room)]), raw(room, ["BROKEN", cookie(room)])]
    assert statuses == [303, 200, 400]
    shown = capfd.readouterr()
    assert "/task" in caplog.text
    assert room.people[0].token not in caplog.text + shown.out + shown.err
