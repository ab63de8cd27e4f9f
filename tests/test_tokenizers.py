"""Tokenizers: round trips in every script, and what an action space needs to know."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from textgym.errors import ConfigurationError, TokenizerError, UnknownNameError
from textgym.tokenizers import (
    ByteTokenizer,
    CharTokenizer,
    HuggingFaceTokenizer,
    Tokenizer,
    WordTokenizer,
    build_tokenizer,
    fingerprint,
    join_words,
    split_words,
)

# Accents, CJK, right-to-left, NUL, combining marks, an emoji of several code points, line ends.
SCRIPTS = (
    "naïve café",
    "好看的电影。",
    "とても良い",
    "שלום עולם",
    "مرحبا",
    "a\0b",
    "e\u0301o\u0308",
    "👩‍👩‍👧 ok 🏳️‍🌈",
    "a\r\n\tb ",
    "",
)


def assert_is_an_action_space(tokenizer: Tokenizer) -> None:
    assert isinstance(tokenizer, Tokenizer)
    ids = set(range(tokenizer.vocab_size))
    assert len(tokenizer.tokens) == tokenizer.vocab_size
    assert tokenizer.eos_ids
    assert set(tokenizer.eos_ids) <= ids
    assert tokenizer.special_ids < ids
    assert not tokenizer.special_ids & set(tokenizer.eos_ids)
    assert tokenizer.unk_id is None or tokenizer.unk_id in tokenizer.special_ids
    assert tokenizer.decode([*tokenizer.eos_ids, *tokenizer.special_ids]) == ""


# Characters


@given(st.text())
@example("".join(SCRIPTS))
def test_characters_round_trip(text: str) -> None:
    tokenizer = CharTokenizer(sorted({*text, "a"}))
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode(tokenizer.decode(ids)) == ids
    assert_is_an_action_space(tokenizer)


def test_characters_outside_the_alphabet_are_unknown() -> None:
    tokenizer = CharTokenizer("ab")
    assert tokenizer.tokens == ("a", "b", "<eos>", "<unk>")
    assert (tokenizer.eos_ids, tokenizer.unk_id, tokenizer.special_ids) == ((2,), 3, {3})
    assert tokenizer.encode("axb") == [0, 3, 1]
    assert tokenizer.decode([0, 3, 1, 2, 4, -1]) == "ab"
    assert repr(tokenizer) == "CharTokenizer(4 ids)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CharTokenizer("aa"), "the character 'a' stands twice"),
        (lambda: CharTokenizer(""), "empty vocabulary"),
        (lambda: CharTokenizer(["ab"]), "'ab' is not one character; use WordTokenizer"),
        (lambda: WordTokenizer(["a", "b", "a"]), "the word 'a' stands twice"),
        (lambda: WordTokenizer(["a", "<eos>"]), "'<eos>' stands twice"),
        (lambda: WordTokenizer([]), "empty vocabulary"),
        (lambda: WordTokenizer(["a", "New York"]), r"'New York' is not one word.*gives \['New', 'York'\]"),
        (lambda: WordTokenizer(["a", ""]), r"'' is not one word.*gives \[\]"),
        (lambda: WordTokenizer("hello world"), r"expected a list of words, such as split_words\('hello world'\)"),
    ],
)
def test_bad_vocabularies(make: Any, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        make()


# Words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It isn't bad, 好看!", ["It", "isn't", "bad", ",", "好", "看", "!"]),
        ("  two  spaces\n", ["two", "spaces"]),
        ("well-known 'quote'", ["well-known", "'", "quote", "'"]),
        ("日本語のテスト。", list("日本語のテスト。")),
        ("שלום עולם", ["שלום", "עולם"]),
        ("a\0b", ["a", "\0", "b"]),
        ("👍 3.5", ["👍", "3", ".", "5"]),
        ("", []),
    ],
)
def test_split_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["It", "is", "好", "看", "!"], "It is好看!"),
        (["was", "great", ",", "really", "."], "was great, really."),
        (["(", "so", ")", "so"], "(so) so"),
        ([], ""),
    ],
)
def test_join_words(words: list[str], text: str) -> None:
    assert join_words(words) == text


@given(st.lists(st.sampled_from(sorted({word for text in SCRIPTS for word in split_words(text)} | {".", "(", "it's"}))))
def test_words_in_plain_scripts_round_trip(words: list[str]) -> None:
    tokenizer = WordTokenizer(sorted({*words, "a"}))
    ids = tokenizer.encode(" ".join(words))
    assert [tokenizer.tokens[index] for index in ids] == words
    assert tokenizer.encode(tokenizer.decode(ids)) == ids
    assert_is_an_action_space(tokenizer)


@given(st.text())
@example("".join(SCRIPTS))
def test_every_text_splits_into_words_of_its_own_vocabulary(text: str) -> None:
    tokenizer = build_tokenizer("word", [text, "a"])
    assert tokenizer.unk_id not in tokenizer.encode(text)
    assert "".join(split_words(text)) == "".join(text.split())


def test_unknown_words() -> None:
    tokenizer = WordTokenizer(["was", "great"])
    assert tokenizer.encode("was REALLY great") == [0, 3, 1]
    assert tokenizer.decode([0, 3, 1, 2]) == "was great"


# Bytes


@given(st.text())
@example("".join(SCRIPTS))
def test_bytes_round_trip(text: str) -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.decode([*tokenizer.encode(text), 256]) == text


@given(st.lists(st.integers(-3, 260)))
def test_any_bytes_decode(ids: list[int]) -> None:
    assert isinstance(ByteTokenizer().decode(ids), str)


def test_bytes() -> None:
    tokenizer = ByteTokenizer()
    assert_is_an_action_space(tokenizer)
    assert (tokenizer.tokens[65], tokenizer.tokens[195], tokenizer.tokens[256]) == ("A", "<0xC3>", "<eos>")
    assert tokenizer.decode([195]) == "\N{REPLACEMENT CHARACTER}"
    assert tokenizer.unk_id is None
    assert repr(tokenizer) == "ByteTokenizer()"


# Fingerprints and names


def test_fingerprints_tell_vocabularies_apart() -> None:
    tokenizers = [
        CharTokenizer("ab"),
        CharTokenizer("ba"),
        WordTokenizer(["a", "b"]),
        WordTokenizer(["ab"]),
        ByteTokenizer(),
    ]
    assert len({fingerprint(tokenizer) for tokenizer in tokenizers}) == len(tokenizers)
    assert fingerprint(CharTokenizer("ab")) == fingerprint(pickle.loads(pickle.dumps(CharTokenizer("ab"))))


def test_a_named_vocabulary_is_ordered_by_frequency_then_code_point() -> None:
    assert build_tokenizer("char", ["bab", "c"]).tokens[:3] == ("b", "a", "c")
    assert build_tokenizer("word", ["x b", "a b"]).tokens[:3] == ("b", "a", "x")
    assert isinstance(build_tokenizer({"name": "byte"}, []), ByteTokenizer)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("wrod", UnknownNameError, "Did you mean 'word'"),
        ("some-org/some-model", UnknownNameError, "no such folder.*{'path_or_name': 'some-org/some-model'}"),
        ("", UnknownNameError, "unknown tokenizer"),
        ({"nam": "word"}, UnknownNameError, "unknown tokenizer"),
        ({"name": "word", "lower": True}, ConfigurationError, "takes no further options, not \\['lower'\\]"),
        ("huggingface", ConfigurationError, "takes path_or_name"),
        ("char", TokenizerError, "empty vocabulary"),
    ],
)
def test_bad_names(name: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_tokenizer(name, [])


# Hugging Face


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with tokenizers of several kinds."""
    pytest.importorskip("transformers")
    import tiny_models
    from tokenizers import AddedToken

    folder = tmp_path_factory.mktemp("tokenizers")
    tiny_models.save_byte_tokenizer(folder / "bytes")
    tiny_models.save_byte_tokenizer(folder / "eos_is_pad", pad_token="<|end|>")
    tiny_models.save_byte_tokenizer(folder / "no_end", eos_token=None)
    tiny_models.save_word_tokenizer(folder / "words", eos_token="[SEP]")
    chat = tiny_models.save_byte_tokenizer(folder / "chat", pad_token="<|pad|>", extra_special_tokens=["<|user|>"])
    chat.add_tokens([AddedToken("<|header|>", special=True), AddedToken("<turn>", special=True), "nice"])
    chat.save_pretrained(folder / "chat")
    ends = [chat.convert_tokens_to_ids("<turn>"), chat.eos_token_id, 100_000]
    tiny_models.edit_json(folder / "chat" / "generation_config.json", eos_token_id=ends)
    return folder


@given(text=st.text())
@example(text="".join(SCRIPTS))
@example(text="hello wwell ")
def test_byte_level_pieces_round_trip(saved: Path, text: str) -> None:
    tokenizer = load(saved / "bytes")
    assert tokenizer.decode(tokenizer.encode(text)) == text


_LOADED: dict[Path, HuggingFaceTokenizer] = {}


def load(folder: Path) -> HuggingFaceTokenizer:
    if folder not in _LOADED:
        _LOADED[folder] = HuggingFaceTokenizer(folder)
    return _LOADED[folder]


@pytest.mark.parametrize("name", ["bytes", "eos_is_pad", "words", "chat"])
def test_hugging_face_tokenizers_are_action_spaces(saved: Path, name: str) -> None:
    assert_is_an_action_space(load(saved / name))


def test_merges_are_used_and_ids_are_the_truth(saved: Path) -> None:
    tokenizer = load(saved / "bytes")
    hell = tokenizer.encode("hell")
    assert [tokenizer.tokens[index] for index in hell] == ["hell"]
    letters = [tokenizer.encode(letter)[0] for letter in "hell"]
    assert tokenizer.decode(letters) == "hell"  # another sequence of the same text
    assert letters != hell


def test_an_end_that_is_also_the_padding_stays_an_action(saved: Path) -> None:
    tokenizer = load(saved / "eos_is_pad")
    assert tokenizer.eos_ids == (0,)
    assert 0 not in tokenizer.special_ids


def test_special_ids_are_no_actions_and_leave_no_trace(saved: Path) -> None:
    tokenizer = load(saved / "words")
    names = {tokenizer.tokens[index] for index in tokenizer.special_ids}
    assert names == {"[PAD]", "[UNK]", "[CLS]"}
    assert [tokenizer.tokens[index] for index in tokenizer.eos_ids] == ["[SEP]"]
    ids = tokenizer.encode("the film unheard")
    assert [tokenizer.tokens[index] for index in ids] == ["the", "film", "[UNK]"]
    assert ids[-1] == tokenizer.unk_id
    assert tokenizer.decode([2, *ids, 3]) == "the film"


def test_added_tokens_several_ends_and_chat_tokens(saved: Path) -> None:
    tokenizer = load(saved / "chat")
    names = {token: index for index, token in enumerate(tokenizer.tokens)}
    assert tokenizer.vocab_size == max(names.values()) + 1
    assert tokenizer.eos_ids == (names["<|end|>"], names["<turn>"])  # 100,000 is no id of this tokenizer
    assert {names["<|pad|>"], names["<|user|>"], names["<|header|>"]} <= tokenizer.special_ids
    assert names["nice"] not in tokenizer.special_ids
    assert tokenizer.encode("a nice b")[1:-1].count(names["nice"]) == 1
    assert tokenizer.decode([names["<|header|>"], names["nice"], names["<turn>"]]) == "nice"


def test_ids_that_the_vocabulary_skips_are_no_actions(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = HuggingFaceTokenizer(saved / "bytes")
    known = dict(tokenizer.backend.get_vocab())
    skipped = known.pop("hell")
    monkeypatch.setattr(tokenizer.backend, "get_vocab", lambda: known)
    assert skipped in tokenizer.special_ids
    assert tokenizer.tokens[skipped] == f"<unused {skipped}>"


def test_hugging_face_tokenizers_pickle_without_the_library_object(saved: Path) -> None:
    tokenizer = HuggingFaceTokenizer(saved / "chat")
    assert tokenizer.encode("nice")
    assert copy.deepcopy(tokenizer) is tokenizer
    again = pickle.loads(pickle.dumps(tokenizer))
    assert "_backend" not in again.__dict__
    assert again.encode("nice") == tokenizer.encode("nice")
    assert fingerprint(again) == fingerprint(tokenizer)
    assert repr(again).startswith("HuggingFaceTokenizer(")


def test_a_tokenizer_without_an_end_is_refused(saved: Path) -> None:
    with pytest.raises(TokenizerError, match="no end-of-text token.*eos_token"):
        HuggingFaceTokenizer(saved / "no_end")


def test_an_end_from_the_generation_config_will_do(saved: Path, tmp_path: Path) -> None:
    import tiny_models

    tiny_models.save_byte_tokenizer(tmp_path, eos_token=None)
    tiny_models.edit_json(tmp_path / "generation_config.json", eos_token_id=3)
    assert HuggingFaceTokenizer(tmp_path).eos_ids == (3,)


def test_folders_without_a_tokenizer_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"expected a local folder with tokenizer\.json"):
        HuggingFaceTokenizer(tmp_path)
    # From a model's config alone, transformers makes a tokenizer that knows nothing.
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    with pytest.raises(TokenizerError, match="no tokens but special ones"):
        HuggingFaceTokenizer(tmp_path)


def test_a_text_that_the_library_cannot_encode_is_a_tokenizer_error(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved / "words", tmp_path / "mute")
    file = tmp_path / "mute" / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["model"]["unk_token"] = "[NOWHERE]"
    file.write_text(json.dumps(content), encoding="utf-8")
    tokenizer = HuggingFaceTokenizer(tmp_path / "mute")
    assert tokenizer.decode(tokenizer.encode("the film")) == "the film"
    with pytest.raises(TokenizerError, match="cannot encode 'the unheard'.*no unknown token"):
        tokenizer.encode("the unheard")


def test_a_damaged_file_is_a_tokenizer_error(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved / "words", tmp_path / "damaged")
    (tmp_path / "damaged" / "tokenizer.json").write_text('{"model": {}}', encoding="utf-8")
    with pytest.raises(TokenizerError, match="no tokenizer could be loaded"):
        HuggingFaceTokenizer(tmp_path / "damaged")


def test_a_file_gets_the_advice_to_pass_its_folder(saved: Path) -> None:
    for name in (str(saved / "bytes" / "tokenizer.json"), {"path_or_name": saved / "bytes" / "tokenizer.json"}):
        with pytest.raises(TokenizerError, match="is a file; pass the folder: .*bytes'"):
            build_tokenizer(name, [])


def test_a_folder_is_a_tokenizers_name(saved: Path) -> None:
    folder = str(saved / "bytes")
    for name in (folder, {"name": folder}, {"path_or_name": folder}, {"name": "huggingface", "path_or_name": folder}):
        assert fingerprint(build_tokenizer(name, [])) == fingerprint(load(saved / "bytes"))
