"""Tokenizers of ``transformers`` made from the texts that a classifier learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textgym.errors import missing_dependency

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
PAD, UNKNOWN, BEGIN, END = range(4)


def make_tokenizer(kind: str, texts: Sequence[str], size: int) -> Any:
    """A tokenizer that frames a text as ``[CLS] text [SEP]``, and a pair as ``[CLS] one [SEP] other [SEP]``.

    Args:
        kind: ``"word"``: words, marks and single CJK characters, without capitals, of which the commonest are known;
            ``"bpe"``: byte pairs, after Sennrich et al. 2016, for which nothing is unknown.
        texts: What the vocabulary is made from.
        size: The most ids.

    Raises:
        MissingDependencyError: without transformers.
    """
    try:
        from tokenizers import processors
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        raise missing_dependency("transformers", "lm", "a classifier of labelled texts") from error
    backend = _words(texts, size) if kind == "word" else _byte_pairs(texts, size)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", BEGIN), ("[SEP]", END)],
    )
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


def _words(texts: Sequence[str], size: int) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    backend = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordLevelTrainer(vocab_size=size, special_tokens=list(SPECIALS), show_progress=False)
    backend.train_from_iterator(texts, trainer)
    return backend


def _byte_pairs(texts: Sequence[str], size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=max(size, len(alphabet) + len(SPECIALS)),
        special_tokens=list(SPECIALS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return backend
