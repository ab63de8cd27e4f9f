"""Language models are distributions, count what they say they count, and survive their files."""

from __future__ import annotations

import copy
import math
import pickle
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import as_pickle_only, save_byte_tokenizer
from toys import PLAIN

from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.huggingface import HuggingFaceTokenizer
from textgym.language_models import (
    HuggingFaceLanguageModel,
    LanguageModel,
    NGramLanguageModel,
    renormalize,
    text_log_probs,
)
from textgym.playing import play, random_act
from textgym.prompts import PromptTable
from textgym.tasks import get

V = 4
IDS = st.integers(0, V - 1)
TEXTS = st.lists(st.lists(IDS, min_size=1, max_size=6), min_size=1, max_size=6)


def witten_bell(texts: Sequence[Sequence[int]], order: int, history: tuple[int, ...], word: int) -> Fraction:
    """The textbook's recursion, one n-gram at a time."""
    if order == 0:
        return Fraction(1, V)
    before: Counter[int] = Counter()
    for text in texts:
        path = [V] * (order - 1) + list(text)
        for place in range(len(text)):
            if tuple(path[place : place + order - 1]) == history:
                before[path[place + order - 1]] += 1
    lower = witten_bell(texts, order - 1, history[1:], word)
    if not before:
        return lower
    return (before[word] + len(before) * lower) / Fraction(before.total() + len(before))


@given(texts=TEXTS, order=st.integers(1, 4), row=st.lists(IDS, max_size=5), left=st.integers(0, 3))
def test_ngrams_follow_the_recursion_of_witten_and_bell(
    texts: list[list[int]], order: int, row: list[int], left: int
) -> None:
    model = NGramLanguageModel.fit(texts, vocab_size=V, order=order)
    history = tuple(([V] * (order - 1) + row)[len(row) :])
    expected = [float(witten_bell(texts, order, history, word)) for word in range(V)]
    tokens = np.array([[V] * left + row + [V] * 2], dtype=np.int32)
    assert np.exp(model.log_probs(tokens)[0]) == pytest.approx(expected, abs=1e-12)


@given(texts=TEXTS, rows=st.lists(st.lists(st.integers(0, V), min_size=3, max_size=3), min_size=1, max_size=6))
def test_a_distribution_does_not_depend_on_the_batch(texts: list[list[int]], rows: list[list[int]]) -> None:
    model, tokens = NGramLanguageModel.fit(texts, vocab_size=V), np.array(rows)
    together = model.log_probs(tokens)
    assert np.exp(together).sum(axis=1) == pytest.approx(np.ones(len(rows)))
    assert model.log_probs(tokens[:0]).shape == (0, V)
    assert np.array_equal(together, np.concatenate([model.log_probs(tokens[[row]]) for row in range(len(rows))]))


def test_prompts_are_read_but_not_learned() -> None:
    model = NGramLanguageModel.fit([[0], [1]], contexts=[[2, 2], [V, 3]], vocab_size=V, order=2)
    after = np.exp(model.log_probs(np.array([[2], [3]])))
    assert after[0, 0] > 0.6 > after[0, 1]
    assert after[1, 1] > 0.6 > after[1, 0]
    unigram = np.exp(NGramLanguageModel.fit([[0], [1]], contexts=[[2], [2]], vocab_size=V, order=1).log_probs([[V]]))
    assert unigram[0].tolist() == pytest.approx([3 / 8, 3 / 8, 1 / 8, 1 / 8])  # (1 + 2/4) / (2 + 2), (0 + 2/4) / 4


def test_masks_renormalise_over_the_legal_ids() -> None:
    model = NGramLanguageModel.fit([[0, 1, 2]], vocab_size=V)
    masks = np.array([[True, False, True, False], [False, False, False, True]])
    rows = np.array([[V, 0], [0, 1]])
    free, bound = np.exp(model.log_probs(rows)), np.exp(model.log_probs(rows, masks))
    assert bound.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert ((bound > 0) == masks).all()
    assert bound[0, 0] / bound[0, 2] == pytest.approx(free[0, 0] / free[0, 2])
    nothing = renormalize(np.full((1, 3), -np.inf), np.array([[True, True, False]]))
    assert np.exp(nothing[0]).tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_ngrams_survive_their_file_and_pickle(tmp_path: Path) -> None:
    model = NGramLanguageModel.fit([[0, 1, 2, 3], [0, 2]], vocab_size=V, order=3)
    model.save(tmp_path / "lm.safetensors")
    rows = np.array([[0, 1], [V, 0], [3, 3]])
    for other in (NGramLanguageModel.load(tmp_path / "lm.safetensors"), pickle.loads(pickle.dumps(model))):
        assert (other.order, other.vocab_size) == (3, V)
        assert np.array_equal(other.log_probs(rows), model.log_probs(rows))
    (tmp_path / "noise").write_bytes(b"\x80\x04noise")
    for path in (tmp_path / "noise", tmp_path / "missing", _other_safetensors(tmp_path)):
        with pytest.raises(ConfigurationError, match=r"cannot be read as safetensors|no n-gram language model"):
            NGramLanguageModel.load(path)


def _other_safetensors(folder: Path) -> Path:
    from safetensors.numpy import save_file

    save_file({"counts": np.ones(2)}, folder / "other.safetensors")
    return folder / "other.safetensors"


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([[0]], {"order": 0}, "order=0"),
        ([[0]], {"order": True}, "order=True"),
        ([[]], {}, "no tokens"),
        ([[V]], {}, "outside the vocabulary"),
        ([[-1]], {}, "outside the vocabulary"),
        ([[0]], {"contexts": []}, "1 texts and 0 contexts"),
    ],
)
def test_what_cannot_be_fitted(texts: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        NGramLanguageModel.fit(texts, vocab_size=V, **options)


@pytest.mark.parametrize("wrong", [V + 1, -1, 1000])
def test_ids_outside_the_vocabulary_are_named(wrong: int) -> None:
    model = NGramLanguageModel.fit([[0, 1, 2]], vocab_size=V)
    with pytest.raises(
        ConfigurationError, match=f"id {wrong}: the model was fitted on the ids 0 to 3, and 4 is the pad"
    ):
        model.log_probs(np.array([[V, 0], [wrong, 1]]))


# ---- whole texts --------------------------------------------------------------------------------------------------


def played(episodes: int = 20) -> EpisodeBatch:
    return play(random_act(3), EnvFactory("TextGen-v0", {"task": PLAIN}), episodes=episodes)[0]


def test_the_probability_of_a_text_is_that_of_its_tokens() -> None:
    batch = played()
    model = NGramLanguageModel.fit([batch.ids(row) for row in range(9)], vocab_size=batch.tokenizer.vocab_size, order=2)
    totals = text_log_probs(model, batch)
    for row in range(len(batch)):
        prompt, expected = batch.prompts.ids[batch.prompt_indices[row]].tolist(), 0.0
        for place, token in enumerate(batch.ids(row)):
            expected += model.log_probs(np.array([[*prompt, *batch.ids(row)[:place]]]))[0, token]
        assert totals[row] == pytest.approx(expected)
    with pytest.raises(ConfigurationError, match="the language model has 4 ids, the texts come from 12"):
        text_log_probs(NGramLanguageModel.fit([[0]], vocab_size=V), batch)


class ReadsObservations:
    """An agent that knows observations of one width only, as neural networks do; it likes to repeat itself."""

    def act(self, observations: Any, action_masks: Any, **_: Any) -> Any:
        return self.log_probs(observations, action_masks).argmax(axis=1)

    def log_probs(self, observations: Any, action_masks: Any = None) -> Any:
        assert observations.shape[1] == PLAIN.prompts.width + PLAIN.budget
        log_probs = np.full((len(observations), 12), math.log(0.5 / 11))
        log_probs[np.arange(len(observations)), observations[:, 0] % 12] = math.log(0.5)
        return log_probs if action_masks is None else renormalize(log_probs, action_masks)


def test_an_agent_with_log_probs_is_a_language_model() -> None:
    agent = ReadsObservations()
    assert isinstance(agent, LanguageModel)
    batch = played()
    liked = batch.completion_ids == (batch.tokens[:, :1] % 12)
    expected = liked.sum(axis=1) * math.log(0.5) + (batch.lengths - liked.sum(axis=1)) * math.log(0.5 / 11)
    assert text_log_probs(agent, batch) == pytest.approx(expected)


@pytest.mark.parametrize("level", ["tiny", "easy"])
def test_the_language_model_of_a_task_prefers_demonstrations(level: str) -> None:
    task = get("Reviews", level)
    model = task.language_model
    assert model is not None
    assert model is task.language_model
    assert model.counts.sum() > 4_000
    rng, rows = np.random.default_rng(5), np.arange(200) % len(task.prompts)
    typical = [task.encode_completion(task.demonstrate(task.prompts.prompts[row], rng)) for row in rows.tolist()]
    fluent = EpisodeBatch.from_ids(task.prompts, task.tokenizer, rows.tolist(), typical)
    random, _ = play(random_act(), "TextGen-v0", episodes=200)
    if level == "easy":
        assert text_log_probs(model, fluent).mean() > text_log_probs(model, random).mean() + 5.0
    assert -text_log_probs(model, fluent).sum() / fluent.lengths.sum() < 2.0
    assert PLAIN.language_model is None
    assert task.override(prompts=[Prompt("praise the movie")]).language_model is None


def test_the_language_model_of_a_task_is_seeded() -> None:
    one, other = (get("Reviews", "tiny").override(reward=_no_reward).language_model for _ in range(2))
    assert one is not None
    assert other is not None
    assert one is not other
    assert np.array_equal(one.ngrams, other.ngrams)
    assert np.array_equal(one.counts, other.counts)


def _no_reward(batch: EpisodeBatch) -> Any:
    return np.zeros(len(batch))


# ---- Hugging Face -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_language_model(tmp_path_factory.mktemp("lm"))


def save_language_model(path: Path, **settings: Any) -> Path:
    """A GPT-2 of one layer with more rows than its tokenizer has ids."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    size = len(save_byte_tokenizer(path))
    config = GPT2Config(
        **{
            "vocab_size": size + 3, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 24, "bos_token_id": 0,
            "initializer_range": 0.5, "eos_token_id": 0, **settings,
        }
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(path)
    return path


def texts_of(folder: Path) -> EpisodeBatch:
    tokenizer = HuggingFaceTokenizer(folder)
    prompts = PromptTable([Prompt("hello"), Prompt("he"), Prompt("")], tokenizer)
    completions = [[*tokenizer.encode(text), tokenizer.eos_ids[0]] for text in ("ll", "hello w", "")]
    return EpisodeBatch.from_ids(prompts, tokenizer, [0, 1, 2], completions, max_new_tokens=9)


def test_a_transformer_reads_texts_as_transformers_does(folder: Path) -> None:
    import torch
    from transformers import GPT2LMHeadModel

    batch, model = texts_of(folder), HuggingFaceLanguageModel(folder, device="cpu", batch_size=2)
    size, reference = batch.tokenizer.vocab_size, GPT2LMHeadModel.from_pretrained(folder).eval()
    last = model.log_probs(batch.tokens)
    totals = text_log_probs(model, batch)
    for row in range(len(batch)):
        prompt = batch.tokenizer.encode(batch.prompt_texts[row])
        ids = torch.tensor([[0, *prompt, *batch.ids(row)]])
        with torch.inference_mode():
            expected = reference(ids).logits[0, :, :size].double().log_softmax(-1)
        assert last[row] == pytest.approx(expected[-1].numpy(), abs=1e-5)
        chosen = [expected[len(prompt) + place, token].item() for place, token in enumerate(batch.ids(row))]
        assert totals[row] == pytest.approx(sum(chosen), abs=1e-5)


class OneTokenAtATime:
    """Hides the faster way of a model."""

    def __init__(self, model: LanguageModel) -> None:
        self.log_probs = model.log_probs


def test_one_pass_over_a_text_equals_one_a_token(folder: Path) -> None:
    batch, model = texts_of(folder), HuggingFaceLanguageModel(folder, device="cpu")
    assert text_log_probs(model, batch) == pytest.approx(text_log_probs(OneTokenAtATime(model), batch), abs=1e-5)


def test_a_transformer_obeys_masks_and_copies(folder: Path) -> None:
    batch, model = texts_of(folder), HuggingFaceLanguageModel(folder, device="cpu")
    masks = np.zeros((3, batch.tokenizer.vocab_size), dtype=bool)
    masks[:, [5, 7]] = True
    bound, free = np.exp(model.log_probs(batch.tokens, masks)), np.exp(model.log_probs(batch.tokens))
    assert bound.sum(axis=1) == pytest.approx(np.ones(3))
    assert bound[:, 5] / bound[:, 7] == pytest.approx(free[:, 5] / free[:, 7], rel=1e-4)
    assert not bound[:, :5].any()
    assert copy.deepcopy(model) is model
    other = pickle.loads(pickle.dumps(model))
    assert other == model
    assert "_model" not in other.__dict__


def test_what_no_transformer_can_read(folder: Path, tmp_path: Path) -> None:
    model = HuggingFaceLanguageModel(folder, device="cpu")
    with pytest.raises(ConfigurationError, match="a text of 41 tokens.*reads at most 24"):
        model.log_probs(np.zeros((1, 40), dtype=np.int32))
    small = save_language_model(tmp_path / "small", vocab_size=9)
    with pytest.raises(ConfigurationError, match="scores 9 ids, but its tokenizer has"):
        HuggingFaceLanguageModel(small, device="cpu").log_probs(np.zeros((1, 2), dtype=np.int32))
    pickled = as_pickle_only(save_language_model(tmp_path / "pickled"))
    with pytest.raises(ConfigurationError, match="opens no pickles.*these lines convert it"):
        HuggingFaceLanguageModel(pickled).log_probs(np.zeros((1, 2), dtype=np.int32))
    with pytest.raises(ConfigurationError, match="no language model could be loaded"):
        HuggingFaceLanguageModel(tmp_path / "nowhere").log_probs(np.zeros((1, 2), dtype=np.int32))
    with pytest.raises(ConfigurationError, match="device='abacus' cannot be used here"):
        HuggingFaceLanguageModel(folder, device="abacus").log_probs(np.zeros((1, 2), dtype=np.int32))
    with pytest.raises(ConfigurationError, match="batch_size=0"):
        HuggingFaceLanguageModel(folder, batch_size=0)
