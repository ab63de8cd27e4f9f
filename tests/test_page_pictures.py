"""Every picture of the pages is on a page and comes from a script, and the cheap ones are what their script draws."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import DOCS, EVERY_PAGE, ROOT
from scripts import load_script

IMAGES = DOCS / "images"
DRAWN_ELSEWHERE = {"concept-*.svg": "test_site.py", "moving.svg": "test_site.py", "t*-*.svg": "test_pictures.py"}
"""Pictures -> the test that draws them again."""

DRAWN_HERE = {"rendering.png": "docs/pictures/make_rendering.py", "suite.png": "docs/pictures/make_suite.py"}
"""Pictures -> the script that draws them, the same on every machine."""

BY_HAND = {
    "label_*.png": "tests/make_label_pictures.py",  # Chromium's letters
    "report.png": "tests/make_report_picture.py",  # Chromium's letters, and the seconds of a run
    "lm-curves*.svg": "docs/pictures/make_lm_curves.py",  # hours of training
}
"""Pictures that no test can draw -> the script that does, which says why."""

SLOW = {"overopt.svg": "docs/pictures/make_overopt.py"}
PATTERNS = {**DRAWN_ELSEWHERE, **DRAWN_HERE, **BY_HAND, **SLOW}


@pytest.mark.parametrize("path", sorted(IMAGES.iterdir()), ids=lambda path: path.name)
def test_it_has_a_script_and_a_page(path: Path) -> None:
    assert len([pattern for pattern in PATTERNS if path.match(pattern)]) == 1
    pages = [page.read_text(encoding="utf-8") for page in EVERY_PAGE]
    assert any(f"images/{path.name}" in text for text in pages)


def test_no_script_has_lost_its_picture() -> None:
    assert all([*IMAGES.glob(pattern)] for pattern in PATTERNS)
    scripts = {*DRAWN_HERE.values(), *BY_HAND.values(), *SLOW.values()}
    known = {"make_concepts", "make_moving", "make_values"}  # of the tests in DRAWN_ELSEWHERE
    assert {path.stem for path in (DOCS / "pictures").glob("*.py")} <= {Path(script).stem for script in scripts} | known
    for name in DRAWN_ELSEWHERE.values():
        assert "docs" in (ROOT / "tests" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("script", sorted(set(BY_HAND.values())))
def test_what_no_test_draws_says_why(script: str) -> None:
    assert "no test" in (load_script(script).__doc__ or "")


@pytest.mark.parametrize(("name", "script"), sorted(DRAWN_HERE.items()))
def test_it_is_what_its_script_draws(name: str, script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image: Any = pytest.importorskip("PIL.Image")
    drawing = load_script(script)
    monkeypatch.setattr(drawing, "TARGET", tmp_path / name)
    drawing.main()
    known, drawn = (np.asarray(image.open(folder / name), dtype=np.int16) for folder in (IMAGES, tmp_path))
    assert known.shape == drawn.shape
    changed = np.abs(known - drawn).max(axis=2) > 96  # another version of FreeType changes shades, not black to white
    assert changed.mean() < 0.002, f"look at it after python {script}"


@pytest.mark.slow
def test_the_exact_curves_are_what_their_script_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processors round differently: numbers may differ by the second decimal, everything else is the same."""
    drawing = load_script(SLOW["overopt.svg"])
    monkeypatch.setattr(drawing, "FOLDER", tmp_path)
    drawing.main()
    number = re.compile(r"-?\d+(?:\.\d+)?")
    known, drawn = ((folder / "overopt.svg").read_text(encoding="utf-8") for folder in (IMAGES, tmp_path))
    assert number.sub("0", known) == number.sub("0", drawn)
    pairs = zip(number.findall(known), number.findall(drawn), strict=True)
    assert max(abs(float(one) - float(other)) for one, other in pairs) <= 0.1
