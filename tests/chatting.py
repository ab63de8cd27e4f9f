"""Chat models for tests: a stub endpoint that writes texts by the rules it is told, and a random model in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stub_endpoint import StubEndpoint, stub_endpoint


def words_of(messages: list[dict[str, str]]) -> list[str]:
    """The vocabulary that the instructions list."""
    lines = messages[0]["content"].splitlines()
    (place,) = [place for place, line in enumerate(lines) if line.endswith("spelled as here:")]
    return lines[place + 1].split()


def write_words(body: dict[str, Any]) -> str:
    """One to three words of the vocabulary, which ones goes by the whole request, the seed included."""
    words = words_of(body["messages"])
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
    return "Text: " + " ".join(words[byte % len(words)] for byte in digest[1 : 2 + digest[0] % 3])


@contextmanager
def writing_endpoint() -> Iterator[StubEndpoint]:
    """A stub that writes legal words."""
    with stub_endpoint() as stub:
        stub.write = write_words
        yield stub


def reply(text: str) -> Any:
    """A model that always says the same."""
    return lambda messages: text


def save_writer(folder: Path, words: tuple[str, ...], *, places: int = 1024, template: str | None = None) -> Path:
    """A random GPT-2 of some kB whose tokens are these words, so that all that it says can be read."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(("<end>", "<unk>", *words))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", unk_token="<unk>")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    sizes = {"n_positions": places, "n_embd": 16, "n_layer": 1, "n_head": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=len(vocabulary), bos_token_id=0, eos_token_id=0, **sizes))
    model.save_pretrained(folder)
    return folder
