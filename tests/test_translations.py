"""Translated pages keep up with the pages that they translate."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts import load_script

translations = load_script("docs/translations.py")
ROOT = translations.ROOT
PAGE = "# One\n\nText.\n\n```python\nprint(1)\n```\n\n## Two\n"


@pytest.mark.parametrize("translation", translations.TRANSLATIONS)
def test_a_translation_is_up_to_date(translation: str) -> None:
    assert translations.check(ROOT / translation, ROOT / translations.TRANSLATIONS[translation]) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("Text.", "Texts."), "translates an older page.md"),
        (("print(1)", "print(2)"), "has other code than page.md"),
        (("## Two", "### Two"), "has other headings than page.md"),
    ],
)
def test_a_change_of_the_original_is_told(
    change: tuple[str, str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translations, "ROOT", tmp_path)
    original, translation = tmp_path / "page.md", tmp_path / "zh.md"
    original.write_text(PAGE, encoding="utf-8")
    translation.write_text(PAGE.replace("Text.", "文字。"), encoding="utf-8")
    assert translations.check(translation, original) == ["has no mark of what it translates"]
    translations.mark(translation, original)
    translations.mark(translation, original)
    assert translations.check(translation, original) == []
    assert translation.read_text(encoding="utf-8").count("<!--") == 1
    original.write_text(PAGE.replace(*change), encoding="utf-8")
    assert problem in translations.check(translation, original)
