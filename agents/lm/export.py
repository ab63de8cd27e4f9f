"""A trained policy as a folder that ``transformers`` loads by itself, weights as safetensors and tokenizer included."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from textgym.agents.lm.model import LMPolicy
from textgym.folders import replace_folder
from textgym.huggingface import HuggingFaceTokenizer
from textgym.tokenizers import (
    NO_SPACE_AFTER_PATTERN,
    NO_SPACE_BEFORE_PATTERN,
    WORD_PATTERN,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    WordTokenizer,
)

BEGIN = "<begin>"
EXTRAS = "extras.safetensors"


def to_transformers(tokenizer: Tokenizer) -> Any:
    """The tokenizer of an environment as a fast tokenizer of ``transformers``, with the same ids.

    Textgym's own get one token more, which begins every text.

    Returns:
        The tokenizer; None for one of somebody's own, which nobody else knows how to write down.
    """
    if isinstance(tokenizer, HuggingFaceTokenizer):
        return tokenizer.backend
    backend = _backend(tokenizer)
    if backend is None:
        return None
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    backend.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.vocab_size)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        bos_token=BEGIN,
        eos_token=tokenizer.tokens[tokenizer.eos_ids[0]],
        unk_token=None if tokenizer.unk_id is None else tokenizer.tokens[tokenizer.unk_id],
        pad_token=BEGIN,
        padding_side="left",
        split_special_tokens=True,  # who writes "<eos>" in a prompt means five characters
        clean_up_tokenization_spaces=False,
    )


def _backend(tokenizer: Tokenizer) -> Any:
    """What the library ``tokenizers`` makes of characters, words and bytes; None for anything else."""
    from tokenizers import Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    ids = {token: index for index, token in enumerate((*tokenizer.tokens, BEGIN))}
    unknown = BEGIN if tokenizer.unk_id is None else tokenizer.tokens[tokenizer.unk_id]
    if isinstance(tokenizer, CharTokenizer):
        backend = Backend(models.WordLevel(ids, unk_token=unknown))
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"(?m:.)"), "isolated")  # in Ruby's syntax with newlines
        backend.decoder = decoders.Fuse()
        return backend
    if isinstance(tokenizer, WordTokenizer):
        backend = Backend(models.WordLevel(ids, unk_token=unknown))
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(_oniguruma(WORD_PATTERN)), "removed", invert=True)
        backend.decoder = decoders.Sequence(
            [
                decoders.WordPiece(prefix="\0", cleanup=False),  # a space before every word but the first
                decoders.Fuse(),
                decoders.Replace(Regex(f" (?={NO_SPACE_BEFORE_PATTERN})"), ""),
                decoders.Replace(Regex(f"(?<={NO_SPACE_AFTER_PATTERN}) "), ""),
            ]
        )
        return backend
    if isinstance(tokenizer, ByteTokenizer):
        letters = _byte_letters()
        names = {letters[value]: value for value in range(256)} | {tokenizer.tokens[256]: 256, BEGIN: 257}
        backend = Backend(models.BPE(vocab=names, merges=[]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        return backend
    return None


def _oniguruma(pattern: str) -> str:
    """A pattern of Python in the syntax of ``tokenizers``, whose word characters are others: here they are Python's."""
    return pattern.replace(r"\W", r"[^\p{L}\p{N}_]").replace(r"\w", r"\p{L}\p{N}_")


def _byte_letters() -> list[str]:
    """The printable character that stands for each byte, as GPT-2 has it (Radford et al. 2019)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [value for value in range(256) if value not in plain]
    return [chr(value) if value in plain else chr(256 + others.index(value)) for value in range(256)]


def load_tokenizer(path: Path) -> Any:
    """The tokenizer that :func:`write_model` wrote beside a model; None where there is none."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path) if (path / "tokenizer.json").is_file() else None


def write_model(
    policy: LMPolicy,
    tokenizer: Any,
    path: Path,
    *,
    extras: Mapping[str, Tensor] | None = None,
    max_new_tokens: int | None = None,
    top_p: float = 1.0,
) -> None:
    """Writes the model and its tokenizer; a reader sees the old folder or the new one, never a part.

    What ``generate`` draws from is the policy's distribution, as far as it does not depend on the text so far.

    Args:
        policy: Low-rank adapters become part of the weights.
        tokenizer: Of ``transformers``; None writes the model alone.
        path: The folder.
        extras: Further tensors, for ``extras.safetensors``.
        max_new_tokens: How much ``generate`` writes unless it is told otherwise.
        top_p: Share of the likeliest tokens that are drawn from.
    """
    scratch = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    lm = copy.deepcopy(policy.lm).merge_and_unload() if hasattr(policy.lm, "merge_and_unload") else policy.lm
    old = lm.generation_config
    try:
        lm.generation_config = _generation(policy, lm, max_new_tokens, top_p)
        lm.save_pretrained(scratch)
    finally:
        lm.generation_config = old
    if extras:
        save_file(dict(extras), scratch / EXTRAS)
    if tokenizer is not None:
        tokenizer.save_pretrained(scratch)
    replace_folder(scratch, path)


def _generation(policy: LMPolicy, lm: Any, max_new_tokens: int | None, top_p: float) -> Any:
    """Sampling as the policy samples: no top-k, its temperature, and never an id that is illegal everywhere."""
    config = copy.deepcopy(lm.generation_config)
    head = lm.get_output_embeddings().weight.shape[0]
    illegal = [*(~policy.legal.fixed).nonzero()[0].tolist(), *range(policy.vocab_size, head)]
    config.update(do_sample=True, temperature=policy.temperature, top_k=0, top_p=top_p)
    config.suppress_tokens = illegal or None
    if max_new_tokens is not None:
        config.max_new_tokens, config.max_length = max_new_tokens, None
    return config
