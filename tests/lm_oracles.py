"""Random language models of several shapes, and what they say of texts, by whole passes and without a cache."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym.agents.lm.model import LMPolicy
from textgym.task import Task
from textgym.vector_env import RESTS

SHAPES = ("gpt2", "llama", "qwen2", "qwen2_mixed", "mistral")
WINDOW = 3  # shorter than the texts


def random_lm(shape: str, vocab_size: int, *, positions: int = 64, attention: str = "sdpa", **changes: Any) -> Any:
    """Two layers of width 16 whose random weights are large enough to make distributions differ."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = make_config(shape, vocab_size, positions, **changes)
        return AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()


def make_config(shape: str, vocab_size: int, positions: int = 64, **changes: Any) -> Any:
    """The config of such a model; its begin token is id 0."""
    from transformers import GPT2Config, LlamaConfig, MistralConfig, Qwen2Config

    ids = {"vocab_size": vocab_size, "bos_token_id": 0, "eos_token_id": 1, "initializer_range": 0.3, **changes}
    if shape == "gpt2":
        return GPT2Config(**ids, n_embd=16, n_layer=2, n_head=2, n_positions=positions)
    common: dict[str, Any] = {
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": positions, **ids,
    }  # fmt: skip
    if shape == "qwen2_mixed":
        window = {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}
        return Qwen2Config(**common, **window)
    if shape == "mistral":
        return MistralConfig(**common, sliding_window=WINDOW)
    return {"llama": LlamaConfig, "qwen2": Qwen2Config}[shape](**common)


@torch.no_grad()
def last_logits(lm: Any, ids: list[int]) -> Tensor:
    """``(head,)`` logits after a text, by a whole forward pass over it alone."""
    tokens = torch.tensor([ids])
    logits: Tensor = lm(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits[0, -1]
    return logits


def env_masks(env: Any, prompt_index: int, completion: list[int], wrote: list[bool]) -> dict[int, NDArray[np.bool_]]:
    """The masks of a single environment at every place where the agent wrote ``completion``."""
    env.reset(seed=0, options={"prompt_index": prompt_index})
    masks = {}
    for place, (token, mine) in enumerate(zip(completion, wrote, strict=True)):
        if mine:
            masks[place] = env.unwrapped.action_masks().copy()
            env.step(token)
    return masks


def direct(
    policy: LMPolicy, tokens: NDArray[np.int32], width: int, masks: dict[int, NDArray[np.bool_]]
) -> dict[int, Tensor]:
    """Place -> ``(V,)`` log-probabilities in double precision, for one row ``(P + T,)`` of the environment."""
    begin = [] if policy.begin_id is None else [policy.begin_id]
    prompt = [token for token in tokens[:width].tolist() if token != policy.vocab_size]
    found = {}
    for place, mask in masks.items():
        logits = last_logits(policy.lm, begin + prompt + tokens[width : width + place].tolist())
        kept = (logits.double()[: policy.vocab_size] / policy.temperature).masked_fill(
            ~torch.from_numpy(mask), -torch.inf
        )
        found[place] = kept.log_softmax(dim=-1)
    return found


def task_of(env_id: str, **kwargs: Any) -> Task:
    """The task of an environment."""
    env: Any = gym.make(env_id, **kwargs).unwrapped
    task: Task = env.task
    return task


def play_at_random(task: Task) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Rows of eight texts that random play writes in Brackets, and which of their tokens were written."""
    envs: Any = gym.make_vec("TextGen/Brackets-v0", num_envs=8, autoreset_mode="Disabled", observation="tokens")
    rng, (tokens, _) = np.random.default_rng(0), envs.reset(seed=0)
    over = np.zeros(8, dtype=bool)
    while not over.all():
        masks = envs.unwrapped.action_masks()
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
        tokens, _, ended, _, _ = envs.step(np.where(over, RESTS, actions))
        over |= ended
    envs.close()
    return tokens, tokens[:, task.prompts.width :] != task.tokenizer.vocab_size
