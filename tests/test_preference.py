"""The learned reward: against a slow reference, its file, its single and batched calls."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgym.comparisons import Comparison
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError, RewardError, UnknownNameError
from textgym.ngrams import ANY, NGramModel, fit_ngrams
from textgym.prompts import PromptTable
from textgym.rewards.preference import PreferenceReward, shipped
from textgym.tokenizers import WordTokenizer, fingerprint

WORDS = WordTokenizer(["good", "bad", "very", "praise", "pan"])
GOOD, BAD, VERY, PRAISE, PAN, EOS, UNK, END, BEGIN = range(9)
PROMPTS = PromptTable([Prompt("praise"), Prompt("pan"), Prompt("pan praise")], WORDS)
FEATURES = [
    ((ANY, ANY, GOOD), 0.5),
    ((ANY, ANY, BAD), -0.25),
    ((PRAISE, ANY, GOOD), 1.0),
    ((PAN, ANY, BAD), 2.0),
    ((ANY, VERY, GOOD), 0.125),
    ((PAN, VERY, BAD), 0.3),
    ((ANY, BEGIN, VERY), 0.7),
    ((ANY, GOOD, END), 0.1),
    ((ANY, BEGIN, END), -3.0),
    ((ANY, ANY, END), -0.9),  # any pair without a feature of its own
]
MODEL = NGramModel(
    vocabulary=WORDS.tokens,
    tokenizer_fingerprint=fingerprint(WORDS),
    eos_ids=WORDS.eos_ids,
    features=np.array([feature for feature, _ in FEATURES]),
    weights=np.array([weight for _, weight in FEATURES]),
    offset=0.05,
    range=(-4.0, 4.0),
    description={"data": "made by hand"},
)


def batch(
    prompts: Sequence[int], texts: Sequence[Sequence[int]], width: int = 1, table: PromptTable = PROMPTS
) -> EpisodeBatch:
    return EpisodeBatch.from_ids(table, WORDS, prompts, texts, max_new_tokens=width)


def slow_score(prompt: int, ids: Sequence[int]) -> float:
    """The definition, feature by feature."""
    weights = dict(FEATURES)
    contexts = [ANY, *{PRAISE, PAN}.intersection(PROMPTS.ids[prompt].tolist())]
    path = [BEGIN, *(index for index in ids if index != EOS), END]
    total = MODEL.offset
    for context in contexts:
        total += sum(weights.get((context, ANY, word), 0.0) for word in path[1:-1])
        total += sum(weights.get((context, *pair), 0.0) for pair in pairwise(path))
    strange = [pair for pair in pairwise(path) if (ANY, *pair) not in weights]
    return float(np.clip(total + len(strange) * weights[(ANY, ANY, END)], *MODEL.range))


texts_of_words = st.tuples(st.lists(st.sampled_from([GOOD, BAD, VERY, PRAISE, UNK]), max_size=12), st.booleans()).map(
    lambda drawn: [*drawn[0], EOS] if drawn[1] else drawn[0]
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    MODEL.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@given(st.lists(st.tuples(st.integers(0, 2), texts_of_words), min_size=1, max_size=4))
def test_scores_equal_the_definition(rows: list[tuple[int, list[int]]]) -> None:
    prompts, texts = [row[0] for row in rows], [row[1] for row in rows]
    scores = PreferenceReward.from_model(MODEL)(batch(prompts, texts))
    assert np.allclose(scores, [slow_score(*row) for row in rows], atol=1e-12)


@given(st.lists(st.tuples(st.integers(0, 2), texts_of_words), min_size=1, max_size=6), st.integers(12, 20))
def test_same_bits_alone_together_padded_and_without_numpy(rows: list[tuple[int, list[int]]], width: int) -> None:
    reward = PreferenceReward.from_model(MODEL)
    together = reward(batch([row[0] for row in rows], [row[1] for row in rows], width))
    for (prompt, ids), score in zip(rows, together.tolist(), strict=True):
        assert reward(batch([prompt], [ids])).tolist() == [score]
        assert reward.score_one(PROMPTS, prompt, ids) == score


def test_shipped_models_score_alike_alone_and_together() -> None:
    from textgym.tasks import get

    task = get("Reviews", "hard")
    rng = np.random.default_rng(0)
    texts = [
        [*rng.integers(0, 200, length).tolist(), task.tokenizer.eos_ids[0]][:16] for length in rng.integers(0, 17, 50)
    ]
    rows = rng.integers(0, len(task.prompts), 50).tolist()
    together = task.reward(EpisodeBatch.from_ids(task.prompts, task.tokenizer, rows, texts)).tolist()
    for row, ids, score in zip(rows, texts, together, strict=True):
        alone = EpisodeBatch.from_ids(task.prompts, task.tokenizer, [row], [ids], max_new_tokens=16)
        assert task.reward(alone).tolist() == [score]
        assert task.reward.score_one(task.prompts, row, ids) == score  # type: ignore[attr-defined]


def test_unknown_prompt_words_say_nothing() -> None:
    with pytest.warns(UserWarning, match="outside the vocabulary"):
        strange = PromptTable([Prompt("please praise it"), Prompt("hello")], WORDS)
    reward = PreferenceReward.from_model(MODEL)
    scores = reward(batch([0, 1], [[GOOD, EOS], [GOOD, EOS]], table=strange))
    assert scores[0] == reward(batch([0], [[GOOD, EOS]]))[0]
    assert scores[1] == pytest.approx(scores[0] - 1.0)  # less (praise, good)


def test_scores_stay_in_the_declared_range() -> None:
    reward = PreferenceReward.from_model(MODEL)
    scores = reward(batch([1, 1], [[VERY] * 9, [UNK] * 9]))
    assert scores.tolist() == [-4.0, -4.0]
    generous = PreferenceReward.from_model(replace(MODEL, offset=100.0))
    assert generous(batch([0], [[GOOD, EOS]])).tolist() == [4.0]
    assert generous.score_one(PROMPTS, 0, [GOOD, EOS]) == 4.0


def test_a_batch_of_nothing_has_no_scores() -> None:
    assert PreferenceReward.from_model(MODEL)(batch([0], [[GOOD]]).take([])).shape == (0,)


def test_file_keeps_everything(path: Path) -> None:
    loaded = NGramModel.load(path)
    assert np.array_equal(loaded.features, MODEL.features)
    assert np.array_equal(loaded.weights, MODEL.weights)
    for name in ("vocabulary", "tokenizer_fingerprint", "eos_ids", "offset", "range", "description"):
        assert getattr(loaded, name) == getattr(MODEL, name)
    reward = PreferenceReward(str(path))
    assert reward.range == MODEL.range
    assert reward.tokenizer_fingerprint == fingerprint(WORDS)
    assert reward(batch([0], [[VERY, GOOD, EOS]]))[0] == pytest.approx(slow_score(0, [VERY, GOOD, EOS]))


def test_saving_twice_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    MODEL.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "pytorch_model.bin", "model.pkl", "MODEL.PT"])
def test_pickles_are_refused_unread(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(ConfigurationError, match=r"pickle.*\.safetensors"):
        PreferenceReward(str(tmp_path / name))


def test_broken_and_foreign_files_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    with pytest.raises(ConfigurationError, match="does not exist"):
        PreferenceReward(str(tmp_path / "missing.safetensors"))
    (tmp_path / "text.safetensors").write_text("not a model", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        assert PreferenceReward(str(tmp_path / "text.safetensors")).range
    save_file({"x": np.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ConfigurationError, match="not a preference model"):
        assert PreferenceReward(str(tmp_path / "other.safetensors")).range


def test_copies_of_one_file_share_the_model_and_its_tables(path: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.safetensors").write_bytes(path.read_bytes())
    model, again = NGramModel.load(path), NGramModel.load(tmp_path / "copy.safetensors")
    assert model is again
    tables = model.tables([frozenset({1}), frozenset()])
    assert again.tables([frozenset({1}), frozenset()]) is tables
    assert not tables.flags.writeable
    assert again.tables([frozenset(), frozenset({1})]) is not tables
    assert np.array_equal(again.tables([frozenset(), frozenset({1})])[::-1], tables)
    replace(model, offset=model.offset + 1.0).save(path)
    assert NGramModel.load(path).offset == model.offset + 1.0


def test_another_vocabulary_is_refused(path: Path) -> None:
    other = WordTokenizer(["bad", "good", "very", "praise", "pan"])
    foreign = EpisodeBatch.from_ids(PromptTable([Prompt("pan")], other), other, [0], [[0]])
    with pytest.raises(ConfigurationError, match="another vocabulary"):
        PreferenceReward(str(path))(foreign)


def test_too_many_kinds_of_prompts_are_refused_before_memory_runs_out() -> None:
    huge = replace(MODEL, vocabulary=tuple(map(str, range(12_000))))
    with pytest.raises(RewardError, match="1 GiB"):
        huge.tables([frozenset()])


def test_pickle_leaves_the_weights_behind_and_copies_share_them(path: Path) -> None:
    reward = PreferenceReward(str(path))
    before = reward(batch([2], [[VERY, BAD, EOS]]))
    again = pickle.loads(pickle.dumps(reward))
    assert len(pickle.dumps(reward)) < 1_000
    assert again == reward
    assert hash(again) == hash(reward)
    assert again(batch([2], [[VERY, BAD, EOS]])) == before
    assert copy.deepcopy(reward) is reward


def judgements() -> list[Comparison]:
    """To "praise", good beats bad; to "pan", the contrary; shorter is always worse; very is never judged."""
    pairs = [("praise", [GOOD, EOS], [BAD, EOS]), ("pan", [BAD, EOS], [GOOD, EOS])]
    pairs += [(prompt, [word, EOS], [EOS]) for prompt in ("praise", "pan") for word in (GOOD, BAD)]
    return [
        Comparison(
            prompt=prompt,
            left=WORDS.decode(better),
            right=WORDS.decode(worse),
            choice="left",
            left_ids=tuple(better),
            right_ids=tuple(worse),
        )
        for prompt, better, worse in pairs * 10
    ]


def test_fit_learns_what_each_prompt_asks_for() -> None:
    reward = PreferenceReward.from_model(fit_ngrams(judgements(), WORDS))
    scores = reward(batch([0, 0, 0, 1, 1, 1], [[GOOD, EOS], [BAD, EOS], [EOS]] * 2))
    assert scores[0] > scores[1] > scores[2]
    assert scores[4] > scores[3] > scores[5]
    assert scores[0] == pytest.approx(scores[4])  # the judgements are symmetric


def test_fit_lets_seldom_pairs_share_one_weight() -> None:
    seldom = [
        Comparison(prompt="pan", left="", right="", choice="left", left_ids=(BAD, EOS), right_ids=(VERY, word, EOS))
        for word in (GOOD, BAD, VERY, UNK)
    ]
    model = fit_ngrams(judgements() + seldom, WORDS, minimum_count=5)
    assert [ANY, ANY, END] in model.features.tolist()
    assert [ANY, VERY, GOOD] not in model.features.tolist()
    table = model.tables([frozenset()])[0]
    weight, very = (model.weights[model.features.tolist().index([ANY, ANY, word])] for word in (END, VERY))
    assert weight < 0
    assert table[VERY, VERY] == weight + very  # seen, but seldom
    assert table[PAN, PRAISE] == weight  # never seen


def test_fit_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no comparisons"):
        fit_ngrams([], WORDS)


@pytest.mark.parametrize("prompts", [[0], [1], [2], [0, 1]])
def test_best_text_is_the_best_of_all(prompts: list[int]) -> None:
    words = [frozenset(PROMPTS.ids[prompt].tolist()) for prompt in prompts]
    ids, value = MODEL.best_text(words, [GOOD, BAD, VERY], 3)
    texts = [list(text) for length in range(4) for text in product([GOOD, BAD, VERY], repeat=length)]
    scores = [np.mean([slow_score(prompt, text) for prompt in prompts]) for text in texts]
    assert value == pytest.approx(max(scores))
    assert np.mean([slow_score(prompt, ids) for prompt in prompts]) == pytest.approx(value)
    assert len(ids) == 3 or ids[-1] == EOS


def test_rescaling_keeps_the_order_of_texts() -> None:
    texts = [[VERY, GOOD, EOS], [GOOD, EOS], [BAD, EOS]]
    scaled = replace(MODEL.rescaled(center=0.3, spread=2.0), range=(-100.0, 100.0))
    scores = PreferenceReward.from_model(scaled)(batch([0] * 3, texts))
    expected = [(slow_score(0, ids) - 0.3) / 2.0 for ids in texts]
    assert np.allclose(scores, expected, atol=5e-4)


def test_shipped_names_the_models_there_are() -> None:
    assert shipped("reviews").path == shipped("reviews", "easy").path
    with pytest.raises(UnknownNameError, match="reviews-easy"):
        shipped("reviews", "eazy")
