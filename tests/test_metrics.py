"""Metrics say what their names promise: against counts by hand, the packages of the field, and the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu import sentence_bleu
from toys import EOS, PLAIN, WORDS, A, B, C, Gold, Weighted, toy

from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError, TaskError
from textgym.factory import EnvFactory
from textgym.language_models import NGramLanguageModel
from textgym.metrics import (
    agreement,
    cross_entropy,
    distinct,
    duplicate_share,
    reference_scores,
    reward_error,
    text_metrics,
)
from textgym.playing import play, random_act
from textgym.prompts import PromptTable

TABLE = PromptTable([Prompt("praise", ("a b c", "a b")), Prompt("pan", ("c d",)), Prompt("the movie")], WORDS)


def batch_of(completions: Sequence[Sequence[int]], prompts: Sequence[int] | None = None) -> EpisodeBatch:
    rows = [0] * len(completions) if prompts is None else prompts
    return EpisodeBatch.from_ids(TABLE, WORDS, rows, completions)


def test_distinct_counts_ngrams_over_tokens() -> None:
    batch = batch_of([[A, B, A, EOS], [A, B, EOS], [EOS]])
    assert distinct(batch, 1) == 2 / 5  # a, b
    assert distinct(batch, 2) == 2 / 5  # ab, ba: the end is no token, and no pair spans two texts
    assert distinct(batch, 3) == 1 / 5
    assert distinct(batch_of([[EOS]]), 1) == 0.0
    with pytest.raises(ConfigurationError, match="n=0"):
        distinct(batch, 0)


@given(st.lists(st.sampled_from("abc"), min_size=1))
def test_duplicates_are_those_that_came_before(texts: list[str]) -> None:
    repeated = sum(text in texts[:place] for place, text in enumerate(texts))
    assert duplicate_share(texts) == pytest.approx(repeated / len(texts))


def test_overlap_is_averaged_over_the_texts_that_have_references() -> None:
    batch = batch_of([[A, B, EOS], [C, A, EOS], [A, EOS]], [0, 1, 2])
    scores = reference_scores(batch)
    assert {name: values.shape for name, values in scores.items()} == {"bleu": (2,), "chrf": (2,), "rouge_l": (2,)}
    expected = [sentence_bleu("a b", ["a b c", "a b"]).score / 100, sentence_bleu("c a", ["c d"]).score / 100]
    assert scores["bleu"].tolist() == pytest.approx(expected)
    assert scores["rouge_l"].tolist() == pytest.approx([1.0, 0.5])
    assert text_metrics(batch)["rouge_l"] == pytest.approx(0.75)
    assert reference_scores(batch_of([[A, EOS]], [2])) == {}
    assert not {"bleu", "chrf", "rouge_l", "cross_entropy"} & set(text_metrics(batch_of([[A, EOS]], [2])))


def test_cross_entropy_is_a_mean_over_tokens() -> None:
    model = NGramLanguageModel.fit([[A, EOS], [B, EOS]], vocab_size=WORDS.vocab_size, order=1)
    p = np.exp(model.log_probs(np.full((1, 1), WORDS.vocab_size))[0])
    batch = batch_of([[A, A, EOS], [EOS]])
    nats = -(2 * math.log(p[A]) + 2 * math.log(p[EOS])) / 4
    assert cross_entropy(model, batch) == pytest.approx(nats)
    found = text_metrics(batch, model)
    assert (found["cross_entropy"], found["perplexity"]) == pytest.approx((nats, math.exp(nats)))
    assert (found["mean_length"], found["duplicate_share"]) == (2.0, 0.0)


class Answers:
    """A language model that says the same of every id."""

    def __init__(self, log_prob: float, size: int = WORDS.vocab_size) -> None:
        self.log_prob, self.size = log_prob, size

    def log_probs(self, tokens: Any, action_masks: Any = None) -> Any:
        return np.full((len(tokens), self.size), self.log_prob)


def test_texts_that_a_language_model_rules_out_have_no_end_of_perplexity() -> None:
    batch = batch_of([[A, EOS]])
    for barred in (-1e9, -math.inf):
        assert text_metrics(batch, Answers(barred))["perplexity"] == math.inf


@pytest.mark.parametrize(("model", "message"), [(Answers(math.nan), "NaN"), (Answers(0.0, size=3), r"shape \(1, 3\)")])
def test_what_is_no_language_model_is_refused(model: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        cross_entropy(model, batch_of([[A, EOS]]))


def test_agreement() -> None:
    found = agreement(np.array([1.0, 2.0, 3.0]), np.array([-2.0, -4.0, -6.0]))
    assert (found.mean_squared_error, found.correlation, found.n) == (
        pytest.approx((9 + 36 + 81) / 3),
        pytest.approx(-1.0),
        3,
    )
    assert agreement(np.ones(3), np.arange(3.0)).correlation is None
    assert agreement(np.ones(1), np.zeros(1)).correlation is None


# ---- the error of a reward model ------------------------------------------------------------------------------------


class TwiceGold:
    """A reward model that is wrong by as much as the text is worth, and remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[EpisodeBatch] = []

    def __call__(self, batch: EpisodeBatch) -> Any:
        self.shown.append(batch)
        return 2.0 * Gold()(batch)


def test_the_error_of_a_reward_model_is_that_on_the_given_texts() -> None:
    envs = EnvFactory("TextGen-v0", {"task": PLAIN})
    batch, _ = play(random_act(1), envs, episodes=40)
    golds = Gold()(batch)
    found = reward_error(TwiceGold(), envs, episodes=batch)
    assert found.mean_squared_error == pytest.approx(float((golds**2).mean()))
    assert (found.correlation, found.n) == (pytest.approx(1.0), 40)
    assert reward_error(Gold(), envs, episodes=30).mean_squared_error == 0.0


def test_random_play_is_seeded_and_illegal_texts_are_left_out() -> None:
    envs = EnvFactory("TextGen-v0", {"task": PLAIN})
    models = [TwiceGold() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        reward_error(model, envs, episodes=50, seed=seed)
    one, same, other = (model.shown[0].completions for model in models)
    assert one == same != other
    batch, _ = play(lambda observations, *_, **__: np.arange(len(observations)) % 8, envs, episodes=20)
    legal = sum(reason != "illegal" for reason in batch.stop_reasons)
    assert 0 < legal < 20
    assert reward_error(Gold(), envs, episodes=batch).n == legal


def test_what_has_no_error() -> None:
    with pytest.raises(TaskError, match="no true score"):
        reward_error(Weighted(), "TextGen-v0", episodes=4, prompts=["praise the movie"])
    with pytest.raises(ConfigurationError, match=r"shape \(1,\) for 4 legal texts"):
        reward_error(_one_number, EnvFactory("TextGen-v0", {"task": PLAIN}), episodes=4)
    with pytest.raises(ConfigurationError, match="0 of them finite"):
        reward_error(lambda batch: np.full(len(batch), np.nan), EnvFactory("TextGen-v0", {"task": PLAIN}), episodes=4)
    unhappy = toy(constraints=())
    batch, _ = play(lambda o, *_, **__: np.full(len(o), 11), EnvFactory("TextGen-v0", {"task": unhappy}), episodes=2)
    with pytest.raises(ConfigurationError, match="at least one text"):
        reward_error(Weighted(), EnvFactory("TextGen-v0", {"task": unhappy}), episodes=batch)


def _one_number(batch: EpisodeBatch) -> Any:
    return np.zeros(1)


def test_random_play_chooses_every_legal_id_equally_often() -> None:
    masks = np.tile([True, False, True, True], (6_000, 1))
    actions = random_act(0)(None, masks)
    counts = np.bincount(actions, minlength=4)
    assert counts[1] == 0
    assert np.abs(counts[[0, 2, 3]] - 2_000).max() < 150
