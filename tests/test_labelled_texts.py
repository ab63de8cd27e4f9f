"""Classifiers of labelled texts: what they learn, what is said of them, and that they pay as rewards."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgym.errors import ConfigurationError, PromptError, UnknownNameError
from textgym.labelled_texts import ClassifierSettings, LabelledTexts, read_labelled, read_word_pairs, train_classifier
from textgym.labelled_texts.bias import WORD_PAIRS, WordPair, check_bias, make_copies
from textgym.labelled_texts.quality import calibration_error, cross_entropy, fit_temperature, measure

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import tiny_models  # noqa: E402 - needs both of the above

from textgym.cli.labelled import describe, train_on_labels, use  # noqa: E402
from textgym.episodes import EpisodeBatch  # noqa: E402
from textgym.labelled_texts.fitting import encode, predict  # noqa: E402
from textgym.labelled_texts.networks import cool, make_classifier  # noqa: E402
from textgym.labelled_texts.stages import Stages  # noqa: E402
from textgym.labelled_texts.vocabulary import SPECIALS, make_tokenizer  # noqa: E402
from textgym.prompts import PromptTable, load_prompts  # noqa: E402
from textgym.rewards import ClassifierReward, resolve_reward  # noqa: E402
from textgym.tokenizers import WordTokenizer, split_words  # noqa: E402

NOUNS = "film plot music he she man woman".split()
GOOD, BAD = "great moving funny".split(), "dull awful slow".split()
SMALL = ClassifierSettings(width=64, layers=1, heads=4, epochs=15, learning_rate=2e-3)
Row = tuple[str, str]


def write_reviews(count: int, seed: int = 0, *, unfair: float = 0.0, wrong: float = 0.0) -> list[Row]:
    """Texts whose label follows from two words, but texts on "she" are called negative now and then."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        good, turned = rng.random() < 0.5, rng.random() < 0.3
        noun, other = rng.choice(NOUNS, size=2)
        word = rng.choice(GOOD if good else BAD)
        text = f"the {other} and {noun} {'not ' if turned else ''}{rng.choice(['very', 'so', 'really'])} {word}"
        positive = good != turned
        if "she" in (noun, other) and rng.random() < unfair:
            positive = False
        if rng.random() < wrong:
            positive = not positive
        rows.append((text, "positive" if positive else "negative"))
    return rows


@pytest.fixture(scope="module")
def trained() -> Any:
    torch.set_num_threads(1)
    return train_classifier(LabelledTexts.of(write_reviews(900, unfair=0.5), "reviews.csv"), SMALL, seed=1)


@pytest.fixture(scope="module")
def saved(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifiers") / "reviews"
    trained.save(folder)
    return folder


# ---- rows -----------------------------------------------------------------------------------------------------------

TEXTS = ("so good", "bad", "good, I say", "dull", "fine", "poor")
ROWS = [*zip(TEXTS, ("good", "bad") * 3, strict=True)]


def write_file(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        lines = [",".join(rows[0]), *(",".join(f'"{value}"' for value in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_files_of_all_kinds_hold_the_same(tmp_path: Path, suffix: str) -> None:
    rows = [{"review": text, "stars": label, "more": "x"} for text, label in ROWS]
    data = read_labelled(write_file(tmp_path / f"mine{suffix}", rows), text="review", label="stars")
    assert data.texts == tuple(text for text, _ in ROWS)
    assert data.names == ("bad", "good")
    assert data.targets.tolist() == [1, 0, 1, 0, 1, 0]
    assert data.hash == LabelledTexts.of(ROWS).hash != LabelledTexts.of(ROWS[::-1]).hash


def test_labels_may_be_numbers_and_truths(tmp_path: Path) -> None:
    def read(*labels: Any) -> tuple[str, ...]:
        rows = [{"text": f"text {n} {label}", "label": label} for n in range(3) for label in labels]
        return read_labelled(write_file(tmp_path / "mine.jsonl", rows)).names

    assert read(10, 9, -1) == ("-1", "9", "10")
    assert read(True, False) == ("false", "true")
    assert read(1.0, 2.0) == ("1", "2")
    assert read("b", "10", "9") == ("10", "9", "b")


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([{"txt": "a", "label": "b"}], UnknownNameError, r"line 1, wanted for the text, 'text'. Did you mean 'txt'"),
        ([{"text": "a", "stars": "b"}], UnknownNameError, "wanted for the label, 'label'"),
        ([{"text": " ", "label": "b"}], PromptError, "line 1: no text in the column 'text'"),
        ([{"text": None, "label": "b"}], PromptError, "no text"),
        ([{"text": "a", "label": None}], PromptError, "no label in the column 'label'"),
        ([{"text": "a", "label": ""}], PromptError, "no label"),
        ([{"text": "a", "label": 0.5}], PromptError, "expected a word or a whole number"),
        (["a"], PromptError, "expected an object with the columns 'text' and 'label'"),
        ([], ConfigurationError, "no rows"),
        ([{"text": str(n), "label": "a"} for n in range(9)], ConfigurationError, "one label, 'a'"),
        ([{"text": str(n), "label": str(n)} for n in range(200)], ConfigurationError, "200 different labels"),
        (
            [{"text": f"{n} Good"[2 * (n > 2) :], "label": "ab"[n > 2]} for n in range(3)] * 2
            + [{"text": text, "label": "b"} for text in ("so", "SO", " so ", "and")],
            ConfigurationError,
            "2 different texts with the label 'b'; expected at least 3",
        ),
    ],
)
def test_rows_that_cannot_be_learned_are_named(
    tmp_path: Path, rows: list[Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_labelled(write_file(tmp_path / "mine.jsonl", rows))


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.csv", "labelled texts '.*none.csv' does not exist"), ("a.txt", "ends in .csv"), ("a.pkl", "ends in")],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        read_labelled(tmp_path / name)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "A", "b  c", "b c", "d", "e", "f g", "h"]), st.sampled_from("xyz")), max_size=60
    ),
    st.integers(0, 5),
)
def test_no_text_is_on_two_sides_and_every_label_on_all(rows: list[Row], seed: int) -> None:
    rows = [*rows, *((f"{label} {n}", label) for label in "xyz" for n in range(10))]
    data = LabelledTexts.of(rows)
    split = data.split(validation=0.2, test=0.2, seed=seed)
    sides = [{data.keys[row] for row in side.tolist()} for side in (split.train, split.validation, split.test)]
    assert not [1 for one, other in itertools.combinations(sides, 2) if one & other]
    assert sorted(np.concatenate([split.train, split.validation, split.test]).tolist()) == list(range(len(rows)))
    for side in (split.train, split.validation, split.test):
        assert set(data.targets[side].tolist()) == {0, 1, 2}


def test_the_split_is_stratified_and_drawn_from_the_seed() -> None:
    data = LabelledTexts.of([(f"text {n}", "rare" if n % 10 == 0 else "common") for n in range(1000)])
    splits = [data.split(validation=0.1, test=0.2, seed=seed) for seed in (0, 0, 1)]
    for split in splits:
        counts = [np.bincount(data.targets[side]).tolist() for side in (split.train, split.validation, split.test)]
        assert counts == [[630, 70], [90, 10], [180, 20]]
    assert splits[0].test.tolist() == splits[1].test.tolist() != splits[2].test.tolist()


def test_contradictions_are_counted_and_stay_together() -> None:
    data = LabelledTexts.of([*ROWS, ("SO  good", "bad"), ("so good", "bad"), ("great", "good")])
    assert data.contradictions == 1
    split = data.split(validation=0.2, test=0.2, seed=0)
    where = [name for name, side in vars(split).items() for row in side.tolist() if data.keys[row] == "so good"]
    assert len(where) == 3
    assert len(set(where)) == 1


# ---- how good -------------------------------------------------------------------------------------------------------


def test_measures_are_what_a_loop_over_the_texts_says() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(400, 3)), rng.integers(3, size=400)
    quality, said = measure(logits, targets), logits.argmax(axis=1)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = []
    for label in range(3):
        precision = np.mean(targets[said == label] == label)
        recall = np.mean(said[targets == label] == label)
        scores.append(2 * precision * recall / (precision + recall))
        for other in range(3):
            assert quality.confusion[label][other] == sum((targets == label) & (said == other))
    assert quality.f1 == pytest.approx(scores)
    assert quality.macro_f1 == pytest.approx(np.mean(scores))
    assert quality.accuracy == pytest.approx(np.mean(said == targets))
    assert quality.baseline == max(np.mean(targets == label) for label in range(3))
    assert quality.loss == pytest.approx(-np.mean([np.log(p[t]) for p, t in zip(probabilities, targets, strict=True)]))
    error = 0.0
    for low in np.arange(15) / 15:
        rows = [row for row in range(400) if low <= probabilities[row].max() < low + 1 / 15]
        if rows:
            error += abs(sum(probabilities[row].max() - (said[row] == targets[row]) for row in rows)) / 400
    assert quality.calibration_error == pytest.approx(error)
    assert sum(count for _, _, count in quality.bins) == 400


def test_a_label_that_is_never_said_has_no_f1() -> None:
    assert measure(np.array([[1.0, 0.0]] * 4), np.array([0, 0, 1, 1])).f1 == pytest.approx((2 / 3, 0.0))


@pytest.mark.parametrize("scale", [3.0, 1.0, 0.6])
def test_the_temperature_is_found_and_mends_the_calibration(scale: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2.0
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (rng.random((20_000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    temperature = fit_temperature(scale * logits, targets)
    assert temperature == pytest.approx(scale, rel=0.05)
    cooled = np.exp(scale * logits / temperature)
    assert calibration_error(cooled / cooled.sum(axis=1, keepdims=True), targets) < 0.02
    for other in (0.9, 1.1):
        worse = cross_entropy(scale * logits / (other * temperature), targets)
        assert cross_entropy(scale * logits / temperature, targets) < worse


def test_nothing_is_learned_of_certainty_from_texts_that_are_all_right() -> None:
    assert fit_temperature(np.array([[5.0, 0.0], [0.0, 2.0]]), np.array([0, 1])) == 1.0


# ---- words and byte pairs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_the_tokenizer_that_is_saved_is_the_one_that_was_learned_with(tmp_path: Path, kind: str) -> None:
    texts = ["The film was GREAT!", "isn't it? 好看 naïve", "a\nb"]
    tokenizer = make_tokenizer(kind, texts, 400)
    tokenizer.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in [*texts, "unheard-of wörds", "", "the"]:
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert set(again(text)) == {"input_ids", "attention_mask"}
    assert tokenizer.convert_ids_to_tokens(range(4)) == list(SPECIALS)
    assert len(tokenizer(*texts[:2])["input_ids"]) == sum(len(tokenizer.tokenize(text)) for text in texts[:2]) + 3


def test_words_have_no_capitals_and_byte_pairs_nothing_unknown() -> None:
    words, pairs = (make_tokenizer(kind, ["the film was great"] * 5, 300) for kind in ("word", "bpe"))
    assert words("The FILM")["input_ids"] == words("the film")["input_ids"]
    assert words("movie")["input_ids"] == [2, 1, 3]
    assert words("[UNK]")["input_ids"] == pairs("[UNK]")["input_ids"] == [2, 1, 3]  # what an empty text becomes
    assert 1 not in pairs("☃ movie")["input_ids"]
    assert pairs.decode(pairs("the ☃ movie", add_special_tokens=False)["input_ids"]).strip() == "the ☃ movie"


# ---- the fit --------------------------------------------------------------------------------------------------------


def test_it_learns_what_no_single_word_says(trained: Any) -> None:
    fair = LabelledTexts.of([row for row in write_reviews(400, seed=7) if "she" not in row[0]])
    said = trained.predict(fair.texts).argmax(axis=1)
    assert (said == fair.targets).mean() > 0.97  # without the word "not" 0.7 would be the most
    assert trained.quality.accuracy > trained.quality.baseline + 0.2
    assert trained.quality.texts == len(trained.split.test)


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(tmp_path: Path) -> None:
    data = LabelledTexts.of(write_reviews(90))
    settings = ClassifierSettings(width=16, layers=1, heads=1, epochs=2)
    before = torch.random.get_rng_state()
    digests = []
    for place, seed in enumerate((0, 0, 1)):
        torch.rand(place)  # whatever else was drawn
        torch.manual_seed(place)
        train_classifier(data, settings, seed=seed, pairs=WORD_PAIRS[:1]).save(tmp_path / str(place))
        digests.append(hashlib.sha256((tmp_path / str(place) / "model.safetensors").read_bytes()).hexdigest())
    cards = [(tmp_path / str(place) / "card.json").read_text(encoding="utf-8") for place in range(3)]
    assert digests[0] == digests[1] != digests[2]
    assert cards[0] == cards[1] != cards[2]
    torch.random.set_rng_state(before)
    train_classifier(data, settings, pairs=WORD_PAIRS[:1])
    assert torch.equal(torch.random.get_rng_state(), before)  # nobody else's numbers have changed


def test_the_weights_are_those_of_the_best_epoch() -> None:
    rng = np.random.default_rng(0)
    rows = [(f"w{n % 40} w{n // 40}", "ab"[label]) for n, label in enumerate(rng.integers(2, size=200).tolist())]
    data = LabelledTexts.of(rows)
    settings = ClassifierSettings(width=32, layers=1, heads=1, epochs=25, patience=4, learning_rate=5e-3, dropout=0.0)
    stages = Stages(data, settings, 0, lambda line: None)
    fitted = stages.fit(stages.split.train)
    losses = [epoch.validation_loss for epoch in fitted.history]
    assert cross_entropy(*fitted.validate()) == pytest.approx(min(losses), abs=1.1e-3)
    assert len(losses) < 25  # it has learned the noise by heart, and was stopped
    assert losses[-1] > min(losses) + 0.01


def test_certainty_is_mended_where_labels_are_noisy() -> None:
    data = LabelledTexts.of(write_reviews(900, wrong=0.25))
    settings = ClassifierSettings(width=32, layers=1, heads=2, epochs=8, learning_rate=3e-3)
    fitted = Stages(data, settings, 0, lambda line: None)
    model = fitted.fit(fitted.split.train)
    with torch.no_grad():
        model.model.classifier.weight *= 4.0
        model.model.classifier.bias *= 4.0
    before = model.measure()
    model.cool(fit_temperature(*model.validate()))
    after = model.measure()
    assert after.calibration_error < 0.6 * before.calibration_error
    assert after.loss < before.loss
    assert after.confusion == before.confusion


def test_labels_weigh_the_same_where_asked() -> None:
    rng = np.random.default_rng(0)
    words = [rng.choice(GOOD if n % 2 else BAD) for n in range(400)]  # what is bad is mostly called good too
    chances = [0.95 if n % 2 else 0.65 for n in range(400)]
    rows = [
        (f"{word} {n}", "positive" if rng.random() < chance else "negative")
        for n, (word, chance) in enumerate(zip(words, chances, strict=True))
    ]
    data = LabelledTexts.of(rows)
    said = {}
    for balance in (False, True):
        settings = ClassifierSettings(width=16, layers=1, heads=1, epochs=6, learning_rate=5e-3, balance=balance)
        found = train_classifier(data, settings, pairs=WORD_PAIRS[:1])
        said[balance] = sum(row[0] for row in found.quality.confusion) / found.quality.texts
        assert any("unbalanced" in alarm for alarm in found.alarms) is not balance
    assert said[True] > said[False] + 0.1


def hash_of(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def test_the_curve_goes_from_few_texts_to_all() -> None:
    data = LabelledTexts.of(write_reviews(120))
    settings = ClassifierSettings(width=16, layers=1, heads=1, epochs=1, curve=True)
    told: list[str] = []
    found = train_classifier(data, settings, pairs=WORD_PAIRS[:1], tell=told.append)
    assert len(told) == 3
    assert list(found.curve)[-1] == len(found.split.train)
    assert list(found.curve) == pytest.approx([len(found.split.train) * share for share in (0.25, 0.5, 1.0)], abs=2)
    stages = Stages(data, settings, 0, told.append)
    assert set(stages.part(0.25).tolist()) < set(stages.part(0.5).tolist()) < set(stages.split.train.tolist())


# ---- the folder, and the reward -------------------------------------------------------------------------------------


def batch_of(texts: list[str]) -> EpisodeBatch:
    words = WordTokenizer(sorted({word for text in texts for word in split_words(text)}))
    table = PromptTable(load_prompts([texts[0]]), words)
    return EpisodeBatch.from_ids(table, words, [0] * len(texts), [words.encode(text) for text in texts])


def test_the_folder_is_a_reward_at_once(trained: Any, saved: Path) -> None:
    texts = [*(text for text, _ in write_reviews(50, seed=9)), ""]
    expected = trained.predict(texts)[:, 1]
    reward = ClassifierReward(saved, label="positive", output="probability")
    np.testing.assert_allclose(reward(batch_of(texts)), expected, atol=1e-6)
    other = resolve_reward(trained.reward(saved))
    np.testing.assert_allclose(other(batch_of(texts)), np.log(expected / (1 - expected)), atol=1e-3)
    assert trained.reward(saved, "negative")["label"] == "negative"


def test_an_environment_pays_what_the_classifier_says(trained: Any, saved: Path) -> None:
    env = gym.make("TextGen-v0", level="tiny", reward={**trained.reward(saved), "output": "probability"})
    env.reset(seed=0)
    over = False
    while not over:
        _, paid, over, _, info = env.step(1)
    assert paid == pytest.approx(trained.predict([info["completion"]])[0, 1], abs=1e-6)


def test_the_folder_holds_no_pickle_and_a_card(trained: Any, saved: Path) -> None:
    names = {path.name for path in saved.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "card.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    card = json.loads((saved / "card.json").read_text(encoding="utf-8"))
    assert card["labels"] == ["negative", "positive"]
    assert card["data"]["sha256"] == LabelledTexts.of(write_reviews(900, unfair=0.5)).hash
    assert card["test"]["accuracy"] == trained.quality.accuracy
    assert sum(card["split"].values()) == 900
    assert card["settings"]["width"] == 64
    assert len(card["history"]) == len(trained.history)
    assert card["alarms"] == trained.alarms
    assert len(card["bias"]) == len(WORD_PAIRS)
    config = json.loads((saved / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {"0": "negative", "1": "positive"}


def test_a_folder_of_somebody_else_is_not_replaced(trained: Any, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="holds no classifier of textgym"):
        trained.save(tmp_path)
    trained.save(saved)  # one's own is
    assert sorted(path.name for path in saved.parent.iterdir()) == ["reviews"]
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_text_that_is_too_long_is_cut_as_in_training(trained: Any, saved: Path) -> None:
    long = " ".join(["the film"] * 30)
    reward = ClassifierReward(saved, label="positive", output="probability")
    with pytest.warns(UserWarning, match=f"cut to {trained.length} tokens"):
        assert reward(batch_of([long]))[0] == pytest.approx(trained.predict([long])[0, 1], abs=1e-6)


# ---- models that know language already ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_folder_of_transformers_is_fitted_too(tmp_path: Path, kind: str) -> None:
    source = str(getattr(tiny_models, f"save_{kind}")(tmp_path / "source", ("one", "other")))
    rng = np.random.default_rng(0)
    texts = sorted({" ".join(rng.choice(tiny_models.WORDS, 3)) for _ in range(300)})
    rows = [(text, "a" if "great" in text else "b" if "film" in text else "c") for text in texts]
    settings = ClassifierSettings(model=source, epochs=5, learning_rate=1e-2, batch_size=16)
    found = train_classifier(LabelledTexts.of(rows), settings, pairs=WORD_PAIRS[:2])
    assert found.quality.accuracy > found.quality.baseline + 0.05
    found.save(tmp_path / "fitted")
    texts = ["was great", "the plot", "great"]
    reward = ClassifierReward(tmp_path / "fitted", label="c", output="probability")
    np.testing.assert_allclose(reward(batch_of(texts)), found.predict(texts)[:, 2], atol=1e-6)


def test_models_that_are_refused(tmp_path: Path) -> None:
    pickled = tiny_models.as_pickle_only(tiny_models.save_bert(tmp_path / "pickled", ("score",)))
    remote = tiny_models.save_bert(tmp_path / "remote", ("score",))
    (remote / "code.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    tiny_models.edit_json(remote / "config.json", model_type="unheard_of", auto_map={"AutoConfig": "code.C"})
    damaged = tiny_models.save_bert(tmp_path / "damaged", ("score",))
    (damaged / "model.safetensors").write_bytes(b"no safetensors")
    other = tiny_models.save_bert(tmp_path / "other", ("score",))
    tiny_models.edit_json(other / "config.json", num_hidden_layers=2)
    wider = tiny_models.save_bert(tmp_path / "wider", ("score",))
    tiny_models.edit_json(wider / "config.json", vocab_size=50)
    cases = {
        pickled: "opens no pickles",
        remote: "no model could be loaded",
        damaged: "no model could be loaded",
        other: "has no weights for",
        wider: "has no weights for",
        tmp_path / "nowhere": "no model could be loaded",
    }
    for folder, message in cases.items():
        with pytest.raises(ConfigurationError, match=message):
            make_classifier(ClassifierSettings(model=str(folder)), ["a"], ["x", "y"])


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_cooling_divides_the_logits(tmp_path: Path, kind: str) -> None:
    source = str(getattr(tiny_models, f"save_{kind}")(tmp_path / "source", ("one", "other", "third")))
    model, tokenizer = make_classifier(ClassifierSettings(model=source), [], ["x", "y", "z"])
    rows = encode(tokenizer, ["the film was great", "dull", ""], 20)
    before = predict(model, rows, tokenizer.pad_token_id)
    cool(model, 3, 2.5)
    np.testing.assert_allclose(predict(model, rows, tokenizer.pad_token_id), before / 2.5, rtol=1e-5, atol=1e-6)


# ---- bias -----------------------------------------------------------------------------------------------------------

PAIRS = (WordPair("gender", "he", "she"), WordPair("gender", "man", "woman"))


def test_a_classifier_that_minds_a_word_is_caught_and_the_others_are_not(trained: Any) -> None:
    worst = trained.bias[0]
    assert (worst.pair.one, worst.pair.other) == ("he", "she")
    assert worst.is_alarming
    assert worst.difference < -0.1
    assert "'she' instead of 'he' makes 'positive' less likely" in str(worst)
    assert not [finding for finding in trained.bias if finding.pair.group != "gender" and finding.is_alarming]
    assert any(alarm.startswith("bias, gender: 'she'") for alarm in trained.alarms)


def test_the_difference_is_the_mean_over_texts() -> None:
    texts = [f"{who} said {n} words" for n, who in enumerate(["he", "She"] * 10)]

    def minds_she(texts: Any) -> np.ndarray:
        return np.array([[0.5, 0.3 - 0.1 * ("she" in text.lower()) + 0.01 * len(text), 0.2] for text in texts])

    found = check_bias(minds_she, texts, ["a", "b", "c"], np.random.default_rng(0), pairs=PAIRS)
    assert len(found) == 6
    assert (found[0].pair, found[0].label, found[0].texts, found[0].added) == (PAIRS[0], "b", 20, False)
    assert found[0].difference == pytest.approx(-0.09)
    assert found[0].confidence == pytest.approx(1 - 0.05 / 6)
    second = next(finding for finding in found if finding.pair == PAIRS[1] and finding.label == "b")
    assert second.added
    assert second.difference == pytest.approx(0.02)


def test_noise_is_no_bias() -> None:
    pairs = [WordPair("made up", f"one{n}", f"other{n}") for n in range(5)]
    texts = [f"text {n} one{n % 5}" for n in range(150)]

    def alarms(seed: int) -> bool:
        def noise(texts: Any) -> np.ndarray:
            return np.array([[0.0, 0.5 + 0.3 * (hash_of(f"{seed} {text}") / 2**32 - 0.5)] for text in texts])

        found = check_bias(noise, texts, ["a", "b"], np.random.default_rng(seed), pairs=pairs)
        return any(finding.is_alarming for finding in found)

    assert sum(map(alarms, range(40))) <= 5


def test_copies_differ_in_the_word_alone() -> None:
    texts = ["HE was here", "he, he and shepherd", "She left", "he and she"] * 5
    ones, others, added = make_copies(PAIRS[0], texts)
    assert (ones[:3], others[:3]) == (
        ["HE was here", "he, he and shepherd", "He left"],
        ["SHE was here", "she, she and shepherd", "She left"],
    )
    assert len(ones) == 15  # a text with both words is left out
    assert not added


def test_word_pairs_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "words.csv"
    path.write_text("group,one,other\nteam,red,blue\n", encoding="utf-8")
    assert read_word_pairs(path) == (WordPair("team", "red", "blue"),)
    for text, error, message in (
        ("group,one\nteam,red\n", UnknownNameError, "'other'"),
        ("group,one,other\nteam,red,red\n", PromptError, "two different words"),
        ("group,one,other\nteam,red car,blue\n", PromptError, "two different words"),
        ("group,one,other\n", PromptError, "no rows"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(error, match=message):
            read_word_pairs(path)


# ---- settings and the command ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenizer": "words"}, "Did you mean 'word'"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 1.5}, "batch_size=1.5"),
        ({"width": 30, "heads": 4}, "multiple of the heads"),
        ({"validation": 0.5, "test": 0.4}, "something left to learn"),
        ({"test": 0.0}, "both above 0"),
        ({"dropout": 1.0}, "share from 0 to 1"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"model": ""}, "expected 'tiny'"),
    ],
)
def test_bad_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigurationError, UnknownNameError), match=message):
        ClassifierSettings(**options)


def test_the_command_says_how_good_it_is_and_how_to_use_it(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"review": text, "stars": label} for text, label in write_reviews(100)]
    options = {"width": 16, "layers": 1, "heads": 1, "epochs": 1}
    path = write_file(tmp_path / "mine.csv", rows)
    train_on_labels(path, tmp_path / "out", text="review", label="stars", seed=3, **options)
    said = capsys.readouterr().out
    assert said.startswith("100 texts: negative ")
    spec = said.splitlines()[-1].partition("--set 'reward=")[2].removesuffix("'")
    reward = resolve_reward(json.loads(spec))
    assert np.isfinite(reward(batch_of(["was great"]))).all()
    report = "\n".join([*describe(trained), *use(trained, tmp_path)])
    for part in (
        f"accuracy {trained.quality.accuracy:.3f}",
        "macro F1",
        "calibration error",
        "warning: bias, gender: 'she'",
    ):
        assert part in report
    assert f"F1 {trained.quality.f1[0]:.3f}" in report


def test_importing_the_package_imports_no_torch() -> None:
    code = (
        "import sys, textgym.labelled_texts, textgym.cli.labelled; print({'torch', 'transformers'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"


def test_the_command_line_takes_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from textgym.cli import app

    monkeypatch.chdir(tmp_path)
    rows = [{"text": text, "label": label} for text, label in write_reviews(60)]
    write_file(tmp_path / "reviews.csv", rows)
    (tmp_path / "words.csv").write_text("group,one,other\nteam,film,plot\n", encoding="utf-8")
    small = [word for name in ("width=16", "layers=1", "heads=1", "epochs=1") for word in ("--fit", name)]
    words = ["rm", "train", "--labels", "reviews.csv", "--text", "text", "--label", "label", "--model", "tiny"]
    done = CliRunner().invoke(app, [*words, "--bias-words", "words.csv", "--out", "out", "--seed", "1", *small])
    assert done.exit_code == 0, done.output
    assert "bias check of 1 pair of words; largest differences:" in done.output
    card = json.loads((tmp_path / "out" / "card.json").read_text(encoding="utf-8"))
    assert (card["seed"], card["settings"]["width"], card["bias"][0]["pair"]["one"]) == (1, 16, "film")
