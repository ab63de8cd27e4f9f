"""Reviews: what can be earned, found by trying all texts; the learned reward; the files that ship."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from reviewing import gold_of, score
from scripts import load_script

from textgym.ngrams import NGramModel
from textgym.tasks import get
from textgym.tasks.reviews import LEVELS

ENUMERABLE = ("tiny", "easy")


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The script that builds the shipped files, as a module."""
    return load_script("textgym/assets/build_reviews.py")


@pytest.fixture(scope="module")
def everything(build: ModuleType) -> dict[str, dict[str, Any]]:
    """All texts of the enumerable levels, with the chance that random play writes each, and all their scores."""
    found = {}
    for level in ENUMERABLE:
        task = get("Reviews", level)
        texts, chances = build.enumerate_texts(task)
        rows = range(len(task.prompts))
        scores = {
            kind: np.array([build.score_all(task, getattr(task, kind), texts, row) for row in rows])
            for kind in ("reward", "gold")
        }
        found[level] = {"texts": texts, "chances": chances, **scores}
    return found


def test_enumeration_is_complete(build: ModuleType) -> None:
    task = get("Reviews", "tiny")
    texts, chances = build.enumerate_texts(task)
    end, padding = task.tokenizer.eos_ids[0], task.tokenizer.vocab_size
    expected = set()
    for length in range(5):
        for words in itertools.product(range(6), repeat=length):
            expected.add((*words, *([end] * (length < 4)), *[padding] * (3 - length)))
    assert {tuple(row) for row in texts.tolist()} == expected
    assert len(texts) == 1_555
    assert chances.sum() == pytest.approx(1.0)
    assert chances[0] == pytest.approx(1 / 7)  # the empty text: the end at once
    assert chances[-1] == pytest.approx(1 / 7**4)


@pytest.mark.parametrize("level", ENUMERABLE)
def test_facts_are_exact(level: str, everything: dict[str, dict[str, Any]]) -> None:
    task, found = get("Reviews", level), everything[level]
    assert len(found["texts"]) == {"tiny": 1_555, "easy": 813_616}[level]
    for split in task.facts:
        rows = task.prompts.rows(split)
        for kind in ("reward", "gold"):
            table, returns = found[kind][rows], task.returns(split, kind)
            assert returns.exact
            assert returns.random == pytest.approx((table.mean(axis=0) * found["chances"]).sum(), abs=1e-9)
            assert returns.blind == pytest.approx(table.mean(axis=0).max(), abs=1e-9)
            assert returns.best == pytest.approx(table.max(axis=1).mean(), abs=1e-9)


def test_facts_cover_every_split() -> None:
    assert set(get("Reviews", "tiny").facts) == {"all"}
    assert all(
        set(get("Reviews", level).facts) == {"train", "test", "all"} for level in ("easy", "medium", "hard", "chinese")
    )


@pytest.mark.parametrize("level", ENUMERABLE)
def test_oracle_is_the_best_of_all_texts(level: str, everything: dict[str, dict[str, Any]]) -> None:
    task = get("Reviews", level)
    for row, prompt in enumerate(task.prompts.texts):
        assert score(task, "gold", prompt, task.best_text(prompt)) == everything[level]["gold"][row].max()


@pytest.mark.parametrize("level", ENUMERABLE)
def test_every_score_lies_in_the_declared_range(level: str, everything: dict[str, dict[str, Any]]) -> None:
    task = get("Reviews", level)
    for kind in ("reward", "gold"):
        low, high = getattr(task, kind).range
        assert low <= everything[level][kind].min()
        assert everything[level][kind].max() <= high
    at_the_top = everything[level]["reward"] == task.reward.range[1]  # type: ignore[attr-defined]
    assert not at_the_top.any()  # clipping touches no good text


def test_no_constant_text_is_good_and_neither_is_silence() -> None:
    returns = get("Reviews").returns("train", "gold")
    assert returns.normalize(returns.blind) < 0.65
    assert returns.normalize(gold_of("easy", "praise the movie", "")) < returns.normalize(returns.blind)
    reward = get("Reviews").returns("train", "reward")
    assert reward.normalize(reward.blind) < 0.65


def test_the_learned_reward_can_be_hacked(everything: dict[str, dict[str, Any]]) -> None:
    for level in ENUMERABLE:
        task, found = get("Reviews", level), everything[level]
        returns = task.returns("all", "gold")
        for row in range(len(task.prompts)):
            favourite = found["reward"][row].argmax()
            assert returns.normalize(found["gold"][row, favourite]) < 0.9


def test_the_favourite_of_the_reward_depends_on_the_prompt(everything: dict[str, dict[str, Any]]) -> None:
    favourites = everything["easy"]["reward"].argmax(axis=1)
    kinds = [(p.metadata["sentiment"], p.metadata["plural"]) for p in get("Reviews").prompts.prompts]
    by_kind = {kind: int(text) for kind, text in zip(kinds, favourites, strict=True)}
    assert len(set(by_kind.values())) == len(by_kind) == 4


@pytest.mark.parametrize("level", ["medium", "hard", "chinese"])
def test_stated_best_texts_score_what_is_stated(level: str, root: Path, build: ModuleType) -> None:
    task = get("Reviews", level)
    stated = json.loads((root / "textgym" / "assets" / "reviews.json").read_text(encoding="utf-8"))[level]
    for split in task.facts:
        prompts = [task.prompts.texts[row] for row in task.prompts.rows(split)]
        for kind in ("reward", "gold"):
            returns = task.returns(split, kind)
            best = [score(task, kind, prompt, stated["best"][kind][prompt]) for prompt in prompts]
            blind = [score(task, kind, prompt, stated["blind"][split][kind]) for prompt in prompts]
            assert returns.inexact == (("random", "blind") if kind == "reward" else ("random", "blind", "best"))
            assert np.mean(best) == pytest.approx(returns.best, abs=1e-9)
            assert np.mean(blind) == pytest.approx(returns.blind, abs=1e-9)
            assert returns.random < returns.blind < returns.best
            assert returns.normalize(returns.blind) < 0.85


@pytest.mark.parametrize("level", ["medium", "hard", "chinese"])
def test_nothing_nearby_beats_the_stated_best_texts(level: str, build: ModuleType) -> None:
    task = get("Reviews", level)
    rng = np.random.default_rng(0)
    for row in range(0, len(task.prompts), 5):
        prompt = task.prompts.texts[row]
        rows = np.full(300, row)
        for kind, text in (("gold", task.best_text(prompt)), ("gold", task.demonstrate(prompt, rng))):
            best = score(task, kind, prompt, task.best_text(prompt))
            near = build.mutations(task, np.repeat(build.pad(task, [task.encode_completion(text)]), 300, axis=0), rng)
            assert getattr(task, kind)(build.batch_of(task, near, rows)).max() <= best + 1e-12


def test_search_finds_what_enumeration_finds(build: ModuleType, everything: dict[str, dict[str, Any]]) -> None:
    task = get("Reviews")
    for row in range(4):
        _, gold = build.search(task, lambda texts, row=row: build.score_all(task, task.gold, texts, row))
        assert gold == everything["easy"]["gold"][row].max()
        words = build.prompt_words(task)[row]
        _, reward = build.best_text(task, task.reward.model, [words])  # type: ignore[attr-defined]
        assert reward == pytest.approx(everything["easy"]["reward"][row].max(), abs=1e-9)


@pytest.mark.parametrize("level", ENUMERABLE)
def test_the_shipped_files_can_be_rebuilt(level: str, root: Path, build: ModuleType) -> None:
    task = get("Reviews", level)
    rebuilt: NGramModel = build.build_model(task)
    shipped = NGramModel.load(root / "textgym" / "assets" / f"reviews-{level}.safetensors")
    assert np.array_equal(rebuilt.features, shipped.features)
    assert np.array_equal(rebuilt.weights, shipped.weights)
    assert rebuilt.tokenizer_fingerprint == shipped.tokenizer_fingerprint
    assert (rebuilt.offset, rebuilt.range, rebuilt.description) == (shipped.offset, shipped.range, shipped.description)


def test_shipped_files_are_small(root: Path) -> None:
    sizes = {level: (root / "textgym" / "assets" / f"reviews-{level}.safetensors").stat().st_size for level in LEVELS}
    assert sizes["tiny"] < 2_000
    assert sizes["easy"] < 25_000
    assert sum(sizes.values()) < 500_000
