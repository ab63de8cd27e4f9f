"""Chat templates: prompts are framed as a chat model was trained on, and nothing else is."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import tiny_models

from textgym.episodes import Prompt
from textgym.errors import ConfigurationError, TokenizerError
from textgym.prompts import PromptTable
from textgym.tokenizers import HuggingFaceTokenizer, build_tokenizer, fingerprint

FRAMES = {
    "qwen2": "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n",
    "llama": "<|begin|>{system}<|start|>user<|stop|>\n\n{text}<|eot|><|start|>assistant<|stop|>\n\n",
}
SYSTEMS = {"qwen2": "{}", "llama": "<|start|>system<|stop|>\n\n{}<|eot|>"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    for shape in FRAMES:
        tiny_models.save_chat_model(folder / shape, shape)
    tiny_models.save_chat_model(folder / "plain", "qwen2", template=False)
    return folder


def spelled(tokenizer: Any, ids: list[int]) -> str:
    text: str = tokenizer.backend.decode(ids)
    return text


@pytest.mark.parametrize("shape", FRAMES)
def test_prompts_are_framed_and_completions_are_not(saved: Path, shape: str) -> None:
    plain = HuggingFaceTokenizer(saved / shape)
    chat = HuggingFaceTokenizer(saved / shape, chat_template=True)
    curt = HuggingFaceTokenizer(saved / shape, chat_template=True, system="Be curt.")
    assert plain.encode_prompt("hello you") == plain.encode("hello you") == chat.encode("hello you")
    default = "Be kind." if shape == "qwen2" else ""
    assert spelled(chat, chat.encode_prompt("hello you")) == FRAMES[shape].format(system=default, text="hello you")
    expected = FRAMES[shape].format(system=SYSTEMS[shape].format("Be curt."), text="hello you")
    assert spelled(curt, curt.encode_prompt("hello you")) == expected
    begin = {"qwen2": "<|im_start|>", "llama": "<|begin|>"}[shape]
    assert [curt.tokens[index] for index in curt.encode_prompt("")].count(begin) == (3 if shape == "qwen2" else 1)
    assert fingerprint(chat) == fingerprint(plain)  # the vocabulary is the same


@pytest.mark.parametrize("shape", FRAMES)
def test_ids_are_those_of_transformers(saved: Path, shape: str) -> None:
    tokenizer = HuggingFaceTokenizer(saved / shape, chat_template=True, system="s")
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "hello well"}]
    theirs = tokenizer.backend.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    assert tokenizer.encode_prompt("hello well") == list(theirs["input_ids"])


def test_both_ends_of_a_chat_model_end_a_text(saved: Path) -> None:
    for shape, own in (("qwen2", "<|im_end|>"), ("llama", "<|eot|>")):
        tokenizer = HuggingFaceTokenizer(saved / shape)
        assert [tokenizer.tokens[index] for index in tokenizer.eos_ids] == [own, "<|end|>"]
        assert not tokenizer.special_ids.intersection(tokenizer.eos_ids)


def test_a_template_in_a_file_and_a_date_that_stays(saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.jinja"
    file.write_text("{{ strftime_now('%d %b %Y') }}: {{ messages[0]['content'] }}", encoding="utf-8")
    tokenizer = HuggingFaceTokenizer(saved / "plain", chat_template=str(file))
    assert spelled(tokenizer, tokenizer.encode_prompt("hi")) == "26 Jul 2024: hi"
    again = pickle.loads(pickle.dumps(tokenizer))
    file.unlink()
    assert again.encode_prompt("hi") == tokenizer.encode_prompt("hi")
    assert "chat_template" in repr(again)


def test_an_environment_from_json_sees_framed_prompts_and_rewards_the_text(saved: Path) -> None:
    options = {"path_or_name": str(saved / "qwen2"), "chat_template": True, "system": "Be brief."}
    kwargs = json.loads(json.dumps({"prompts": ["hello", "you there"], "tokenizer": options, "reward": "diversity"}))
    env = gym.make("TextGen-v0", **kwargs, max_new_tokens=3)
    tokens, info = env.reset(seed=0, options={"prompt_index": 1})
    task: Any = env.unwrapped.task  # type: ignore[attr-defined]
    shown = spelled(task.tokenizer, [int(token) for token in tokens if token < task.tokenizer.vocab_size])
    assert shown == FRAMES["qwen2"].format(system="Be brief.", text="you there")
    assert "prompt" not in info
    *_, info = env.step(task.tokenizer.eos_ids[1])
    assert info["prompt"] == "you there"  # as it was written
    assert info["stop_reason"] == "eos"
    assert info["completion"] == ""
    env.close()


def test_streamed_prompts_are_framed_too(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    from textgym.prompts import load_prompts

    monkeypatch.setenv("TEXTGYM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "p.jsonl").write_text('{"prompt": "hello"}\n{"prompt": "well"}\n', encoding="utf-8")
    streamed = load_prompts({"path": str(tmp_path / "p.jsonl"), "stream": True})
    for options in ({}, {"chat_template": True}, {"chat_template": True, "system": "s"}):
        tokenizer = HuggingFaceTokenizer(saved / "qwen2", **options)  # type: ignore[arg-type]
        table = PromptTable([Prompt("hello"), Prompt("well")], tokenizer)
        assert np.array_equal(PromptTable(streamed, tokenizer).ids, table.ids)


def test_what_cannot_be_framed_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="has no chat template; pass chat_template= the path"):
        HuggingFaceTokenizer(saved / "plain", chat_template=True)
    with pytest.raises(TokenizerError, match="system='hi' needs a chat template"):
        HuggingFaceTokenizer(saved / "qwen2", system="hi")
    with pytest.raises(TokenizerError, match="expected True, False or the path of a file"):
        HuggingFaceTokenizer(saved / "qwen2", chat_template=tmp_path / "nowhere")
    file = tmp_path / "strict.jinja"
    file.write_text("{{ raise_exception('System role not supported') }}", encoding="utf-8")
    strict = HuggingFaceTokenizer(saved / "qwen2", chat_template=file)
    with pytest.raises(TokenizerError, match="refuses the prompt 'hi'.*System role not supported"):
        strict.encode_prompt("hi")
    with pytest.raises(ConfigurationError, match="takes path_or_name, revision, chat_template, system, not .*'chat'"):
        build_tokenizer({"path_or_name": str(saved / "qwen2"), "chat": True}, [])
