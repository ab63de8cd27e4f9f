"""The label server in a real browser: a whole session by keyboard, and texts that would like to be scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from chromium import Browser, Page, await_true, find_chromium, open_browser
from labelling import Class, make_pairs, make_tokenizer, open_class

from textgym.feedback.joining import Joining
from textgym.feedback.pairs import Pair

HIT = "hit('executed')"
PAYLOADS = (
    f"<script>{HIT}</script>",
    f"<img src=x onerror={HIT}>",
    f"<svg onload={HIT}></svg>",
    f"<svg><script>{HIT}</script></svg>",
    f"<body onload={HIT}>",
    f'<iframe srcdoc="<script>parent.{HIT}</script>"></iframe>',
    f'<iframe src="javascript:parent.{HIT}"></iframe>',
    f'<a href="javascript:{HIT}" autofocus onfocus={HIT}>click</a>',
    f"<input autofocus onfocus={HIT}>",
    f"<details open ontoggle={HIT}>x</details>",
    f"<video><source onerror={HIT}></video>",
    f"<audio src=x onerror={HIT}>",
    f"<marquee onstart={HIT}>x</marquee>",
    f'<object data="javascript:{HIT}"></object>',
    f'<embed src="javascript:{HIT}">',
    f'<form action="javascript:{HIT}"><button autofocus>x</button></form>',
    f"<math><mtext></form><form><mglyph><style></math><img src onerror={HIT}>",
    f'<style>@keyframes x{{}}</style><b style="animation-name:x" onanimationstart={HIT}>x</b>',
    "<link rel=stylesheet href=http://evil.example/x.css>",
    '<meta http-equiv=refresh content="0;url=http://evil.example/">',
    "<base href=http://evil.example/>",
    "<img src=http://evil.example/leak>",
    f'"><script>{HIT}</script>',
    f"' onmouseover={HIT} autofocus onfocus={HIT} x='",
    f"</p></section></main><script>{HIT}</script>",
    f"</title></textarea></style></script><script>{HIT}</script>",
    f"<!--><script>{HIT}</script-->",
    f"{{{{ 7 * 7 }}}}{{% for x in ().__class__.__base__.__subclasses__() %}}{{% endfor %}}${{{HIT}}}",
    f"&lt;script&gt;{HIT}&lt;/script&gt;&#60;script&#62;{HIT}&#60;/script&#62;",
    f"\u202e<scr\x00ipt>{HIT}</scr\x00ipt>\u2028<script>{HIT}</script>",
    f"<img src=x:x onerror=&#x68;it('executed')><template><script>{HIT}</script></template>",
    f"javascript:{HIT}//'\"`-->]]>",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    find_chromium()
    with open_browser() as found:
        yield found


def done(page: Page, count: int) -> None:
    """Waits until so many votes are saved."""
    page.wait_for(f"document.getElementById('judging').dataset.done === '{count}'")


def enter(browser: Browser, room: Class, token: str, *, width: int = 1280, height: int = 800) -> Page:
    """Opens a personal link and waits for the script."""
    page = browser.page(room.url, width=width, height=height)
    page.go(f"{room.url}/a/{token}")
    assert token not in page.evaluate("location.href")
    return page


def check_clean(page: Page) -> None:
    """Nothing from elsewhere was asked for, and nothing failed."""
    assert (page.foreign, page.hits, page.errors) == ([], [], [])


def text(page: Page, place: str) -> str:
    return str(page.evaluate(f"document.getElementById('{place}').textContent"))


@pytest.mark.parametrize("width", [360, 1280])
def test_a_whole_session_by_keyboard(browser: Browser, tmp_path: Path, width: int) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(9), tokenizer=make_tokenizer(), ask_strength=True) as room:
        page = enter(browser, room, room.people[0].token, width=width, height=740)
        page.wait_for("document.documentElement.dataset.ready === 'yes'")
        page.wait_for("!document.getElementById('tokens-button').hidden")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.press("k")
        assert page.evaluate("document.querySelectorAll('#left .token').length") == 3
        page.press("k")
        assert page.evaluate("document.querySelectorAll('#left .token').length") == 0
        page.press("?")
        assert page.evaluate("document.getElementById('help').open")
        page.press("1")  # does not vote behind the help
        page.press("Escape")
        page.wait_for("!document.getElementById('help').open")
        said = []
        for number, key in enumerate(("1", "2", "ArrowLeft", "ArrowRight", "t", "b", "s")):
            said.append((text(page, "left"), text(page, "right")))
            page.press(key)
            done(page, number + 1)
        assert "Skipped, saved. Pair 8 of 9. Prompt: " in text(page, "status")
        before = text(page, "left")
        page.press("u")
        done(page, 6)
        assert (text(page, "left"), text(page, "right")) == said[-1]
        page.press("9")
        page.press("2")
        done(page, 7)
        assert text(page, "left") == before
        page.press("Tab")
        assert page.evaluate("document.activeElement !== document.body")
        for count in (8, 9):
            page.press("1")
            done(page, count)
        assert not page.evaluate("document.getElementById('finished').hidden")
        assert page.evaluate("document.getElementById('vote').hidden")
        found = room.store.comparisons()
        check_clean(page)
    expected = ["left", "right", "left", "right", "tie", "both_bad", "right", "left", "left"]
    assert [item.choice for item in found] == expected
    assert [item.strength for item in found] == [None] * 6 + [3, None, None]
    assert [(item.left, item.right) for item in found[:7]] == said
    assert all(item.seconds is not None and item.seconds < 600 for item in found)


@pytest.mark.slow
def test_a_click_and_a_key_that_is_held_down(browser: Browser, tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(9)) as room:
        page = enter(browser, room, room.people[0].token)
        page.wait_for("document.documentElement.dataset.ready === 'yes'")
        page.evaluate("document.querySelector('button[value=tie]').click()")
        done(page, 1)
        held = {"key": "1", "code": "Digit1", "windowsVirtualKeyCode": 49, "text": "1"}
        for _ in range(5):
            page.call("Input.dispatchKeyEvent", type="keyDown", autoRepeat=True, **held)
        page.press("2")
        done(page, 2)
        check_clean(page)
        assert [item.choice for item in room.store.comparisons()] == ["tie", "right"]


@pytest.mark.slow
def test_two_tabs_of_one_annotator(browser: Browser, tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(4)) as room:
        one = enter(browser, room, room.people[0].token)
        two = browser.page(room.url)
        two.go(f"{room.url}/")
        for page in (one, two):
            page.wait_for("document.documentElement.dataset.ready === 'yes'")
        one.press("1")
        done(one, 1)
        two.press("2")
        done(two, 1)
        assert "already" in text(two, "problem")
        assert text(two, "left") == text(one, "left")
        two.press("2")
        done(two, 2)
        assert text(two, "problem") == ""
        assert [item.choice for item in room.store.comparisons()] == ["left", "right"]


@pytest.mark.slow
def test_the_page_says_that_a_vote_was_not_saved(browser: Browser, tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(3)) as room:
        page = enter(browser, room, room.people[0].token)
        page.wait_for("document.documentElement.dataset.ready === 'yes'")
        page.is_offline = True
        page.press("1")
        page.wait_for("document.getElementById('problem').textContent.includes('Not saved')")
        page.is_offline = False
        page.press("1")
        done(page, 1)
        assert text(page, "problem") == ""
        assert len(room.store.comparisons()) == 1


@pytest.mark.slow
def test_a_plain_form_works_where_scripts_are_off(browser: Browser, tmp_path: Path) -> None:
    """In a real browser, which sends its own idea of an origin."""
    with open_class(tmp_path / "labels.sqlite", make_pairs(3)) as room:
        page = browser.page(room.url)
        page.call("Emulation.setScriptExecutionDisabled", value=True)
        page.go(f"{room.url}/a/{room.people[0].token}")
        for count in (1, 2):
            page.evaluate("window.isOld = true")
            page.evaluate("document.querySelector('button[value=right]').click()")
            page.wait_for("!window.isOld && document.readyState === 'complete'")
            done(page, count)
        assert [item.choice for item in room.store.comparisons()] == ["right", "right"]


@pytest.mark.slow
def test_joining_by_the_class_code(browser: Browser, tmp_path: Path) -> None:
    with open_class(tmp_path / "labels.sqlite", make_pairs(3), public=True) as room:
        code = Joining(room.store).begin()
        page = browser.page(room.url, width=360, height=740)
        page.go(f"{room.url}/join?code={code}")
        page.evaluate("document.getElementById('name').focus()")
        page.type("Zo\u00eb")
        page.press("Enter")
        page.wait_for("document.getElementById('personal-link')")
        page.go(f"{room.url}/")
        page.wait_for("document.documentElement.dataset.ready === 'yes'")
        page.press("2")
        done(page, 1)
        teacher = enter(browser, room, room.teacher.token, width=360, height=740)
        teacher.wait_for("document.getElementById('people').textContent.includes('Zo\u00eb')")
        teacher.wait_for("document.querySelector('.joining img').naturalWidth > 0")
        check_clean(teacher)
        assert [item.annotator for item in room.store.comparisons()] == ["Zo\u00eb"]


@pytest.mark.slow
def test_the_corpus_is_dangerous(browser: Browser) -> None:
    """On a page that takes texts for HTML, the same payloads run and reach out: so the next test can fail."""
    page = browser.page("http://127.0.0.1:9")
    for payload in PAYLOADS:
        page.go("about:blank")
        page.evaluate(f"document.open(); document.write({('<title>x</title><p>' + payload)!r}); document.close()")
        page.evaluate("new Promise(requestAnimationFrame)")
    await_true(lambda: page.evaluate("1") and len(page.hits) >= 10, "scripts that run")
    assert page.foreign


def test_no_text_is_ever_a_script(browser: Browser, tmp_path: Path) -> None:
    assert len(PAYLOADS) >= 30
    pairs = [Pair(id=f"{k}", prompt=one, first=one, second=f"{one} ") for k, one in enumerate(PAYLOADS)]
    everything = "\n".join(PAYLOADS)
    names = [one.replace("\x00", "") for one in PAYLOADS]
    with open_class(tmp_path / "labels.sqlite", pairs, names, tokenizer=None, guidelines=everything, overlap=2) as room:
        page = enter(browser, room, room.people[0].token)
        page.wait_for("document.documentElement.dataset.ready === 'yes'")
        page.evaluate("document.querySelector('details').open = true")
        for count in range(1, len(PAYLOADS) + 1):
            assert page.evaluate("document.querySelectorAll('#vote .text *:not(.hidden-character)').length") == 0
            page.press("t")
            done(page, count)
        check_clean(page)
        for person in room.people:  # each sees a prompt and a name, now written by the server instead of the script
            page.go(f"{room.url}/a/{person.token}")
            assert (
                page.evaluate("document.querySelectorAll('script, img, iframe, svg, link, style, meta, base').length")
                == 5
            )
            assert page.evaluate("document.title") == "Which text is better? \u00b7 textgym"
        check_clean(page)
        teacher = enter(browser, room, room.teacher.token)
        teacher.wait_for(f"document.querySelectorAll('#people tr').length === {len(names)}")
        teacher.wait_for("document.getElementById('people').textContent.includes('<script>')")
        check_clean(teacher)
        found = room.store.comparisons()
    assert {item.prompt for item in found} == set(PAYLOADS)


def test_injected_markup_would_not_run_either(browser: Browser, tmp_path: Path) -> None:
    """The second wall: even if a text became part of the page, the policy lets nothing run or load."""
    with open_class(tmp_path / "labels.sqlite", make_pairs(2)) as room:
        page = enter(browser, room, room.people[0].token)
        assert page.evaluate("try { document.body.innerHTML = '<b>x</b>'; 'done' } catch { 'refused' }") == "refused"
        added = "const s = document.createElement('script'); s.text = \"hit('x')\"; document.body.append(s); 'done'"
        assert page.evaluate(f"try {{ {added} }} catch {{ 'refused' }}") == "refused"
        added = "document.body.setAttribute('onclick', 'x'); 'done'"
        assert page.evaluate(f"try {{ {added} }} catch {{ 'refused' }}") == "refused"
        page.evaluate("const i = new Image(); i.src = 'http://evil.example/leak'; document.body.append(i)")
        page.evaluate("new Promise(requestAnimationFrame)")
        assert (page.hits, page.foreign) == ([], [])
        assert page.errors  # the browser says what it has refused
