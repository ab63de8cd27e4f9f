"""Classify, Entail, Answer, Translate and Summarize, and the grading that they share."""

from __future__ import annotations

import json
import pickle
from copy import deepcopy
from importlib.resources import files

import numpy as np
import pytest

from textgym import overlap
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import RewardError, UnknownNameError
from textgym.exact import solve
from textgym.grading import Bleu, Grade, Labels, Match, RougeL, TokenF1
from textgym.prompts import PromptTable
from textgym.task import Task
from textgym.tasks import TASKS, get
from textgym.tokenizers import WordTokenizer
from textgym.translation import ADJECTIVES, LANGUAGES, NOUNS, VERBS, Phrase, Sentence, write
from textgym.worlds import PEOPLE

NAMES = ("Classify", "Entail", "Answer", "Translate", "Summarize")
LEVELS = ("easy", "medium", "hard")
EVERY = [(name, level) for name in NAMES for level in LEVELS]
WORDS = "a b c d e f".split()


def grade(reward: Grade, text: str, *references: str, end: bool = True) -> float:
    """The score of one text of the words a to f."""
    tokenizer = WordTokenizer(WORDS)
    table = PromptTable([Prompt("a", references), Prompt("b", ("c d", "e"))], tokenizer)
    ids = [*tokenizer.encode(text), *([tokenizer.eos_ids[0]] if end else [])]
    return float(reward(EpisodeBatch.from_ids(table, tokenizer, [0], [ids], max_new_tokens=7))[0])


def score(task: Task, texts: list[str], rows: list[int]) -> np.ndarray:
    """The rewards of texts for prompts."""
    ids = [task.encode_completion(text) for text in texts]
    return task.reward(EpisodeBatch.from_ids(task.prompts, task.tokenizer, rows, ids, max_new_tokens=task.budget))


# ---- Grading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reward", "text", "references", "expected"),
    [
        (Labels(), "a b c", ["a b c"], 1.0),
        (Labels(), "a c c", ["a b c"], 2 / 3),
        (Labels(), "b a", ["a b c"], 0.0),
        (Labels(), "a", ["a b c"], 1 / 3),
        (Labels(), "", ["a"], 0.0),
        (Match(), "a b", ["a b"], 1.0),
        (Match(), "a b", ["b", "a b"], 1.0),
        (Match(), "b a", ["a b"], 0.0),
        (Match(), "a b c", ["a b"], 0.0),
        (Match(), "a", ["a b"], 0.0),
        (TokenF1(), "b a", ["a b"], 1.0),
        (TokenF1(), "a", ["a b"], 2 / 3),
        (TokenF1(), "a a", ["a b"], 1 / 2),
        (TokenF1(), "a a", ["a b", "a"], 2 / 3),
        (TokenF1(), "a a c", ["a a b"], 2 / 3),
        (TokenF1(), "", ["a b"], 0.0),
        (Bleu(), "a b c d e", ["a b c d e"], 1.0),
        (Bleu(), "a", ["a b"], np.exp(-1)),
        (Bleu(), "a c", ["a b"], (1 / 2 * 1 / 2) ** 0.5),
        (Bleu(), "f", ["a b"], 0.0),
        (Bleu(), "", ["a b"], 0.0),
        (RougeL(), "a c b", ["a b"], 2 * 2 / 5),
        (RougeL(), "b a", ["a b"], 1 / 2),
        (RougeL(), "", ["a b"], 0.0),
    ],
)
def test_grades_by_hand(reward: Grade, text: str, references: list[str], expected: float) -> None:
    assert grade(reward, text, *references) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("reward", "measure"), [(Bleu(), overlap.bleu), (RougeL(), overlap.rouge_l)])
def test_bleu_and_rouge_equal_the_functions_that_score_text_by_text(reward: Grade, measure: object) -> None:
    rng = np.random.default_rng(0)
    tokenizer = WordTokenizer(WORDS)

    def sentence(most: int) -> list[int]:
        return rng.integers(len(WORDS), size=rng.integers(1, most + 1)).tolist()

    references = [tuple(tokenizer.decode(sentence(9)) for _ in range(rng.integers(1, 4))) for _ in range(40)]
    table = PromptTable([Prompt(" ".join("abcd"), given) for given in references], tokenizer)
    rows = rng.integers(40, size=600).tolist()
    texts = [[*sentence(9), *([tokenizer.eos_ids[0]] if rng.integers(2) else [])] for _ in rows]
    batch = EpisodeBatch.from_ids(table, tokenizer, rows, texts)
    expected = measure(batch.completions, batch.references)  # type: ignore[operator]
    assert np.abs(reward(batch) - expected).max() < 1e-12
    alone = [reward(batch.take([row]))[0] for row in range(len(batch))]
    assert reward(batch).tolist() == alone, "the same bits alone and in a batch"
    assert 0 < (expected == 0).sum() < len(texts)


@pytest.mark.parametrize("reward", [Labels(), Match(), TokenF1(), Bleu(), RougeL()])
def test_grades_need_references_and_survive_copies(reward: Grade) -> None:
    before = grade(reward, "a b", "a c")
    assert deepcopy(reward) is reward
    assert grade(pickle.loads(pickle.dumps(reward)), "a b", "a c") == before
    assert grade(reward, "a b", "a b") == 1.0, "another prompt table is not mistaken for the first"
    with pytest.raises(RewardError, match="'a' has no reference"):
        grade(reward, "a b")


def test_rouge_refuses_references_that_are_too_long() -> None:
    assert grade(RougeL(), "a", " ".join("a" * 63)) == pytest.approx(2 / 64)
    with pytest.raises(RewardError, match="64 words"):
        grade(RougeL(), "a", " ".join("a" * 64))


# ---- What all five have in common ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_the_oracle_earns_the_best_on_every_prompt(name: str, level: str) -> None:
    task = get(name, level)
    rows = list(range(len(task.prompts)))
    texts = [task.best_text(prompt) for prompt in task.prompts.prompts]
    np.testing.assert_array_equal(score(task, texts, rows), 1.0)
    ids = [task.encode_completion(text) for text in texts]
    assert task.success is not None
    assert task.success(EpisodeBatch.from_ids(task.prompts, task.tokenizer, rows, ids)).all()
    assert task.max_return == 1.0


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_prompts_are_different_readable_and_split(name: str, level: str) -> None:
    task = get(name, level)
    table = task.prompts
    assert len(set(table.texts)) == len(table) == task.settings.prompts <= 2_000
    assert len(table.rows("test")) == len(table) // 4
    assert task.tokenizer.unk_id not in table.ids
    assert len(set(task.tokenizer.tokens)) == len(task.tokenizer.tokens)


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_every_reference_may_be_written_within_the_budget(name: str, level: str) -> None:
    task = get(name, level)
    (lexicon,) = task.constraints
    assert all(len(set(references)) == len(references) for references in task.prompts.references)
    for references in task.prompts.references:
        for text in references:
            assert {task.tokenizer.tokens[index] for index in task.tokenizer.encode(text)} <= set(lexicon.words)
            assert len(task.tokenizer.encode(text)) + (name not in ("Classify", "Entail")) <= task.budget


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_demonstrations_are_of_mixed_quality(name: str, level: str) -> None:
    task, rng = get(name, level), np.random.default_rng(0)
    rows = np.resize(task.prompts.rows("train"), 400).tolist()
    texts = [task.demonstrate(task.prompts.prompts[row], rng) for row in rows]
    earned = score(task, texts, rows)
    assert task.random_return < earned.mean() < 0.97
    assert 0.1 < (earned == 1.0).mean() < 0.9


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_facts_of_easy_are_the_exact_ones(name: str) -> None:
    facts = json.loads(files("textgym").joinpath("assets", "facts.json").read_text(encoding="utf-8"))[name]["easy"]
    solution = solve(f"TextGen/{name}-v0", split="test")
    stated = facts["test"]["reward"]
    assert "inexact" not in stated
    assert solution.optimal_return == pytest.approx(stated["best"], abs=1e-8)
    assert solution.returns.random == pytest.approx(stated["random"], abs=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_levels_are_refused_with_the_known_ones(name: str) -> None:
    assert TASKS[name].levels == LEVELS
    with pytest.raises(UnknownNameError, match="easy, hard, medium"):
        get(name, "eazy")


# ---- Each by itself -----------------------------------------------------------------------------------------------


def test_classify_scores_each_label_in_its_place() -> None:
    task = get("Classify", "hard")
    topic, mood, kind = task.prompts.references[0][0].split()
    other = "mail" if kind == "spam" else "spam"
    texts = [f"{topic} {mood} {kind}", f"{topic} {mood} {other}", f"{mood} {topic} {kind}", topic, ""]
    np.testing.assert_allclose(score(task, texts, [0] * 5), [1, 2 / 3, 1 / 3, 1 / 3, 0])


def test_classify_labels_follow_from_the_words() -> None:
    for prompt in get("Classify", "hard").prompts.prompts:
        _, mood, kind = prompt.references[0].split()
        promises = any(words in prompt.text for words in ("you won", "a gift", "your money"))
        orders = any(words in prompt.text for words in ("click here", "send your", "reply with"))
        assert (kind == "spam") == (promises and orders)
        assert (mood == "mixed") == (" , but " in prompt.text)


def test_answers_in_any_order_succeed() -> None:
    task = get("Answer", "hard")
    row = next(row for row, known in enumerate(task.prompts.references) if len(known) == 2)
    one, other = task.prompts.references[row][0].split(" and ")
    texts = [f"{one} and {other}", f"{other} and {one}", f"{one} {other} and", one]
    batch = EpisodeBatch.from_ids(
        task.prompts, task.tokenizer, [row] * 4, [task.encode_completion(text) for text in texts]
    )
    assert task.success is not None
    assert task.success(batch).tolist() == [1, 1, 0, 0]
    np.testing.assert_allclose(task.reward(batch), [1, 1, 1, 1 / 2])


def test_answer_asks_every_kind_of_question() -> None:
    prompts = get("Answer", "hard").prompts.prompts
    asked = {prompt.metadata["kind"] for prompt in prompts}
    assert asked == {"where", "who has", "who is", "what", "how many", "whether"}
    assert {"yes", "no", "nobody", "zero", "two"} <= {prompt.references[0] for prompt in prompts}


def test_translations_agree_in_gender_number_and_order() -> None:
    table = get("Translate", "easy").prompts
    known = dict(zip(table.texts, table.references, strict=True))
    assert known["the black mice"] == ("les souris noires",)
    assert known["a small table"] == ("une petite table",)
    assert known["the black cats"] == ("les chats noirs",)


def test_translate_pays_what_the_docstring_says() -> None:
    task = get("Translate", "easy")
    texts = ["les souris noires", "les souris noirs", "les noires souris", "les souris", ""]
    row = task.prompts.index_of("the black mice")
    np.testing.assert_allclose(score(task, texts, [row] * 5), [1, 0.55, 0.40, 0.61, 0], atol=0.005)


def test_sentences_in_three_languages() -> None:
    subject = Phrase(NOUNS["neighbour"], ADJECTIVES["young"], is_definite=False, is_plural=True)
    sentence = Sentence(subject, VERBS["draws"], Phrase(NOUNS["apple"], is_definite=False))
    assert write(sentence, "english") == ("young neighbours draw an apple", "some young neighbours draw an apple")
    assert set(write(sentence, "french")) == {
        f"{article} jeunes {noun} dessinent une pomme" for article in ("de", "des") for noun in ("voisins", "voisines")
    }
    assert {"一些年轻的邻居画一个苹果", "年轻的邻居在画一个苹果"} <= set(write(sentence, "chinese"))
    black = Phrase(NOUNS["dog"], ADJECTIVES["black"], is_definite=True)
    assert write(black, "chinese") == ("那只黑狗", "那只黑色的狗", "那条黑狗", "那条黑色的狗")
    assert write(black, "english") == ("the black dog", "that black dog")


def test_translate_hard_goes_in_three_directions() -> None:
    prompts = get("Translate", "hard").prompts.prompts
    assert {prompt.metadata["language"] for prompt in prompts} == set(LANGUAGES)
    for prompt in prompts:
        assert prompt.text.startswith(f"{prompt.metadata['language']} : ")
        assert len(prompt.references) <= 8


def test_summaries_say_what_happened_in_order() -> None:
    for prompt in get("Summarize", "hard").prompts.prompts[:200]:
        sentences = prompt.text.split(" . ")
        places = []
        for event in prompt.references[0].split(" and "):
            who, verb, thing = event.split()
            told = [place for place, text in enumerate(sentences) if text.startswith(tuple(PEOPLE)) and verb in text]
            places.append(next(place for place in told if sentences[place].rstrip(" .").endswith(f" the {thing}")))
            corrections = [text for text in sentences if text.startswith("it was") and f"{verb} the {thing}" in text]
            last = corrections[-1] if corrections else sentences[places[-1]]
            assert who in last.split()
        assert places == sorted(places)


def test_summarize_pays_what_the_docstring_says() -> None:
    task = get("Summarize", "easy")
    row = next(row for row, known in enumerate(task.prompts.references) if known == ("mary won ship",))
    np.testing.assert_allclose(
        score(task, ["mary won ship", "mary won ring", "mary", ""], [row] * 4), [1, 2 / 3, 1 / 2, 0]
    )
