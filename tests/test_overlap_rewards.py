"""Overlap, Fluency, CrossEntropy, WordScores, VaderSentiment, Diversity, SquaredError."""

from __future__ import annotations

import copy
import math
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_bleu, sentence_chrf

import textgym
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, MissingDependencyError, RewardError, UnknownNameError
from textgym.language_models import NGramLanguageModel, text_log_probs
from textgym.metrics import cross_entropy, distinct
from textgym.prompts import PromptTable, load_prompts
from textgym.rewards import (
    CrossEntropy,
    Diversity,
    Fluency,
    Overlap,
    SquaredError,
    VaderSentiment,
    WordScores,
    resolve_reward,
)
from textgym.tokenizers import CharTokenizer, WordTokenizer

LETTERS = CharTokenizer("abcdefghijklmnopqrstuvwxyz0123456789 .,-+'!共个")
WORDS = WordTokenizer(["the", "a", "cat", "dog", "sat", "down", "on", "mat", "say"])
REFERENCES = [
    {"prompt": "say", "reference": ["the cat sat on the mat", "a cat sat down"]},
    {"prompt": "say a", "reference": "the dog"},
]
EOS = WORDS.eos_ids[0]
MODEL = NGramLanguageModel.fit([[0, 2, 4, EOS], [1, 3, 4, 5, EOS], [0, 3, EOS]], vocab_size=WORDS.vocab_size, order=2)


def words_batch(texts: list[str], rows: list[int] | None = None, *, end: bool = False) -> EpisodeBatch:
    table = PromptTable(load_prompts(REFERENCES), WORDS)
    ids = [WORDS.encode(text) + ([EOS] if end else []) for text in texts]
    return EpisodeBatch.from_ids(table, WORDS, rows or [0] * len(ids), ids)


def letters_batch(*texts: str, reference: Any = "3") -> EpisodeBatch:
    table = PromptTable(load_prompts([{"prompt": "a", "reference": reference}]), LETTERS)
    return EpisodeBatch.from_ids(table, LETTERS, [0] * len(texts), [LETTERS.encode(text) for text in texts])


REWARDS: dict[str, Any] = {
    "bleu": Overlap("bleu"),
    "chrf": Overlap("chrf"),
    "rouge": Overlap("rouge_l"),
    "bleu of ids": Overlap("bleu", unit="tokens"),
    "rouge of ids": Overlap("rouge_l", unit="tokens"),
    "fluency": Fluency(MODEL),
    "cross-entropy": CrossEntropy(MODEL),
    "mean of words": WordScores({"cat": 1.1, "dog": -0.3, "sat": 0.7}),
    "sum of words": WordScores({"cat": 1.1, "dog": -0.3, "sat": 0.7}, average=False),
    "diversity": Diversity(),
    "trigrams": Diversity(3),
}
every_reward = pytest.mark.parametrize("name", REWARDS)
TEXTS = ["the cat sat", "", "the the the the", "a cat sat down on the mat", "dog", "cat dog cat dog cat"]


# ---- what every reward must do ------------------------------------------------------------------------------------


@every_reward
def test_scores_are_finite_in_range_and_the_same_alone(name: str) -> None:
    reward = REWARDS[name]
    batch = words_batch(TEXTS * 2, [0] * len(TEXTS) + [1] * len(TEXTS))
    scores = reward(batch)
    assert (scores.dtype, scores.shape) == (np.float64, (len(batch),))
    low, high = reward.range
    assert np.isfinite(scores).all()
    assert ((scores >= low) & (scores <= high)).all()
    assert scores.tolist() == [float(reward(batch.take([row]))[0]) for row in range(len(batch))]
    assert reward(batch.take([])).shape == (0,)
    assert len(set(scores.tolist())) > 2


@every_reward
def test_rewards_are_values(name: str) -> None:
    reward, batch = REWARDS[name], words_batch(TEXTS)
    before = reward(batch).tolist()  # fills the caches
    again = pickle.loads(pickle.dumps(reward))
    assert again(batch).tolist() == before
    assert copy.deepcopy(reward) == reward
    assert hash(reward) == hash(copy.deepcopy(reward))
    if name not in ("fluency", "cross-entropy"):  # models in memory are equal to themselves alone
        assert again == reward
        assert hash(again) == hash(reward)


@every_reward
def test_rewards_pay_in_environments(name: str) -> None:
    envs = textgym.EnvFactory(
        "TextGen-v0", {"prompts": REFERENCES, "tokenizer": WORDS, "reward": REWARDS[name], "max_new_tokens": 7}
    )
    scores = textgym.score(envs, ["say", "say a"], ["the cat sat", "dog"])
    batch = words_batch(["the cat sat", "dog"], [0, 1], end=True)
    assert scores.tolist() == REWARDS[name](batch).tolist()


def test_names_resolve(tmp_path: Path) -> None:
    path = str(tmp_path / "model.safetensors")
    MODEL.save(path)
    found = {
        "overlap": (Overlap("chrf"), {"metric": "chrf"}),
        "fluency": (Fluency(path), {"reference": path}),
        "cross_entropy": (CrossEntropy(path, ceiling=5.0), {"reference": path, "ceiling": 5.0}),
        "word_scores": (WordScores({"cat": 1.0}), {"weights": {"cat": 1.0}}),
        "vader": (VaderSentiment("pos"), {"output": "pos"}),
        "diversity": (Diversity(2), {"n": 2}),
        "squared_error": (SquaredError(4.0), {"limit": 4.0}),
    }
    for name, (reward, params) in found.items():
        assert resolve_reward({"name": name, **params}) == reward
    assert Fluency(path)(words_batch(TEXTS)).tolist() == Fluency(MODEL)(words_batch(TEXTS)).tolist()


# ---- Overlap ------------------------------------------------------------------------------------------------------

ANY_TEXT = st.lists(st.sampled_from(WORDS.tokens[:8]), max_size=8).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ANY_TEXT, st.integers(0, 1)), min_size=1, max_size=5))
def test_overlap_equals_sacrebleu_and_rouge_score(pairs: list[tuple[str, int]]) -> None:
    batch = words_batch([text for text, _ in pairs], [row for _, row in pairs])
    rouge = RougeScorer(["rougeL"])
    rows = list(zip(batch.completions, batch.references, strict=True))
    wanted = {
        "bleu": [sentence_bleu(text, list(known)).score / 100 for text, known in rows],
        "chrf": [sentence_chrf(text, list(known)).score / 100 for text, known in rows],
        "rouge_l": [rouge.score_multi(known, text)["rougeL"].fmeasure for text, known in rows],
    }
    for metric, values in wanted.items():
        assert Overlap(metric)(batch) == pytest.approx(values, abs=1e-9)
    for metric in ("bleu", "rouge_l"):  # one token is one word here
        assert Overlap(metric, unit="tokens")(batch) == pytest.approx(wanted[metric], abs=1e-9)


def test_end_ids_are_no_words() -> None:
    for metric in ("bleu", "rouge_l"):
        reward = Overlap(metric, unit="tokens")
        assert reward(words_batch(TEXTS, end=True)).tolist() == reward(words_batch(TEXTS)).tolist()


def test_the_references_of_other_prompts_are_read_anew() -> None:
    reward = Overlap("rouge_l", unit="tokens")
    assert reward(words_batch(["the dog"], [1])).tolist() == [1.0]
    table = PromptTable(load_prompts([{"prompt": "say", "reference": "mat"}]), WORDS)
    assert reward(EpisodeBatch.from_ids(table, WORDS, [0], [WORDS.encode("the dog")])).tolist() == [0.0]


def test_overlap_refuses_what_it_cannot_compare() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'rouge_l'"):
        Overlap("rouge")
    with pytest.raises(UnknownNameError, match="unknown unit 'words'"):
        Overlap(unit="words")
    with pytest.raises(ConfigurationError, match="chrf compares characters"):
        Overlap("chrf", unit="tokens")
    table = PromptTable(load_prompts(["say"]), WORDS)
    for unit in ("text", "tokens"):
        with pytest.raises(RewardError, match="'say' has no reference"):
            Overlap(unit=unit)(EpisodeBatch.from_ids(table, WORDS, [0], [[0]]))


# ---- Fluency and CrossEntropy -------------------------------------------------------------------------------------


def test_fluency_is_the_mean_log_probability_of_a_token() -> None:
    batch = words_batch(["the cat", ""], end=True)
    expected = -math.log(WORDS.vocab_size)
    assert Fluency(Even())(batch) == pytest.approx([expected, expected])
    assert CrossEntropy(Even())(batch) == pytest.approx([-expected, -expected])
    seen, unseen = Fluency(MODEL)(words_batch(["the cat sat", "mat mat mat"], end=True))
    assert seen > unseen
    by_hand = [MODEL.log_probs(np.array([path]))[0] for path in ([WORDS.encode("say")[0]], [0])]
    assert Fluency(MODEL)(words_batch(["the cat"]))[0] == pytest.approx((by_hand[0][0] + by_hand[1][2]) / 2)


class Even:
    """Uniform, whatever is legal."""

    def log_probs(self, tokens: Any, action_masks: Any = None) -> Any:
        return np.full((len(tokens), WORDS.vocab_size), -math.log(WORDS.vocab_size))


class Never(Even):
    """Gives "cat" no probability."""

    def log_probs(self, tokens: Any, action_masks: Any = None) -> Any:
        table = super().log_probs(tokens)
        table[:, WORDS.encode("cat")[0]] = -np.inf
        return table


def test_what_cannot_be_costs_the_floor() -> None:
    assert Fluency(Never(), floor=-7.5)(words_batch(["cat", "a"])).tolist()[0] == -7.5
    assert CrossEntropy(Never(), ceiling=7.5)(words_batch(["cat", ""])).tolist() == [7.5, 0.0]
    assert (Fluency(MODEL, floor=-3).range, CrossEntropy(MODEL, ceiling=3).range) == ((-3.0, 0.0), (0.0, 3.0))


@pytest.mark.parametrize("kind", [Fluency, CrossEntropy])
def test_references_are_checked(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected a language model"):
        kind(3)
    with pytest.raises(ConfigurationError, match="expected a language model"):
        kind(Even)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        kind(tmp_path / "none.safetensors")(words_batch(["cat"]))
    other = NGramLanguageModel.fit([[0]], vocab_size=3)
    with pytest.raises(ConfigurationError, match="3 ids"):
        kind(other)(words_batch(["cat"]))
    for bad in (0.0, math.nan, math.inf, -math.inf, True, "1"):
        with pytest.raises(ConfigurationError, match="expected a finite number"):
            kind(MODEL, bad)


def conversation(*turns: str) -> EpisodeBatch:
    """One conversation, whose turns are the agent's and the partner's in turn; the agent's end with the end id."""
    ids: list[int] = []
    sides: list[bool] = []
    for number, text in enumerate(turns):
        written = WORDS.encode(text) + ([EOS] if number % 2 == 0 else [])
        ids += written
        sides += [number % 2 == 0] * len(written)
    table = PromptTable(load_prompts(REFERENCES), WORDS)
    batch = EpisodeBatch.from_ids(table, WORDS, [0], [ids])
    batch.is_agent = np.array([sides])
    return batch


def test_in_conversations_only_the_agents_tokens_are_measured() -> None:
    batch = conversation("the cat", "mat mat mat mat", "sat")
    paths = WORDS.encode("say") + batch.ids(0)
    own = [0, 1, 2, 7, 8]  # the cat <eos>, and after the partner's four words: sat <eos>
    expected = np.mean([MODEL.log_probs(np.array([paths[: 1 + place]]))[0, paths[1 + place]] for place in own])
    assert Fluency(MODEL)(batch) == pytest.approx([expected])
    assert CrossEntropy(MODEL)(batch) == pytest.approx([-expected])
    assert cross_entropy(MODEL, batch) == pytest.approx(-expected)
    assert Fluency(MODEL)(conversation("the cat", "the dog sat down", "sat")) != pytest.approx([expected])  # is read
    silent = conversation("", "mat mat", "")
    assert silent.num_tokens.tolist() == [2]
    assert Fluency(Even())(silent) == pytest.approx([-math.log(WORDS.vocab_size)])


class Fast(Even):
    """Scores all tokens at once, here by their places."""

    def chosen_log_probs(self, batch: EpisodeBatch) -> Any:
        return np.where(np.arange(batch.completion_ids.shape[1]) < batch.lengths[:, None], -1.0, 0.0) * np.arange(
            1.0, 1.0 + batch.completion_ids.shape[1]
        )


class Whole(Even):
    """Scores whole texts, which tells the sides of a conversation not apart."""

    def text_log_probs(self, batch: EpisodeBatch) -> Any:
        return -99.0 * np.ones(len(batch))


def test_faster_ways_of_models_are_taken_where_they_can_be() -> None:
    batch, plain = conversation("the cat", "mat mat mat mat", "sat"), words_batch(["the cat"])
    assert text_log_probs(Fast(), batch).tolist() == [-(1.0 + 2 + 3 + 8 + 9)]
    assert text_log_probs(Fast(), plain).tolist() == [-3.0]
    assert text_log_probs(Whole(), plain).tolist() == [-99.0]
    assert text_log_probs(Whole(), batch) == pytest.approx([-5 * math.log(WORDS.vocab_size)])


def test_diversity_in_conversations() -> None:
    batch = conversation("the cat", "dog dog mat", "the cat", "down", "cat the")
    assert Diversity(1)(batch).tolist() == [2 / 6]
    assert Diversity(2)(batch).tolist() == [2 / 6]  # "the cat" twice, "cat the"; none across turns
    assert Diversity(3)(batch).tolist() == [0.0]
    assert Diversity(2)(conversation("the", "", "cat")).tolist() == [0.0]


# ---- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mean", "total"),
    [
        ("great film", 1.0, 2.0),
        ("Great, GREAT film!", 4 / 3, 4.0),
        ("it isn't great", 1 / 3, 1.0),
        ("greatest", 0.0, 0.0),
        ("好看 great", 5 / 3, 5.0),
        ("", 0.0, 0.0),
        ("... !", 0.0, 0.0),
    ],
)
def test_words_by_hand(text: str, mean: float, total: float) -> None:
    weights = {"Great": 2.0, "isn't": -1.0, "好": 3.0, "dull": -0.5}
    letters = CharTokenizer("".join(sorted(set(text) | {"a"})))
    table = PromptTable(load_prompts(["a"]), letters)
    batch = EpisodeBatch.from_ids(table, letters, [0], [letters.encode(text)])
    assert WordScores(weights)(batch).tolist() == pytest.approx([mean])
    assert WordScores(weights, average=False)(batch).tolist() == [total]


def test_the_range_follows_the_weights() -> None:
    assert WordScores({"a": 2.0, "b": 1.0}).range == (0.0, 2.0)
    assert WordScores({"a": -2.0, "b": 1.0}).range == (-2.0, 1.0)
    assert WordScores({"a": -2.0}, average=False).range == (-math.inf, 0.0)
    assert WordScores({"a": 2.0, "b": -1.0}, average=False).range == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "at least one word"),
        ([("a", 1.0)], "expected {word: number}"),
        ({"very good": 1.0}, "expected one word"),
        ({"": 1.0}, "expected one word"),
        ({"好看": 1.0}, "expected one word"),
        ({3: 1.0}, "expected one word"),
        ({"a": math.nan}, "expected a finite number"),
        ({"a": "1"}, "expected a finite number"),
        ({"a": True}, "expected a finite number"),
        ({"Good": 1.0, "good": 2.0}, "the same in lower case"),
    ],
)
def test_weights_are_checked(weights: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        WordScores(weights)


def test_vader_is_loaded_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Analyzer:
        """Stands in for the package's class."""

        def polarity_scores(self, text: str) -> dict[str, float]:
            return {"compound": 0.5 - text.count("dog"), "pos": 0.25, "neg": 0.0, "neu": 0.75}

    module = types.ModuleType("vaderSentiment.vaderSentiment")
    module.SentimentIntensityAnalyzer = Analyzer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vaderSentiment", types.ModuleType("vaderSentiment"))
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", module)
    reward = VaderSentiment()
    assert reward(words_batch(["the cat", "the dog"])).tolist() == [0.5, -0.5]
    assert VaderSentiment("neu")(words_batch(["dog"])).tolist() == [0.75]
    assert (reward.range, VaderSentiment("pos").range) == ((-1.0, 1.0), (0.0, 1.0))
    assert pickle.loads(pickle.dumps(reward)) == reward == copy.deepcopy(reward)


def test_vader_knows_english() -> None:
    pytest.importorskip("vaderSentiment")
    table = PromptTable(load_prompts(["a"]), LETTERS)
    texts = [LETTERS.encode(text) for text in ("it was great!", "it was not great", "it was a table")]
    good, bad, neutral = VaderSentiment()(EpisodeBatch.from_ids(table, LETTERS, [0, 0, 0], texts))
    assert good > neutral == 0.0 > bad


def test_vader_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vaderSentiment", None)
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    with pytest.raises(MissingDependencyError, match=r"textgym\[sentiment\]"):
        VaderSentiment()(words_batch(["cat"]))
    with pytest.raises(UnknownNameError, match="Did you mean 'pos'"):
        VaderSentiment("poss")


# ---- Diversity ----------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), max_size=9), min_size=1, max_size=4), st.integers(1, 5), st.booleans())
def test_diversity_is_distinct_n_of_one_text(texts: list[list[int]], n: int, end: bool) -> None:
    table = PromptTable(load_prompts(["say"]), WORDS)
    ids = [[*text, EOS] if end else text for text in texts]
    batch = EpisodeBatch.from_ids(table, WORDS, [0] * len(ids), ids)
    assert Diversity(n)(batch).tolist() == [distinct(batch.take([row]), n) for row in range(len(batch))]


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "2"])
def test_diversity_wants_a_whole_number(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="whole number of at least 1"):
        Diversity(bad)


# ---- SquaredError -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("3", "3", 0.0),
        ("5", "3", -4.0),
        ("it is 2.5", "3", -0.25),
        ("1 2 3", "3", 0.0),
        ("1,003", "1003", 0.0),
        ("1,2345", "2345", 0.0),
        ("-3", "-3", 0.0),
        ("10-12", "12", 0.0),
        ("3e2", "300", 0.0),
        ("共3个", "3", 0.0),
        ("x3", "3", -50.0),
        ("", "3", -50.0),
        ("none", "3", -50.0),
        ("99999", "3", -50.0),
        ("9" * 400, "3", -50.0),
        ("4", ["1", "6"], -4.0),
    ],
)
def test_squared_error_by_hand(text: str, reference: Any, expected: float) -> None:
    reward = SquaredError(50.0)
    assert reward(letters_batch(text, reference=reference)).tolist() == [expected]
    assert math.copysign(1.0, float(reward(letters_batch("3", reference="3"))[0])) == 1.0
    assert reward.range == (-50.0, 0.0)


def test_squared_error_wants_numbers() -> None:
    for reference in ("three", "3 apples", "9" * 400):
        with pytest.raises(RewardError, match="is not a number"):
            SquaredError()(letters_batch("3", reference=reference))
    for bad in (0.0, -1.0, math.inf, math.nan, True, "1"):
        with pytest.raises(ConfigurationError, match="finite number above 0"):
            SquaredError(bad)  # type: ignore[arg-type]
