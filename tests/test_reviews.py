"""The list of tasks, and Reviews: its levels, gold, learned reward, facts, oracle and demonstrations."""

from __future__ import annotations

import importlib.util
import itertools
import json
import pickle
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import textgym.tasks as tasks
from textgym.characters import CharacterGrammar
from textgym.constraints import Mask
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import TaskError, UnknownNameError
from textgym.grammars import FOLLOWS, KINDS, MODIFIERS, Word
from textgym.ngrams import NGramModel
from textgym.prompts import PromptTable
from textgym.task import Task
from textgym.tasks import get
from textgym.tasks.reviews import LEVELS, SUCCESS, TASK, make_grammar, make_tokenizer, writable_words

ENUMERABLE = ("tiny", "easy")


def gold_of(level: str, prompt: str, text: str) -> float:
    return float(score(get("Reviews", level), "gold", prompt, text))


def score(task: Task, kind: str, prompt: str, text: str) -> float:
    ids = task.encode_completion(text)
    row = task.prompts.index_of(prompt)
    batch = EpisodeBatch.from_ids(task.prompts, task.tokenizer, [row], [ids], max_new_tokens=task.budget)
    return float(getattr(task, kind)(batch)[0])


@pytest.fixture(scope="module")
def build(root: Path) -> ModuleType:
    """The script that builds the shipped files, as a module."""
    spec = importlib.util.spec_from_file_location("build_reviews", root / "textgym" / "assets" / "build_reviews.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


# ---------------------------------------------------------------- the list of tasks


def test_the_list_tells_the_truth_about_the_task() -> None:
    listing = tasks.TASKS["Reviews"]
    assert tasks.names()[0] == "Reviews"
    assert listing.tags == TASK.tags
    assert listing.levels == tuple(LEVELS)
    assert TASK.level == "easy"


def test_get_returns_the_same_task_each_time() -> None:
    assert get("Reviews") is get("Reviews", "easy")
    assert get("Reviews", "tiny") is get("Reviews", "tiny")
    assert get("Reviews").registered
    assert get("Reviews", "tiny").level == "tiny"


def test_unknown_tasks_and_levels_get_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'Reviews'"):
        get("Review")
    with pytest.raises(UnknownNameError, match="Did you mean 'medium'"):
        get("Reviews", "meduim")


def test_other_packages_add_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [EntryPoint("Mine", "textgym.tasks.reviews:TASK", tasks.GROUP), EntryPoint("No", "math:pi", tasks.GROUP)]
    monkeypatch.setattr(tasks, "entry_points", lambda group: entries if group == tasks.GROUP else [])
    tasks._load.cache_clear()
    try:
        assert get("Mine").registered
        with pytest.raises(TaskError, match="expected a textgym Task"):
            get("No")
        with pytest.raises(UnknownNameError, match="Mine"):
            get("Nine")
    finally:
        tasks._load.cache_clear()
        tasks._at.cache_clear()


def test_tasks_pickle_by_name_unless_something_was_changed() -> None:
    task = get("Reviews", "tiny")
    assert pickle.loads(pickle.dumps(task)) is task
    assert pickle.loads(pickle.dumps(get("Reviews").at("tiny"))) is task
    shorter = pickle.loads(pickle.dumps(task.override(max_new_tokens=3)))
    assert (shorter.budget, shorter.level, shorter.tokenizer.tokens) == (3, "tiny", task.tokenizer.tokens)


# ---------------------------------------------------------------- levels


@pytest.mark.parametrize(
    ("level", "words", "tokens", "train", "test"),
    [
        ("tiny", 6, 4, 1, 0),
        ("easy", 15, 5, 4, 2),
        ("medium", 60, 8, 16, 8),
        ("hard", 200, 16, 32, 16),
        ("chinese", 22, 10, 11, 5),
    ],
)
def test_levels_are_as_documented(level: str, words: int, tokens: int, train: int, test: int) -> None:
    task = get("Reviews", level)
    assert (len(set(writable_words(LEVELS[level]))), task.budget) == (words, tokens)
    assert task.prompts.has_splits is (level != "tiny")
    assert len(task.prompts.rows("train" if test else "all")) == train
    assert len(task.prompts) == train + test


@pytest.mark.parametrize("level", ["easy", "medium", "hard", "chinese"])
def test_held_out_prompts_are_new_pairings_of_known_words(level: str) -> None:
    train, test = LEVELS[level].train, LEVELS[level].test
    assert not set(train) & set(test)
    if level != "chinese":
        assert {word for text in test for word in text.split()} <= {word for text in train for word in text.split()}
    else:
        assert {text[0] for text in test} <= {text[0] for text in train}
        assert {text[1:] for text in test} <= {text[1:] for text in train}


@pytest.mark.parametrize("level", list(LEVELS))
def test_only_review_words_may_be_written(level: str) -> None:
    task = get("Reviews", level)
    (constraint,) = task.constraints
    blank = np.full((1, task.budget), task.tokenizer.vocab_size, dtype=np.int32)
    mask: Mask = constraint(task.tokenizer, blank, np.zeros(1, dtype=np.int64))
    legal = {task.tokenizer.tokens[index] for index in np.flatnonzero(mask[0])}
    assert constraint.static
    assert legal == {*writable_words(LEVELS[level]), "<eos>"}
    assert not (task.prompts.ids == task.tokenizer.unk_id).any()


# ---------------------------------------------------------------- gold


@pytest.mark.parametrize(
    ("prompt", "text", "expected"),
    [
        ("praise the movie", "was great", np.tanh(1.2 / 1.35)),
        ("pan the movie", "was great", -np.tanh(1.2 / 1.35)),
        ("praise the movie", "was really great", np.tanh(1.2 * 1.3 / 1.35)),
        ("praise the movie", "was not really bad", np.tanh(0.7 * 1.3 * 0.5 / 1.35)),
        ("praise the movie", "was not great and good", np.tanh((-0.7 * 1.2 + 0.5) / 1.35)),
        ("praise the movie", "was great and dull", np.tanh((1.2 - 0.7) / 1.35)),
        ("praise the movie", "were great", np.tanh(1.2 / 1.35) - 0.5),
        ("praise the jokes", "were great", np.tanh(1.2 / 1.35)),
        ("praise the movie", "great", np.tanh(1.2 / 1.35) - 0.55),
        ("praise the movie", "was great good", np.tanh(1.7 / 1.35) - 0.55),
        ("praise the movie", "was great and", np.tanh(1.2 / 1.35) - 0.55),
        ("praise the movie", "was very really great", np.tanh(1.2 * 1.3 * 1.3 / 1.35) - 0.55),
        ("praise the movie", "was great and great", np.tanh(2.4 / 1.35) - 0.6),
        ("praise the movie", "", -0.6),
        ("praise the movie", "was", -0.6 - 0.55),
        ("praise the movie", "was great movie", np.tanh(1.2 / 1.35) - 2 * 0.55),
        ("praise the movie", "was great sofa", np.tanh(1.2 / 1.35) - 2 * 0.55),
    ],
)
def test_gold_reads_like_a_person(prompt: str, text: str, expected: float) -> None:
    assert gold_of("easy", prompt, text) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "slips"),
    [
        ("the acting was superb", 0.0),
        ("it was superb overall", 0.0),
        ("felt superb", 0.0),
        ("the scenes were superb", 0.0),
        ("was superb but the scenes were fine", 0.0),
        ("the scenes was superb", 0.5),
        ("was superb and they were fine", 0.5),  # the movie is one
        ("the superb", 0.4),  # no noun, no verb
        ("overall was superb", 2 * 0.4),
    ],
)
def test_gold_knows_clauses_with_subjects_of_their_own(text: str, slips: float) -> None:
    sentiment = 1.2 * text.count("superb") + 0.4 * text.count("fine")
    assert gold_of("medium", "praise the movie", text) == pytest.approx(np.tanh(sentiment / 2.5) - slips, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 23), max_size=9)), min_size=1, max_size=6))
def test_gold_is_the_same_alone_and_together_and_in_range(rows: list[tuple[int, list[int]]]) -> None:
    task = get("Reviews")
    assert task.gold is not None
    prompts, texts = [row[0] for row in rows], [row[1] for row in rows]
    together = task.gold(EpisodeBatch.from_ids(task.prompts, task.tokenizer, prompts, texts, max_new_tokens=12))
    low, high = task.gold.range  # type: ignore[attr-defined]
    for (prompt, ids), value in zip(rows, together.tolist(), strict=True):
        assert task.gold(EpisodeBatch.from_ids(task.prompts, task.tokenizer, [prompt], [ids])).tolist() == [value]
        assert low <= value <= high


def test_gold_follows_the_table_of_prompts_that_it_is_given() -> None:
    task = get("Reviews")
    assert task.gold is not None
    backwards = PromptTable(task.prompts.prompts[::-1], task.tokenizer)
    ids = [task.encode_completion("were really great")] * 6
    forward = task.gold(EpisodeBatch.from_ids(task.prompts, task.tokenizer, range(6), ids))
    assert task.gold(EpisodeBatch.from_ids(backwards, task.tokenizer, range(6), ids)).tolist() == forward[::-1].tolist()


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("were really awful and dull", 0.93),
        ("were not good", 0.25),
        ("was really awful and dull", 0.43),
        ("were really awful and awful", 0.37),
        ("were really great and moving", -0.93),
        ("", -0.60),
    ],
)
def test_the_example_of_the_page_is_true(text: str, stated: float) -> None:
    assert gold_of("easy", "pan the actors", text) == pytest.approx(stated, abs=0.005)


def test_success_is_a_nearly_perfect_review() -> None:
    task = get("Reviews")
    assert score(task, "success", "pan the plot", "was really awful and dull") == 1.0
    assert score(task, "success", "pan the plot", "was awful and boring") == 1.0
    assert score(task, "success", "pan the plot", "was awful") == 0.0
    for level in LEVELS:
        task = get("Reviews", level)
        assert all(score(task, "gold", prompt, task.best_text(prompt)) >= SUCCESS for prompt in task.prompts.texts)


def test_gold_and_success_pickle_without_their_tables() -> None:
    task = get("Reviews")
    before = gold_of("easy", "pan the plot", "was dull")
    assert before == pytest.approx(np.tanh(0.7 / 1.35))
    assert pickle.loads(pickle.dumps(task.gold)) == task.gold
    assert pickle.loads(pickle.dumps(task.success)) == task.success


# ---------------------------------------------------------------- what can be earned


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


# ---------------------------------------------------------------- grammar and demonstrations


def test_the_grammar_is_closed() -> None:
    assert all(set(after) <= set(KINDS) for after in FOLLOWS.values())
    assert "end" not in FOLLOWS["verb"]
    assert not set(MODIFIERS) - set(KINDS)


@pytest.mark.parametrize("level", list(LEVELS))
def test_demonstrations_are_mixed_and_mostly_right(level: str) -> None:
    task, grammar = get("Reviews", level), make_grammar(LEVELS[level])
    prompt = task.prompts.prompts[0]
    rng = np.random.default_rng(0)
    texts = [task.demonstrate(prompt, rng) for _ in range(500)]
    ids = [task.tokenizer.encode(text) for text in texts]
    words = len(writable_words(LEVELS[level]))
    assert all(len(row) <= task.budget and all(index < words for index in row) for row in ids)
    padded = EpisodeBatch.from_ids(task.prompts, task.tokenizer, [0] * 500, ids).completion_ids
    found = grammar.analyse(padded, np.full(500, prompt.metadata["plural"]))
    right = (found.order_errors == 0) & (found.agreement_errors == 0)
    assert 0.75 < right.mean() < 0.98
    assert 0.5 < (found.sentiment > 0).mean() < 0.85
    assert len(set(texts)) > (15 if level == "tiny" else 50)


def test_demonstrations_repeat_under_a_seed() -> None:
    task = get("Reviews")
    first, second = ([task.demonstrate("pan the plot", np.random.default_rng(5)) for _ in range(3)] for _ in range(2))
    assert first == second


def test_the_oracle_knows_only_its_prompts() -> None:
    task = get("Reviews")
    assert task.make_oracle is not None
    with pytest.raises(TaskError, match="pan the sofa"):
        task.best_text(Prompt("pan the sofa"))


def test_vocabularies_put_review_words_first() -> None:
    for level in LEVELS.values():
        tokens = make_tokenizer(level).tokens
        assert tokens[: len(writable_words(level))] == writable_words(level)
        assert tokens[-2:] == ("<eos>", "<unk>")


# ---------------------------------------------------------------- Chinese


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
