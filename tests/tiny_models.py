"""Tokenizers and models of a few kB in the formats of ``transformers``, built offline into a folder for tests."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WORDS = ("the", "film", "was", "great", "awful", "not", "very", "good", "bad", "and", "plot", "dull")
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '[CLS] ' + m['role'] + ' ' + m['content'] + ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[CLS] assistant ' }}{% endif %}"
)


def save_word_tokenizer(folder: Path, *, chat_template: str | None = None, **special: Any) -> Any:
    """A word-level tokenizer with ``[PAD] [UNK] [CLS] [SEP]``, which frames texts and pairs as BERT does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate(("[CLS]", "[UNK]", "[PAD]", "[SEP]", *WORDS))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **{**names, **special})
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_byte_tokenizer(folder: Path, *, merges: Sequence[str] = ("h e", "l l", "he ll", "Ġ w"), **special: Any) -> Any:
    """A byte-level BPE tokenizer as GPT-2 has it: one ``<|end|>``, no unknown token, nothing framed."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(merge.split()) for merge in merges)]
    pairs = [(left, right) for left, right in (merge.split() for merge in merges)]
    backend = Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=pairs))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **{"eos_token": "<|end|>", **special})
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_trained_bpe(folder: Path, size: int) -> Any:
    """A byte-level BPE tokenizer of ``size`` ids, trained on made-up words; ``<|end|>`` is id 0."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    syllables = ("ka", "mo", "ti", "ru", "se", "la", "vo", "ne", "shi", "pan", "dor", "gli", "ust", "ber")
    counts = (1, 2, 3) if size <= 3_000 else (1, 2, 3, 4)  # three syllables do not make more pairs than that
    words = ["".join(parts) for count in counts for parts in itertools.product(syllables, repeat=count)]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([" ".join(words)], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")
    tokenizer.save_pretrained(folder)
    return tokenizer


CHAT_TEMPLATES = {  # as the models have them, but for tools
    "qwen2": (
        "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama": (
        "{{ bos_token }}{% for m in messages %}"
        "{{ '<|start|>' + m['role'] + '<|stop|>\n\n' + m['content'] | trim + '<|eot|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start|>assistant<|stop|>\n\n' }}{% endif %}"
    ),
}
CHAT_SPECIALS = {
    "qwen2": {"eos_token": "<|im_end|>", "pad_token": "<|end|>", "extra_special_tokens": ["<|im_start|>"]},
    "llama": {"eos_token": "<|eot|>", "bos_token": "<|begin|>", "extra_special_tokens": ["<|start|>", "<|stop|>"]},
}


def save_chat_model(folder: Path, shape: str, *, template: bool = True, spare: int = 5, **settings: Any) -> Path:
    """A chat model of one layer in the shape of "qwen2" or "llama": two ids end its texts, and its head has more rows.

    Args:
        folder: Where to.
        shape: A key of :data:`CHAT_TEMPLATES`. Qwen2's padding is one of its ends, and Llama's has none.
        template: Whether its tokenizer has one.
        spare: Rows of the head beyond the tokenizer.
        **settings: Of its config.
    """
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    tokenizer = save_byte_tokenizer(folder, **CHAT_SPECIALS[shape])
    if template:
        tokenizer.chat_template = CHAT_TEMPLATES[shape]
        tokenizer.save_pretrained(folder)
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|end|>")]
    options = {
        "vocab_size": len(tokenizer) + spare, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.3,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": ends, **settings,
    }  # fmt: skip
    kinds: dict[str, Any] = {"qwen2": (Qwen2ForCausalLM, Qwen2Config), "llama": (LlamaForCausalLM, LlamaConfig)}
    model_class, config_class = kinds[shape]
    return _save(model_class, config_class(**options), folder)


def save_bert(folder: Path, labels: Sequence[str], *, chat_template: str | None = None, **settings: Any) -> Path:
    """A BERT classifier of one layer with these labels."""
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = save_word_tokenizer(folder, chat_template=chat_template)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=24, initializer_range=0.3, id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)}, pad_token_id=tokenizer.pad_token_id, **settings,
    )  # fmt: skip
    return _save(BertForSequenceClassification, config, folder)


def save_gpt2(folder: Path, labels: Sequence[str] = ("score",), **settings: Any) -> Path:
    """A GPT-2 reward head of one layer; unless told otherwise neither model nor tokenizer has a pad token."""
    from transformers import GPT2Config, GPT2ForSequenceClassification

    tokenizer = save_byte_tokenizer(folder)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=64, initializer_range=0.3,
        id2label=dict(enumerate(labels)), label2id={label: index for index, label in enumerate(labels)},
        bos_token_id=0, eos_token_id=0, **settings,
    )  # fmt: skip
    return _save(GPT2ForSequenceClassification, config, folder)


def as_pickle_only(folder: Path) -> Path:
    """Turns the weights of a saved model into ``pytorch_model.bin``."""
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def edit_json(path: Path, **changes: Any) -> None:
    """Changes some keys of a JSON file, or makes a new one."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**known, **changes}), encoding="utf-8")


def _save(model_class: Any, config: Any, folder: Path) -> Path:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model_class(config).save_pretrained(folder)
    return folder
