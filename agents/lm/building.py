"""Building the policy of a task: a small model from scratch, or any causal language model of ``transformers``."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch

from textgym.agents.lm.model import LegalTokens, LMPolicy
from textgym.agents.lm.support import check_support
from textgym.errors import ConfigurationError, TokenizerError, missing_dependency
from textgym.huggingface import HuggingFaceTokenizer
from textgym.huggingface_models import begin_of, find_device, load_causal_lm
from textgym.keys import spawn_seed
from textgym.task import Task

ARCHITECTURES = ("gpt2", "llama")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which model, and where it runs."""

    model: str | None = None  # a folder or hub name with safetensors; None makes a small model from scratch
    architecture: str = "gpt2"  # shape of a model from scratch: "gpt2" or "llama"
    layers: int = 2  # of a model from scratch
    width: int = 64  # of a model from scratch, a multiple of heads
    heads: int = 4  # of a model from scratch
    device: str = "auto"  # "auto" (cuda where there is one, else cpu) or a torch device
    dtype: str = "float32"  # of the weights: "float32" or "bfloat16"
    autocast: bool = False  # compute in bfloat16 where torch thinks it safe, with weights as they are
    lora_rank: int = 0  # above 0, only low-rank adapters of this rank are trained (peft)
    gradient_checkpointing: bool = False  # less memory, a third more time
    temperature: float = 1.0  # divides the logits wherever a distribution is meant

    def __post_init__(self) -> None:
        if self.model is None and self.architecture not in ARCHITECTURES:
            raise ConfigurationError(f"architecture={self.architecture!r}: expected one of {', '.join(ARCHITECTURES)}")
        if min(self.layers, self.width, self.heads) < 1 or self.width % self.heads:
            raise ConfigurationError(
                f"layers={self.layers}, width={self.width}, heads={self.heads}: expected whole numbers of at least 1, "
                "the width a multiple of the heads"
            )
        if self.dtype not in DTYPES:
            raise ConfigurationError(f"dtype={self.dtype!r}: expected one of {', '.join(DTYPES)}")
        if not self.temperature > 0:
            raise ConfigurationError(f"temperature={self.temperature!r}: expected a number above 0")


def build_policy(config: ModelConfig, task: Task, *, seed: int, value_head: bool = False) -> LMPolicy:
    """A policy for a task, with random or pretrained weights.

    Raises:
        ConfigurationError: for a model that cannot be loaded, is too small, or has another vocabulary.
    """
    width = 1 + task.prompts.width + task.budget
    device = find_device(config.device)
    begin_id: int | None = task.tokenizer.vocab_size
    if config.model is None:
        lm = _from_scratch(config, task, width, seed)
        # Set afterwards: a model that is built with it never learns what this id, the begin token, stands for.
        lm.config.pad_token_id = lm.generation_config.pad_token_id = begin_id
    else:
        lm = _load(config, task, width)
        begin_id = None if _brings_begin(task) else begin_of(lm.config.get_text_config(), config.model)
    lm = lm.to(device=device, dtype=DTYPES[config.dtype]).eval()
    check_support(lm)
    if config.gradient_checkpointing:
        enable = getattr(lm, "activation_checkpointing_enable", lm.gradient_checkpointing_enable)  # the newer name
        enable({"use_reentrant": False})
    if config.lora_rank and config.model is not None:  # random weights learn as a whole what language is
        lm = add_adapters(lm, config.lora_rank, seed)
    return LMPolicy(lm, LegalTokens.of(task), begin_id=begin_id, value_head=value_head, temperature=config.temperature)


def _from_scratch(config: ModelConfig, task: Task, width: int, seed: int) -> Any:
    """Random weights, without touching torch's global generator; one id more than the tokens begins every text."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    v = task.tokenizer.vocab_size
    ends: Any = list(task.tokenizer.eos_ids)
    ids: dict[str, Any] = {"vocab_size": v + 1, "bos_token_id": v, "eos_token_id": ends}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spawn_seed(seed, "weights"))
        if config.architecture == "gpt2":
            gpt2 = GPT2Config(
                **ids,
                n_positions=width,
                n_embd=config.width,
                n_layer=config.layers,
                n_head=config.heads,
                resid_pdrop=0.0,  # what is sampled from must be what is learned from
                embd_pdrop=0.0,
                attn_pdrop=0.0,
            )
            return GPT2LMHeadModel(gpt2)
        llama = LlamaConfig(
            **ids,
            max_position_embeddings=width,
            hidden_size=config.width,
            intermediate_size=4 * config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            tie_word_embeddings=True,
        )
        return LlamaForCausalLM(llama)


def _load(config: ModelConfig, task: Task, width: int) -> Any:
    assert config.model is not None
    lm = load_causal_lm(config.model)
    check_vocabulary(lm, config.model, task)
    limit = getattr(lm.config.get_text_config(), "max_position_embeddings", None)
    if limit is not None and limit < width:
        raise ConfigurationError(
            f"{config.model!r} reads at most {limit} tokens, but a prompt of {task.prompts.width} and a text of "
            f"{task.budget} (and a begin token) need {width}; lower max_new_tokens or max_prompt_tokens"
        )
    return lm


def check_vocabulary(lm: Any, name: str, task: Task) -> None:
    """Refuses a model whose ids are not the environment's, saying what differs.

    Raises:
        ConfigurationError: for another vocabulary, or ends of texts that the environment does not know.
    """
    rows, v = lm.get_output_embeddings().weight.shape[0], task.tokenizer.vocab_size
    if rows < v:
        raise ConfigurationError(
            f"{name!r} scores {rows} ids, but the environment's tokenizer has {v}; pass tokenizer={name!r} to the "
            "environment"
        )
    try:
        own = HuggingFaceTokenizer(name)
    except TokenizerError:
        return  # a folder of weights alone: only the sizes can be compared
    if own.tokens == tuple(task.tokenizer.tokens):
        _compare_ends(own, name, task)
        return
    pairs = zip(own.tokens, task.tokenizer.tokens, strict=False)
    index = next((i for i, (mine, theirs) in enumerate(pairs) if mine != theirs), min(v, own.vocab_size))
    mine, theirs = (
        tokens[index] if index < len(tokens) else "nothing" for tokens in (own.tokens, task.tokenizer.tokens)
    )
    raise ConfigurationError(
        f"a token id of the environment must be a token id of the model: id {index} is {theirs!r} in the environment "
        f"and {mine!r} in {name!r}; pass tokenizer={name!r} to the environment (--set tokenizer={name})"
    )


def _compare_ends(own: HuggingFaceTokenizer, name: str, task: Task) -> None:
    """A text that the model believes to be over would go on, and what it writes then is noise."""
    missing = [index for index in own.eos_ids if index not in task.tokenizer.eos_ids]
    if missing:
        raise ConfigurationError(
            f"{name!r} ends its texts with {[own.tokens[index] for index in missing]} too (ids {missing}), but the "
            f"environment's tokenizer does not; pass tokenizer={name!r} to the environment (--set tokenizer={name})"
        )


def _brings_begin(task: Task) -> bool:
    """Whether prompts go through a chat template, which says itself what stands first."""
    return getattr(task.tokenizer, "chat_template", None) is not None


def add_adapters(lm: Any, rank: int, seed: int) -> Any:
    """The model with low-rank adapters (Hu et al. 2021, https://arxiv.org/abs/2106.09685), which alone are trained."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise missing_dependency("peft", "lm", "lora_rank") from error
    options = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)  # peft reads the old name
        warnings.filterwarnings("ignore", "fan_in_fan_out", UserWarning)  # peft sets it right for GPT-2 by itself
        torch.manual_seed(spawn_seed(seed, "adapters"))
        return get_peft_model(lm, options)
