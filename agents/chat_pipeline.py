"""A language model of ``transformers`` on this machine as a chat agent: it is asked as those behind endpoints are.

Weights are read from safetensors only. Where the tokenizer has a chat template, it is used; else the messages are
put one below the other, for base models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from textgym.agents.chat_options import PlayerConfig, Question
from textgym.agents.chat_player import ChatPlayer
from textgym.chat_settings import Conversation
from textgym.errors import ConfigurationError, missing_dependency
from textgym.huggingface import HuggingFaceTokenizer
from textgym.huggingface_models import find_device, load_causal_lm

_Key = tuple[str, float, int | None]  # conversation, temperature, seed
_MOST_KNOWN = 20_000  # answers that are kept in memory


@dataclass(frozen=True, kw_only=True)
class PipelineConfig(PlayerConfig):
    """Options of a chat model on this machine."""

    model: str = ""  # a folder with config.json, model.safetensors and a tokenizer, or a hub name
    max_answer_tokens: int = 64  # of the model's own tokens, what it says before the text included
    batch_size: int = 16  # conversations at a time
    device: str = "auto"  # cuda where there is one, else cpu; or a torch device

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.model, str) or not self.model:
            raise ConfigurationError(
                f"model={self.model!r}: expected a folder with config.json, model.safetensors and a tokenizer"
            )
        for name in ("max_answer_tokens", "batch_size"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ConfigurationError(f"{name}={value!r}: expected a whole number of at least 1")


class _Noise:
    """Gumbel noise on the logits, so that the largest of them is a draw (the Gumbel-max trick).

    Each row has a generator of its own: what is drawn goes by its seed, and neither by its neighbours nor by the
    generator of the process, which stays as it is.
    """

    def __init__(self, batch: Sequence[_Key]) -> None:
        self._scales = np.array([1.0 / temperature if temperature else 1.0 for _, temperature, _ in batch])
        self._draws = [temperature > 0 for _, temperature, _ in batch]
        self._rngs = [np.random.default_rng(seed or 0) for _, _, seed in batch]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        count = scores.shape[1]
        rows = zip(self._rngs, self._draws, strict=True)
        noise = np.stack([rng.gumbel(size=count) if draws else np.zeros(count) for rng, draws in rows])
        return scores * scores.new_tensor(self._scales)[:, None] + scores.new_tensor(noise)


class Pipeline(ChatPlayer):
    """A chat model on this machine.

    Raises:
        ConfigurationError: for an option that cannot work; when playing, if the model cannot be loaded or a
            conversation is longer than it can read.
    """

    config_class = PipelineConfig
    config: PipelineConfig

    def __init__(self, seed: int = 0, **config: Any) -> None:
        super().__init__(seed, **config)
        self._known: dict[_Key, str] = {}

    def answer(self, questions: Sequence[Question]) -> list[str]:
        """Lets the model go on with each conversation; equal questions are answered once."""
        keys = [(self._render(question.messages), question.temperature, question.seed) for question in questions]
        wanted = [key for key in dict.fromkeys(keys) if key not in self._known]
        if len(self._known) + len(wanted) > _MOST_KNOWN:
            self._known, wanted = {}, [*dict.fromkeys(keys)]
        for start in range(0, len(wanted), self.config.batch_size):
            batch = wanted[start : start + self.config.batch_size]
            self._known |= zip(batch, self._generate(batch), strict=True)
        return [self._known[key] for key in keys]

    def _render(self, messages: Conversation) -> str:
        backend = self._tokenizer.backend
        if getattr(backend, "chat_template", None) is None:
            return "\n\n".join(message["content"] for message in messages) + "\n\n"
        try:
            text: str = backend.apply_chat_template([*messages], tokenize=False, add_generation_prompt=True)
        except Exception as error:  # whatever the template raises
            raise ConfigurationError(
                f"the chat template of {self.config.model!r} refuses the conversation ({error}); if it knows no system "
                "role, pass system_role=False"
            ) from error
        return text

    def _generate(self, batch: Sequence[_Key]) -> list[str]:
        import torch
        import transformers

        config_class: Any = transformers.GenerationConfig
        ids, attention = self._pad([self._encode(text) for text, _, _ in batch])
        settings = config_class(
            do_sample=False,  # what is drawn is drawn by the noise
            max_new_tokens=self.config.max_answer_tokens,
            eos_token_id=list(self._tokenizer.eos_ids),
            pad_token_id=self._tokenizer.eos_ids[0],
        )
        with torch.inference_mode():
            written = self._model.generate(
                input_ids=ids, attention_mask=attention, generation_config=settings, logits_processor=[_Noise(batch)]
            )
        return [
            self._tokenizer.backend.decode(row, skip_special_tokens=True) for row in written[:, ids.shape[1] :].tolist()
        ]

    def _encode(self, text: str) -> list[int]:
        own = getattr(self._tokenizer.backend, "chat_template", None) is None  # templates bring their special tokens
        ids: list[int] = self._tokenizer.backend(text, add_special_tokens=own)["input_ids"]
        limit = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and len(ids) + self.config.max_answer_tokens > limit:
            raise ConfigurationError(
                f"a conversation of {len(ids)} tokens and an answer of {self.config.max_answer_tokens}, but "
                f"{self.config.model!r} reads at most {limit}; lower max_answer_tokens, or take another model"
            )
        return ids

    def _pad(self, rows: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        """Ids and attention mask ``(B, L)``, padded on the left."""
        import torch

        longest, fill = max(map(len, rows)), self._tokenizer.eos_ids[0]
        ids = [[fill] * (longest - len(row)) + [*row] for row in rows]
        attention = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(ids, device=self._model.device), torch.tensor(attention, device=self._model.device)

    @cached_property
    def _tokenizer(self) -> HuggingFaceTokenizer:
        return HuggingFaceTokenizer(self.config.model)

    @cached_property
    def _model(self) -> Any:
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise missing_dependency("torch", "lm", "a chat model on this machine") from error
        return load_causal_lm(self.config.model).to(find_device(self.config.device)).eval()
