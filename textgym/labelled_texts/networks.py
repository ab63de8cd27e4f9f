"""The sequence classifiers of ``transformers`` that are fitted: a small one from nothing, or one from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from textgym.errors import ConfigurationError, missing_dependency
from textgym.labelled_texts.settings import TINY, ClassifierSettings
from textgym.labelled_texts.vocabulary import BEGIN, END, PAD, UNKNOWN, make_tokenizer
from textgym.quietness import quiet

_HEADS = ("classifier", "score", "pooler", "pre_classifier", "sequence_summary", "classification_head", "head")
_CONVERSION = """textgym opens no pickles (.bin, .pt), since they can run code; if you trust it, these lines convert it:
    from transformers import AutoModel
    AutoModel.from_pretrained({0!r}).save_pretrained({0!r})"""


def make_classifier(settings: ClassifierSettings, texts: Sequence[str], names: Sequence[str]) -> tuple[Any, Any]:
    """A classifier of ``transformers`` and its tokenizer; weights are drawn from torch's global generator.

    Args:
        settings: Which model.
        texts: That it is to learn from: the tokenizer and the length of a tiny one are made from them.
        names: Of the labels.

    Raises:
        ConfigurationError: if there is no such model.
        MissingDependencyError: without transformers.
    """
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: place for place, name in enumerate(names)}}
    if settings.is_tiny:
        tokenizer = make_tokenizer(settings.tokenizer, texts, settings.vocabulary)
        return _make_tiny(settings, tokenizer, texts, labels), tokenizer
    return _load(settings, labels)


def _make_tiny(settings: ClassifierSettings, tokenizer: Any, texts: Sequence[str], labels: dict[str, Any]) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    longest = max(len(ids) for ids in tokenizer(list(texts), verbose=False)["input_ids"])
    length = min(settings.max_length, longest)
    tokenizer.model_max_length = length
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.width,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        max_position_embeddings=length,  # the places behind were never learned
        type_vocab_size=1,
        initializer_range=settings.width**-0.5,
        pad_token_id=PAD,
        bos_token_id=BEGIN,
        eos_token_id=END,
        **labels,
    )
    return BertForSequenceClassification(config)


def _load(settings: ClassifierSettings, labels: dict[str, Any]) -> tuple[Any, Any]:
    try:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise missing_dependency("transformers", "lm", "a classifier of labelled texts") from error
    source = settings.model
    _check_folder(Path(source))
    try:
        with quiet():
            return _read(settings, labels, AutoTokenizer, AutoModelForSequenceClassification)
    except ConfigurationError:
        raise
    except Exception as error:  # a damaged file is a SafetensorError, which is no OSError
        raise ConfigurationError(
            f"no model could be loaded from {source!r}: expected {TINY!r}, or a folder with config.json, "
            f"model.safetensors and a tokenizer ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
        ) from error


def _read(settings: ClassifierSettings, labels: dict[str, Any], tokenizers: Any, models: Any) -> tuple[Any, Any]:
    source = settings.model
    tokenizer = tokenizers.from_pretrained(source, trust_remote_code=False)
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # transformers makes one up for a folder without any
        raise ValueError("it has no tokenizer")
    model, info = models.from_pretrained(
        source,
        use_safetensors=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        dtype=torch.float32,
        problem_type="single_label_classification",
        **labels,
    )
    replaced = [*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])]
    lacking = [name for name in replaced if not set(name.split(".")) & set(_HEADS)]
    if lacking:  # transformers fills them with random numbers
        raise ConfigurationError(f"{source!r} has no weights for {sorted(lacking)[:3]}; it is not the model it says")
    _agree_on_padding(model, tokenizer, source)
    return model, tokenizer


def _check_folder(folder: Path) -> None:
    kinds = {file.suffix for file in folder.iterdir()} if folder.is_dir() else set()
    if ".safetensors" not in kinds and kinds & {".bin", ".pt", ".pth"}:
        raise ConfigurationError(f"{str(folder)!r} has no weights as safetensors: {_CONVERSION.format(str(folder))}")


def _agree_on_padding(model: Any, tokenizer: Any, source: str) -> None:
    """Model and tokenizer must mean the same id; where they name none, the end or the unknown token pads."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise ConfigurationError(f"the tokenizer of {source!r} has no token to pad with, nor an end or unknown token")
    tokenizer.padding_side = "right"
    model.config.pad_token_id = model.config.get_text_config().pad_token_id = tokenizer.pad_token_id


def window(model: Any, tokenizer: Any, settings: ClassifierSettings) -> int:
    """The most tokens of a text that are read."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None) or settings.max_length
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            limit = min(limit, module.num_embeddings - module.padding_idx - 1)  # RoBERTa counts from here on
    return int(min(limit, tokenizer.model_max_length, settings.max_length))


def unknown_id(settings: ClassifierSettings) -> int | None:
    """The id that words are replaced by while the model learns, or None."""
    return UNKNOWN if settings.is_tiny and settings.unknown > 0.0 else None


def cool(model: nn.Module, labels: int, temperature: float) -> None:
    """Divides the logits by a temperature, in the weights of the last layer, so that no reader needs to know of it.

    Raises:
        ConfigurationError: for a model whose last layer is not linear.
    """
    heads = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == labels]
    if not heads:
        raise ConfigurationError(
            "the model's head is no linear layer, so it cannot be calibrated; pass calibrate=False"
        )
    with torch.no_grad():
        for parameter in heads[-1].parameters():
            parameter.div_(temperature)
