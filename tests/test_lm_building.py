"""Building a policy: what fits an environment, and what is refused, in words that help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import tiny_models
import torch
from lm_oracles import direct, env_masks, last_logits
from transformers import AutoTokenizer

from textgym.agents.lm.building import ModelConfig, build_policy
from textgym.agents.lm.reader import Reader
from textgym.agents.lm.rollout import collect
from textgym.errors import ConfigurationError
from textgym.task import Task

SHAPES = ("qwen2", "llama")
PROMPTS = ["hello", "you there", "he"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for shape in SHAPES:
        tiny_models.save_chat_model(folder / shape, shape)
    return folder


def kwargs_of(folder: Path, **options: Any) -> dict[str, Any]:
    tokenizer = {"path_or_name": str(folder), **options}
    return {"prompts": PROMPTS, "tokenizer": tokenizer, "reward": "diversity", "max_new_tokens": 6}


def task_of(**kwargs: Any) -> Task:
    env: Any = gym.make("TextGen-v0", **kwargs).unwrapped
    task: Task = env.task
    return task


def policy_of(folder: Path, task: Task, **options: Any) -> Any:
    return build_policy(ModelConfig(model=str(folder), device="cpu", **options), task, seed=0)


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_chat_models_write_in_an_environment(saved: Path, shape: str, chat: bool) -> None:
    kwargs = kwargs_of(saved / shape, chat_template=chat)
    envs: Any = gym.make_vec("TextGen-v0", num_envs=2, autoreset_mode="Disabled", observation="tokens", **kwargs)
    task = envs.unwrapped.task
    policy = policy_of(saved / shape, task, temperature=0.9)
    # A template says itself what stands first; without one it is the begin token, or an end where there is none.
    tokenizer = task.tokenizer
    first = {"qwen2": "<|im_end|>", "llama": "<|begin|>"}[shape]
    assert policy.begin_id == (None if chat else tokenizer.tokens.index(first))
    assert policy.lm.get_output_embeddings().weight.shape[0] > policy.vocab_size == tokenizer.vocab_size
    envs.reset(seed=0)
    indices = np.array([0, 1, 2, 0])
    rollout = collect(policy, envs, indices, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scored = policy.score(rollout.tokens, rollout.wrote).log_probs
    env, width = gym.make("TextGen-v0", observation="tokens", **kwargs), task.prompts.width
    special = list(tokenizer.special_ids)
    for row, index in enumerate(indices.tolist()):
        written = rollout.tokens[row, width:]
        completion = written[written != policy.vocab_size].tolist()
        masks = env_masks(env, index, completion, [True] * len(completion))
        for place, log_probs in direct(policy, rollout.tokens[row], width, masks).items():
            expected = float(log_probs[written[place]])
            assert rollout.log_probs[row, place] == pytest.approx(expected, abs=1e-5)
            assert float(scored[row, place]) == pytest.approx(expected, abs=1e-5)
            assert (log_probs[special] == -torch.inf).all()
    envs.close()


def test_every_end_of_the_model_ends_a_text(saved: Path) -> None:
    env: Any = gym.make("TextGen-v0", **kwargs_of(saved / "llama"))
    policy = policy_of(saved / "llama", env.unwrapped.task)
    ends = policy.lm.generation_config.eos_token_id
    assert len(ends) == 2
    for end in ends:
        env.reset(seed=0)
        assert policy.legal.fixed[end]
        *_, info = env.step(end)
        assert info["stop_reason"] == "eos"


def test_an_end_that_the_environment_does_not_know_is_named(saved: Path, tmp_path: Path) -> None:
    lone = tmp_path / "tokenizer"
    tiny_models.save_byte_tokenizer(lone, **tiny_models.CHAT_SPECIALS["llama"])  # no generation_config.json here
    with pytest.raises(ConfigurationError, match=r"ends its texts with \['<\|end\|>'\] too.*pass tokenizer="):
        policy_of(saved / "llama", task_of(**kwargs_of(lone)))


def test_padding_that_is_an_end_or_missing_changes_nothing(saved: Path) -> None:
    for shape, pad in (("qwen2", "<|end|>"), ("llama", None)):
        task = task_of(**kwargs_of(saved / shape))
        tokenizer: Any = task.tokenizer
        assert tokenizer.backend.pad_token == pad
        policy = policy_of(saved / shape, task)
        rows = np.asarray(task.prompts.ids)
        with torch.inference_mode():
            logits = Reader(policy, rows.shape).read(rows)
        for row, text in enumerate(PROMPTS):
            expected = last_logits(policy.lm, [policy.begin_id, *tokenizer.encode(text)])
            torch.testing.assert_close(logits[row], expected, rtol=0.0, atol=1e-5)


def test_the_first_id_that_differs_is_named(saved: Path) -> None:
    task = task_of(prompts=PROMPTS, tokenizer="word", reward="diversity", max_new_tokens=3)
    with pytest.raises(ConfigurationError, match=r"id 0 is 'he' in the environment and '<\|end\|>' in .*tokenizer="):
        policy_of(saved / "qwen2", task)


def test_a_longer_vocabulary_names_where_the_model_has_nothing(saved: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved / "qwen2")
    tokenizer.add_tokens(["nice"])
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="is 'nice' in the environment and 'nothing' in"):
        policy_of(saved / "qwen2", task_of(**kwargs_of(tmp_path)))
    narrow = tiny_models.save_chat_model(tmp_path / "narrow", "qwen2", spare=-4)
    with pytest.raises(ConfigurationError, match=r"scores \d+ ids, but the environment's tokenizer has \d+"):
        policy_of(narrow, task_of(**kwargs_of(saved / "qwen2")))


def test_texts_longer_than_the_models_window_are_refused(tmp_path: Path) -> None:
    short = tiny_models.save_chat_model(tmp_path, "llama", max_position_embeddings=9)
    with pytest.raises(ConfigurationError, match="reads at most 9 tokens.*lower max_new_tokens or max_prompt_tokens"):
        policy_of(short, task_of(**kwargs_of(short)))


def test_pickled_weights_are_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = tiny_models.as_pickle_only(tiny_models.save_chat_model(tmp_path, "qwen2"))
    with pytest.raises(ConfigurationError, match=r"(?s)opens no pickles.*AutoModelForCausalLM.*save_pretrained"):
        policy_of(folder, task_of(**kwargs_of(folder)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_named(saved: Path) -> None:
    task = task_of(**kwargs_of(saved / "qwen2"))
    with pytest.raises(ConfigurationError, match="device='cuda' cannot be used here"):
        build_policy(ModelConfig(model=str(saved / "qwen2"), device="cuda"), task, seed=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_adapters_checkpointing_and_half_precision_together(saved: Path, shape: str) -> None:
    task = task_of(**kwargs_of(saved / shape, chat_template=True))
    policy = policy_of(saved / shape, task, lora_rank=2, gradient_checkpointing=True, dtype="bfloat16")
    tokens = np.concatenate([np.asarray(task.prompts.ids), np.full((3, 6), 7, dtype=np.int32)], axis=1)
    loss = -policy.score(tokens, np.ones((3, 6), dtype=bool)).log_probs.sum()
    loss.backward()
    found = {name for name, p in policy.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert found
    assert all("lora_" in name for name in found)
