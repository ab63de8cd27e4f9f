"""The site, as a stranger sees it: built, opened from its folder in a browser without a network, in light and dark.

``make docs`` builds it; ``TEXTGYM_SITE`` names another folder. What needs the site or a browser is slow.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from chromium import Browser, Page, await_true, open_browser

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SITE = Path(os.environ.get("TEXTGYM_SITE", DOCS / "_build" / "html")).resolve()
sys.path.append(str(DOCS / "pictures"))  # scripts, not part of the package
sys.path.append(str(DOCS))
import api_pages  # noqa: E402
import make_concepts  # noqa: E402
import make_moving  # noqa: E402

LEAST_CONTRAST = 4.5
NARROW, WIDE = 360, 1280
MOST_BYTES, MOST_PICTURE = 15_000_000, 300_000
FEWEST_PAGES = 30

PATTERNS = ("*.html", "course/*.html", "integrations/*.html", "environments/*.html", "zh/**/*.html")
PER_FOLDER = 12
"""Of the many pages of the environments, so many; of the others all."""

CONTRAST = """
(() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[0-9.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (top, below) => ({
    r: top.r * top.a + below.r * (1 - top.a),
    g: top.g * top.a + below.g * (1 - top.a),
    b: top.b * top.a + below.b * (1 - top.a),
    a: 1,
  });
  const background = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.a > 0) layers.push(colour);
      if (colour.a === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), { r: 255, g: 255, b: 255, a: 1 });
  };
  const light = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const shown = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  };
  const found = {};
  let count = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !shown(element)) continue;
    if (element.closest('svg, script, style, noscript, template')) continue;
    count += 1;
    const below = background(element);
    const ink = over(parse(getComputedStyle(element).color), below);
    const [high, low] = [light(ink), light(below)].sort((x, y) => y - x);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < LEAST) {
      const name = element.tagName.toLowerCase() + '.' + element.className;
      found[name] = ratio.toFixed(2) + ' ' + node.textContent.trim().slice(0, 30);
    }
  }
  return { found, count };
})()
""".replace("LEAST", str(LEAST_CONTRAST))

FOCUS = """
(() => {
  const element = document.activeElement;
  if (element === document.body) return 'nothing';
  const card = element.closest('.sd-card');
  const seen = [element, card].filter(Boolean).some((one) => {
    const style = getComputedStyle(one);
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1 || style.boxShadow !== 'none';
  });
  return seen ? 'seen' : element.outerHTML.slice(0, 120);
})()
"""

FACTS = """
({
  lang: document.documentElement.lang,
  title: document.title,
  headlines: [...document.querySelectorAll('h1')].map((h) => h.textContent),
  mute: [...document.querySelectorAll('article img')].filter((img) => !img.alt.trim()).map((img) => img.src),
  broken: [...document.images].filter((img) => img.complete && !img.naturalWidth).map((img) => img.src),
  unnamed: [...document.querySelectorAll('article svg[role=img]')].filter((one) => !one.ariaLabel).length,
  width: document.documentElement.scrollWidth,
})
"""


def pages() -> list[str]:
    """The pages to look at, by their addresses within the site."""
    found = [sorted(SITE.glob(pattern)) for pattern in PATTERNS]
    chosen = [*found[0], *found[1], *found[2], *found[3][:PER_FOLDER], *found[4]]
    return [path.relative_to(SITE).as_posix() for path in chosen if path.name != "search.html"]


needs_site = pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="the site is not built: make docs")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Page:
    """A tab that is cut off from any network; requests beside files are refused and noted."""
    tab = browser.page("file://", width=WIDE)
    tab.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    return tab


def show(page: Page, name: str, *, scheme: str = "light", width: int = WIDE) -> None:
    """Opens a page of the site."""
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.resize(width, 800)
    page.go(f"{SITE.as_uri()}/{name}")


# ---- the built site -------------------------------------------------------------------------------------------------


@needs_site
@pytest.mark.slow
def test_there_are_enough_pages_and_the_site_is_small() -> None:
    assert len(pages()) >= FEWEST_PAGES
    files = [path for path in SITE.rglob("*") if path.is_file() and ".doctrees" not in path.parts]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


@needs_site
@pytest.mark.slow
def test_pages_need_no_network_and_raise_no_errors(page: Page) -> None:
    complaints: dict[str, Any] = {}
    for name in pages():
        show(page, name)
        facts = page.evaluate(FACTS)
        if facts["lang"] != ("zh-CN" if name.startswith("zh/") else "en"):
            complaints[name] = f"lang={facts['lang']!r}"
        if len(facts["headlines"]) != 1 or not facts["title"]:
            complaints[name] = facts["headlines"]
        if facts["mute"] or facts["broken"] or facts["unnamed"]:
            complaints[name] = facts
    assert complaints == {}
    assert page.foreign == []
    assert page.errors == []


@needs_site
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read(page: Page, scheme: str) -> None:
    complaints, texts = {}, 0
    for name in pages():
        show(page, name, scheme=scheme)
        measured = page.evaluate(CONTRAST)
        texts += measured["count"]
        complaints |= {name: measured["found"]} if measured["found"] else {}
    assert complaints == {}
    assert texts > 100 * len(pages())


@needs_site
@pytest.mark.slow
def test_on_a_telephone_the_page_does_not_scroll_sideways(page: Page) -> None:
    wide = {}
    for name in pages():
        show(page, name, width=NARROW)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > NARROW:
            wide[name] = width
    assert wide == {}


@needs_site
@pytest.mark.slow
@pytest.mark.parametrize("name", ["index.html", "glossary.html", "gallery.html"])
def test_the_focus_can_be_seen(page: Page, name: str) -> None:
    show(page, name)
    seen = []
    for _ in range(25):
        page.press("Tab")
        seen.append(page.evaluate(FOCUS))
    assert set(seen) <= {"seen"}


@needs_site
@pytest.mark.slow
def test_the_search_works_from_a_folder(page: Page) -> None:
    show(page, "search.html?q=entropy")
    links = "[...document.querySelectorAll('#search-results li a')].map((a) => a.href)"
    await_true(lambda: any("glossary.html" in link for link in page.evaluate(links)), "the glossary among the results")
    results = page.evaluate(links)
    assert all(result.startswith("file://") for result in results)
    assert page.foreign == []
    assert page.errors == []


@needs_site
@pytest.mark.slow
def test_who_prefers_less_motion_sees_the_last_text_at_once(page: Page) -> None:
    last = f".a{len(make_moving.ACTS) - 1}s0"
    states = f"[getComputedStyle(document.querySelector({last!r})).animationName, " + (
        f"getComputedStyle(document.querySelector({last!r})).opacity, "
        "getComputedStyle(document.querySelector('.a0s0')).opacity]"
    )
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    page.go((SITE / "index.html").as_uri())
    assert page.evaluate(states) == ["none", "1", "0"]
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "no-preference"}])
    assert page.evaluate(states)[0] == last[1:]


# ---- its pictures, and what needs no browser -------------------------------------------------------------------------


def test_pictures_are_those_of_their_scripts() -> None:
    for name, picture in make_concepts.draw().items():
        assert (DOCS / "images" / f"{name}.svg").read_text(encoding="utf-8") == picture, name
    assert (DOCS / "images" / "moving.svg").read_text(encoding="utf-8") == make_moving.draw(make_moving.train())


def test_the_moving_picture_is_small_ends_and_tells_its_story() -> None:
    text = (DOCS / "images" / "moving.svg").read_text(encoding="utf-8")
    picture = ElementTree.fromstring(text)
    assert len(text.encode()) < MOST_PICTURE
    assert "infinite" not in text
    assert "prefers-reduced-motion:reduce" in text
    assert "after no training" in picture.attrib["aria-label"]
    names = set(re.findall(r"@keyframes (\w+)", text))
    drawn = {element.attrib["class"] for element in picture.iter() if "class" in element.attrib}
    assert names == drawn
    assert len([name for name in names if name.startswith("a0")]) >= 4  # a prompt, two tokens and a reward at least


def test_the_api_pages_hold_every_module_once() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    pages = api_pages.pages(text)
    found = [name for page in pages.values() for name in re.findall(r"automodule:: ([\w.]+)", page)]
    assert sorted(found) == sorted(re.findall(r"^   (textgym[\w.]*)$", text, re.MULTILINE))
    assert all(1 <= page.count("automodule::") <= api_pages.MOST for page in pages.values())
    assert "## textgym.exact.soft" in pages["textgym-exact.md"]
    assert "textgym.keys" in pages["foundations.md"]


def test_signatures_lose_their_wrappers_and_nothing_else() -> None:
    before = (
        '<em><span class="n"><span class="pre">size</span></span><span class="w"> </span>= 1</em><pre>a <b>b</b></pre>'
    )
    after = '<em><span class="n">size</span> = 1</em><pre>a <b>b</b></pre>'
    assert api_pages.shorten(before) == after


def test_every_page_stands_in_the_contents() -> None:
    entries = set(re.findall(r"^([\w/]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE))
    for path in (*DOCS.glob("*.md"), *(DOCS / "integrations").glob("*.md")):
        name = path.relative_to(DOCS).with_suffix("").as_posix()
        assert name in entries | {"index"}, f"{name} is in no toctree of docs/index.md"


def test_images_in_the_pages_have_words() -> None:
    for path in DOCS.rglob("*.md"):
        if "_build" not in path.parts:
            assert not re.findall(r"!\[\s*\]\(", path.read_text(encoding="utf-8")), path.name


def test_pages_link_to_no_server_of_scripts_or_fonts() -> None:
    for path in (*DOCS.glob("_static/*.css"), DOCS / "conf.py"):
        assert not re.search(r"(src|href|@import|url\()\s*=?\s*[\"'(]?https?://", path.read_text(encoding="utf-8")), (
            path
        )
