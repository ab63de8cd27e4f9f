"""Reviews in Chinese: words of several characters, their gold, their learned reward."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from reviewing import gold_of, score
from scripts import load_script

from textgym.characters import CharacterGrammar
from textgym.episodes import EpisodeBatch
from textgym.errors import TaskError
from textgym.grammars import KINDS, Word
from textgym.ngrams import NGramModel
from textgym.tasks import get
from textgym.tasks.reviews import make_grammar


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The script that builds the shipped files, as a module."""
    return load_script("textgym/assets/build_reviews.py")


@pytest.mark.parametrize(
    ("prompt", "text", "expected"),
    [
        ("夸电影", "拍得好", np.tanh(0.5 / 1.5)),
        ("贬短片", "拍得好", -np.tanh(0.5 / 1.5)),
        ("夸电影", "拍得很好", np.tanh(1.2 * 0.5 / 1.5)),
        ("荐短片", "拍得不糟糕", np.tanh(0.7 * 1.2 / 1.5)),
        ("夸电影", "拍得感人又极精彩又好", np.tanh((0.8 + 1.4 * 1.2 + 0.5) / 1.5)),
        ("夸演员", "拍得好", np.tanh(0.5 / 1.5) - 0.5),  # the verb of films
        ("批主角", "演得差", np.tanh(0.5 / 1.5)),
        ("夸电影", "好", np.tanh(0.5 / 1.5) - 0.4),  # no verb
        ("夸电影", "拍得好又好", np.tanh(1.0 / 1.5) - 0.6),
        ("夸电影", "拍得精", -0.6 - 2 * 0.4),  # half a word: unknown, and no end
        ("夸电影", "拍拍得好", np.tanh(0.5 / 1.5) - 2 * 0.4),  # begun twice
        ("夸电影", "", -0.6),
    ],
)
def test_chinese_gold_reads_words_from_characters(prompt: str, text: str, expected: float) -> None:
    assert gold_of("chinese", prompt, text) == pytest.approx(expected, abs=1e-12)


def test_characters_are_cut_into_words_as_by_a_plain_reader() -> None:
    task = get("Reviews", "chinese")
    grammar = make_grammar(task.settings)
    assert isinstance(grammar, CharacterGrammar)
    words, rng = [word.text for word in grammar.words], np.random.default_rng(0)
    end, size = task.tokenizer.eos_ids[0], task.tokenizer.vocab_size

    def cut(ids: list[int]) -> list[int]:
        found, begun = list[int](), ""
        for index in ids:
            letter = task.tokenizer.tokens[index] if index not in (end, size) else ""
            if begun and (not letter or not any(word.startswith(begun + letter) for word in words)):
                found, begun = [*found, len(words) + 1], ""
            if letter and not any(word.startswith(begun + letter) for word in words):
                found.append(len(words) + 1)
            elif letter:
                begun += letter
            if begun in words:
                found, begun = [*found, words.index(begun)], ""
        return found + [len(words) + 1] * bool(begun)

    ids = rng.integers(0, 26, size=(300, 10)).astype(np.int32)  # a few characters of prompts among them
    ids[np.arange(300), rng.integers(10, size=300)] = end
    ids[np.cumsum(ids == end, axis=1) - (ids == end) > 0] = size
    for row, read in zip(ids.tolist(), grammar.read(ids).tolist(), strict=True):
        assert [index for index in read if index != len(words) + 2] == cut(row)


def test_words_that_begin_others_are_refused() -> None:
    with pytest.raises(TaskError, match="好"):
        CharacterGrammar((Word("好", "adjective", 1.0), Word("好笑", "adjective", 1.0)), vocab_size=4)


@pytest.mark.slow
def test_the_chinese_reward_can_be_rebuilt(root: Path, build: ModuleType) -> None:
    rebuilt = build.build_model(get("Reviews", "chinese"))
    shipped = NGramModel.load(root / "textgym" / "assets" / "reviews-chinese.safetensors")
    assert np.array_equal(rebuilt.weights, shipped.weights)
    assert rebuilt.description == shipped.description


def test_no_grammatical_chinese_text_beats_the_oracle() -> None:
    task = get("Reviews", "chinese")
    grammar = make_grammar(task.settings)
    kinds = {kind: [word.text for word in grammar.words if word.kind == kind] for kind in KINDS}
    parts = ["".join(one) for one in itertools.product(["", *kinds["not"]], ["", *kinds["degree"]], kinds["adjective"])]
    texts = [f"拍得{one}" for one in parts] + [f"拍得{one}又{other}" for one in parts for other in parts]
    strong = [part for part in parts if part[-1] in "人趣好彩" and "不" not in part]
    texts += [f"拍得{one}又{two}又{three}" for one in strong for two in strong for three in strong]
    texts = [text for text in texts if len(text) <= task.budget]
    row = task.prompts.index_of("夸电影")
    ids = [task.encode_completion(text) for text in texts]
    assert task.gold is not None
    scores = task.gold(EpisodeBatch.from_ids(task.prompts, task.tokenizer, [row] * len(texts), ids))
    assert len(texts) > 1_500
    assert scores.max() <= score(task, "gold", "夸电影", task.best_text("夸电影")) + 1e-12
