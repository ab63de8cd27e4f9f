"""A trained policy as a folder that ``transformers`` loads by itself, weights as safetensors and tokenizer included."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from textgym.agents.lm.model import LMPolicy
from textgym.errors import ConfigurationError
from textgym.huggingface import HuggingFaceTokenizer
from textgym.tokenizers import ByteTokenizer, CharTokenizer, Tokenizer, WordTokenizer

BEGIN = "<begin>"
_WORDS = r"<eos>|<unk>|<begin>|[^\W_]+(?:['’\-_][^\W_]+)*|\S"


def to_transformers(tokenizer: Tokenizer) -> Any:
    """The tokenizer of an environment as a fast tokenizer of ``transformers``, with the same ids.

    Textgym's own get one token more, which begins every text.

    Raises:
        ConfigurationError: for a tokenizer of somebody's own, which nobody else knows how to write down.
    """
    from tokenizers import Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Backend
    from transformers import PreTrainedTokenizerFast

    if isinstance(tokenizer, HuggingFaceTokenizer):
        return tokenizer.backend
    ids = {token: index for index, token in enumerate((*tokenizer.tokens, BEGIN))}
    unknown = None if tokenizer.unk_id is None else tokenizer.tokens[tokenizer.unk_id]
    backend = Backend(models.WordLevel(ids, unk_token=unknown or BEGIN))
    if isinstance(tokenizer, CharTokenizer):
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"."), "isolated")
        backend.decoder = decoders.Fuse()
    elif isinstance(tokenizer, WordTokenizer):
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(_WORDS), "removed", invert=True)
    elif isinstance(tokenizer, ByteTokenizer):
        raise ConfigurationError("bytes are no tokens of transformers; use characters or words, or a BPE tokenizer")
    else:
        raise ConfigurationError(
            f"{tokenizer!r} cannot be written as a tokenizer of transformers; use one of textgym's"
        )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        bos_token=BEGIN,
        eos_token=tokenizer.tokens[tokenizer.eos_ids[0]],
        unk_token=unknown,
        pad_token=BEGIN,
        padding_side="left",
    )


def load_tokenizer(path: Path) -> Any:
    """The tokenizer that :func:`write_model` wrote beside a model; None where there is none."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path) if (path / "tokenizer.json").is_file() else None


def write_model(policy: LMPolicy, tokenizer: Any, path: Path) -> None:
    """Writes the model and its tokenizer; a reader sees the old folder or the new one, never a part.

    Args:
        policy: Low-rank adapters become part of the weights.
        tokenizer: Of ``transformers``; None writes the model alone.
        path: The folder.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    lm = policy.lm
    if hasattr(lm, "merge_and_unload"):
        import copy

        lm = copy.deepcopy(lm).merge_and_unload()
    lm.save_pretrained(scratch)
    if tokenizer is not None:
        tokenizer.save_pretrained(scratch)
    replace_folder(scratch, path)


def replace_folder(scratch: Path, path: Path) -> None:
    """Puts a finished folder in the place of another."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        os.replace(path, old)
    os.replace(scratch, path)
    shutil.rmtree(old, ignore_errors=True)
