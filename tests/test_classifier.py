"""ClassifierReward on models of a few kB, compared with what the models themselves say."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import tiny_models  # noqa: E402 - needs both of the above

from textgym.episodes import EpisodeBatch  # noqa: E402
from textgym.errors import ConfigurationError, UnknownNameError  # noqa: E402
from textgym.prompts import PromptTable, load_prompts  # noqa: E402
from textgym.rewards import ClassifierReward, resolve_reward  # noqa: E402
from textgym.rewards import classifier as classifier_module  # noqa: E402
from textgym.tokenizers import WordTokenizer  # noqa: E402

WORDS = WordTokenizer(tiny_models.WORDS)
PROMPTS = ("the film", "the plot was dull")
BINARY = ("negative", "positive")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    tiny_models.save_bert(folder / "binary", BINARY, chat_template=tiny_models.CHAT_TEMPLATE)
    tiny_models.save_bert(folder / "three", ("bad", "neutral", "good"))
    tiny_models.save_bert(folder / "many", ("toxic", "rude"), problem_type="multi_label_classification")
    tiny_models.save_bert(folder / "reward", ("score",))
    tiny_models.save_gpt2(folder / "gpt2")
    tiny_models.save_gpt2(folder / "gpt2_padded", pad_token_id=0)
    return folder


def batch_of(*completions: str, prompts: Any = PROMPTS) -> EpisodeBatch:
    table = PromptTable(load_prompts(list(prompts)), WORDS)
    rows = [row % len(prompts) for row in range(len(completions))]
    return EpisodeBatch.from_ids(table, WORDS, rows, [WORDS.encode(text) for text in completions])


def random_batch(count: int = 40) -> EpisodeBatch:
    rng = np.random.default_rng(0)
    return batch_of(*(" ".join(rng.choice(tiny_models.WORDS, rng.integers(0, 9))) for _ in range(count)))


def logits_of(folder: Path, *text: str, add_special_tokens: bool = True) -> np.ndarray:
    """What the model says, asked in the plainest way."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = tokenizer(*text, return_tensors="pt", add_special_tokens=add_special_tokens)
    with torch.inference_mode():
        return model(**inputs).logits[0].double().numpy()


SETTINGS = [
    ("binary", {"label": "positive", "output": "probability"}),
    ("binary", {"label": "positive", "output": "log_odds"}),
    ("binary", {"label": "negative", "output": "log_odds", "text": "pair"}),
    ("binary", {"label": "positive", "output": "probability", "text": "chat"}),
    ("many", {"label": "rude", "output": "log_odds", "text": "{prompt} and {completion}"}),
    ("reward", {"text": "pair"}),
    ("gpt2", {}),
    ("gpt2", {"text": "{prompt} / {completion}"}),
    ("gpt2_padded", {"text": "{prompt} / {completion}"}),
]


@pytest.mark.parametrize(("name", "options"), SETTINGS)
@pytest.mark.parametrize("batch_size", [3, 64])
def test_a_batch_scores_as_its_rows_alone(models: Path, name: str, options: dict[str, Any], batch_size: int) -> None:
    batch = random_batch()
    together = ClassifierReward(models / name, batch_size=batch_size, **options)(batch)
    reward = ClassifierReward(models / name, batch_size=1, **options)
    alone = np.concatenate([reward(batch.take([row])) for row in range(len(batch))])
    assert together.dtype == np.float64
    assert np.ptp(together) > 1e-2  # the rows do differ
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "gpt2_padded", "reward"])
def test_one_label_gives_its_logit(models: Path, name: str) -> None:
    reward = ClassifierReward(models / name)
    assert reward.range == (-np.inf, np.inf)
    texts = ["the film was great", "dull"]
    expected = [logits_of(models / name, text)[0] for text in texts]
    np.testing.assert_allclose(reward(batch_of(*texts)), expected, atol=1e-6)


def test_the_column_is_chosen_by_name(models: Path) -> None:
    bad, neutral, good = logits_of(models / "three", "the film was great")
    weights = np.exp([bad, neutral, good])
    batch = batch_of("the film was great")
    for index, label in enumerate(("bad", "neutral", "good")):
        p = weights[index] / weights.sum()
        probability = ClassifierReward(models / "three", label=label, output="probability")
        assert probability.range == (0.0, 1.0)
        assert probability(batch)[0] == pytest.approx(p, abs=1e-6)
        log_odds = ClassifierReward(models / "three", label=label, output="log_odds")
        assert log_odds.range == (-np.inf, np.inf)
        assert log_odds(batch)[0] == pytest.approx(np.log(p / (1 - p)), abs=1e-5)


def test_independent_labels_are_not_weighed_against_each_other(models: Path) -> None:
    logit = logits_of(models / "many", "the film was great")[1]
    batch = batch_of("the film was great")
    assert ClassifierReward(models / "many", label="rude", output="log_odds")(batch)[0] == pytest.approx(
        logit, abs=1e-6
    )
    probability = ClassifierReward(models / "many", label="rude", output="probability")(batch)[0]
    assert probability == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)


def test_what_is_scored(models: Path) -> None:
    batch = batch_of("was great", prompts=["the film"])
    rendered = "[CLS] user the film [CLS] assistant was great "
    cases: dict[str, Any] = {
        "completion": (("was great",), True),
        "pair": (("the film", "was great"), True),
        "{prompt} not {completion}": (("the film not was great",), True),
        "chat": ((rendered,), False),
    }
    scores = {}
    for text, (parts, special) in cases.items():
        negative, positive = logits_of(models / "binary", *parts, add_special_tokens=special)
        reward = ClassifierReward(models / "binary", label="positive", output="log_odds", text=text)
        scores[text] = reward(batch)[0]
        assert scores[text] == pytest.approx(positive - negative, abs=1e-5)
    assert len({round(score, 4) for score in scores.values()}) == len(cases)


def test_an_empty_text_becomes_one_unknown_token(models: Path) -> None:
    unknown = logits_of(models / "reward", "[UNK]")[0]
    assert ClassifierReward(models / "reward")(batch_of(""))[0] == pytest.approx(unknown, abs=1e-6)
    pair = logits_of(models / "reward", "the film", "[UNK]")[0]
    assert ClassifierReward(models / "reward", text="pair")(batch_of(""))[0] == pytest.approx(pair, abs=1e-6)
    end = logits_of(models / "gpt2", "<|end|>")[0]  # GPT-2 has no unknown token
    assert ClassifierReward(models / "gpt2")(batch_of(""))[0] == pytest.approx(end, abs=1e-6)


def test_long_texts_are_cut_counted_and_warned_of_once(models: Path) -> None:
    reward = ClassifierReward(models / "reward", max_length=4)
    batch = batch_of("was great", "the film was great", "not the film", "the film was great")
    assert reward.truncated == 0
    with pytest.warns(UserWarning, match="cut to 4 tokens") as caught:
        scores = reward(batch)
    assert len(caught) == 1
    assert reward.truncated == 2  # the repeated text was scored once
    assert scores[1] == pytest.approx(logits_of(models / "reward", "the film")[0], abs=1e-6)
    reward(batch_of("and the film was dull"))
    assert reward.truncated == 3


def test_templates_are_cut_at_the_front(models: Path) -> None:
    reward = ClassifierReward(models / "reward", text="{prompt} {completion}", max_length=4)
    with pytest.warns(UserWarning, match="cut to 4"):
        score = reward(batch_of("was great", prompts=["the film"]))[0]
    assert score == pytest.approx(logits_of(models / "reward", "was great")[0], abs=1e-6)


def test_what_a_model_can_read_bounds_the_length(models: Path) -> None:
    with pytest.raises(ConfigurationError, match="reads at most 24 tokens"):
        ClassifierReward(models / "reward", max_length=25)(batch_of("dull"))
    long = batch_of(" ".join(["dull"] * 40))
    with pytest.warns(UserWarning, match="cut to 24"):
        assert np.isfinite(ClassifierReward(models / "reward")(long)).all()


def test_positions_that_start_late_shorten_what_a_model_can_read(tmp_path: Path) -> None:
    tokenizer = tiny_models.save_word_tokenizer(tmp_path)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=12, pad_token_id=1, num_labels=1, type_vocab_size=2,
    )  # fmt: skip
    transformers.RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="cut to 10"):
        assert np.isfinite(ClassifierReward(tmp_path)(batch_of(" ".join(["dull"] * 40)))).all()


def test_texts_are_remembered_within_bounds(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = ClassifierReward(models / "reward")
    asked: list[int] = []
    first = reward(batch_of("dull", "great", "dull"))
    forward = reward._model._forward
    monkeypatch.setattr(reward._model, "_forward", lambda rows: asked.append(len(rows)) or forward(rows))
    assert reward(batch_of("great", "dull")).tolist() == [first[1], first[0]]
    assert asked == []
    monkeypatch.setattr(classifier_module, "CACHED_TEXTS", 2)
    assert reward(batch_of("bad", "dull", "good"))[1] == first[0]
    assert (asked, len(reward._model._cache)) == ([2], 2)


def test_a_reward_is_its_settings(models: Path) -> None:
    reward = ClassifierReward(models / "reward")
    scores = reward(batch_of("dull", "great"))
    assert copy.deepcopy(reward) is reward
    again = pickle.loads(pickle.dumps(reward))
    assert "_model" not in again.__dict__
    assert len(pickle.dumps(reward)) < 1000
    assert (again, hash(again)) == (reward, hash(reward))
    np.testing.assert_allclose(again(batch_of("dull", "great")), scores, atol=1e-6)
    assert reward != ClassifierReward(models / "reward", text="pair")


def test_scoring_leaves_the_torch_generator_alone(models: Path) -> None:
    before = torch.random.get_rng_state()
    ClassifierReward(models / "gpt2")(batch_of("dull"))
    assert torch.equal(torch.random.get_rng_state(), before)


# What is refused


def test_a_pickle_is_refused_and_the_two_lines_convert_it(models: Path, tmp_path: Path) -> None:
    folder = tiny_models.as_pickle_only(tiny_models.save_bert(tmp_path / "old", ("score",)))
    with pytest.raises(ConfigurationError, match="opens no pickles") as caught:
        ClassifierReward(folder)
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert len(lines) == 2
    exec("\n".join(lines), {})
    expected = ClassifierReward(models / "reward")(batch_of("the film was great"))
    np.testing.assert_allclose(ClassifierReward(folder)(batch_of("the film was great")), expected, atol=1e-6)


def test_a_folder_without_any_weights_gets_no_advice_on_pickles(tmp_path: Path) -> None:
    folder = tiny_models.save_bert(tmp_path / "empty", ("score",))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match=r"expected model\.safetensors beside config\.json") as caught:
        ClassifierReward(folder)
    assert "pickle" not in str(caught.value)


def test_a_damaged_file_is_named_without_advice_on_pickles(tmp_path: Path) -> None:
    folder = tiny_models.save_bert(tmp_path / "damaged", ("score",))
    (folder / "model.safetensors").write_bytes(b"no safetensors at all")
    with pytest.raises(ConfigurationError, match="no classifier could be loaded from .*Safetensor") as caught:
        ClassifierReward(folder)(batch_of("dull"))
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize("device", ["warp", "cuda:99"])
def test_a_device_that_is_not_there_is_a_mistake_of_the_set_up(models: Path, device: str) -> None:
    with pytest.raises(ConfigurationError, match=f"device='{device}' cannot be used here"):
        ClassifierReward(models / "reward", device=device)(batch_of("dull"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ConfigurationError, "labels 'negative', 'positive': choose one.*'probability'.*'log_odds'"),
        ({"label": "positive"}, ConfigurationError, "choose one"),
        ({"output": "probability"}, ConfigurationError, "choose one"),
        ({"label": "postive", "output": "log_odds"}, UnknownNameError, "Did you mean 'positive'"),
        ({"label": "positive", "output": "odds"}, UnknownNameError, "Did you mean 'log_odds'"),
        ({"dtype": "float23"}, UnknownNameError, "Did you mean 'float32'"),
        ({"text": "{answer}"}, ConfigurationError, "expected 'completion', 'pair', 'chat' or a template"),
        ({"text": "prompt"}, ConfigurationError, "or a template"),
        ({"text": "{completion"}, ConfigurationError, "or a template"),
        ({"text": "{completion.__class__}"}, ConfigurationError, "or a template"),
        ({"batch_size": 0}, ConfigurationError, "whole number"),
        ({"max_length": 1.5}, ConfigurationError, "whole number"),
    ],
)
def test_bad_options(models: Path, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ClassifierReward(models / "binary", **options)


def test_one_label_takes_no_output(models: Path) -> None:
    with pytest.raises(ConfigurationError, match="one label, which pays its logit"):
        ClassifierReward(models / "reward", output="probability")


def test_a_model_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny_models.save_word_tokenizer(tmp_path)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match=r"no trained classifier.*classifier\.weight"):
        ClassifierReward(tmp_path, label="LABEL_1", output="probability")(batch_of("dull"))


def test_code_from_a_model_folder_never_runs(models: Path, tmp_path: Path) -> None:
    folder = tiny_models.save_bert(tmp_path / "remote", ("score",))
    (folder / "code.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    auto_map = {"AutoConfig": "code.C", "AutoModelForSequenceClassification": "code.M"}
    tiny_models.edit_json(folder / "config.json", model_type="unheard_of", auto_map=auto_map)
    with pytest.raises(ConfigurationError, match="no classifier could be loaded"):
        ClassifierReward(folder)(batch_of("dull"))


def test_missing_folders_and_tokenizers(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no config\.json"):
        ClassifierReward(tmp_path / "nowhere")
    tiny_models.save_bert(tmp_path / "mute", ("score",))
    for path in (tmp_path / "mute").glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ConfigurationError, match="it has no tokenizer"):
        ClassifierReward(tmp_path / "mute")(batch_of("dull"))


def test_chat_needs_a_template(models: Path) -> None:
    with pytest.raises(ConfigurationError, match="no chat template"):
        ClassifierReward(models / "reward", text="chat")(batch_of("dull"))


def test_a_folder_or_the_name_classifier_makes_one(models: Path) -> None:
    folder = str(models / "binary")
    expected = ClassifierReward(folder, label="positive", output="probability")
    assert resolve_reward({"name": folder, "label": "positive", "output": "probability"}) == expected
    named = {"name": "classifier", "path_or_name": folder, "label": "positive", "output": "probability"}
    assert resolve_reward(named) == expected
    assert resolve_reward(str(models / "gpt2")) == ClassifierReward(models / "gpt2")
    with pytest.raises(ConfigurationError, match="choose one"):
        resolve_reward(folder)


def test_hub_names_are_read_only_when_scoring(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = ClassifierReward("some-org/some-model", label="joy", output="probability")

    tokenizer = transformers.AutoTokenizer.from_pretrained(models / "binary")
    asked: list[dict[str, Any]] = []

    def offline(*args: Any, **options: Any) -> None:
        asked.append(options)
        raise OSError("offline")

    monkeypatch.setattr(
        transformers.AutoTokenizer, "from_pretrained", lambda *a, **options: asked.append(options) or tokenizer
    )
    monkeypatch.setattr(transformers.AutoModelForSequenceClassification, "from_pretrained", offline)
    with pytest.raises(ConfigurationError, match=re.escape("'some-org/some-model'") + ".*offline"):
        reward(batch_of("dull"))
    assert [(options["trust_remote_code"], options["revision"]) for options in asked] == [(False, "main")] * 2
    assert asked[1]["use_safetensors"] is True


def test_no_warning_on_the_ordinary_path(models: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ClassifierReward(models / "gpt2")(batch_of("dull", "great")).shape == (2,)
