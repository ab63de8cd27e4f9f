"""Causal language models of the ``transformers`` library, which is imported when one is first asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, missing_dependency
from textgym.huggingface import HuggingFaceTokenizer
from textgym.quietness import quiet

_MOST_LOGITS = 2**25  # at a time: 256 MiB in double precision
_CONVERSION = """textgym opens no pickles (.bin, .pt), since they can run code; if you trust it, these lines convert it:
    from transformers import AutoModelForCausalLM
    AutoModelForCausalLM.from_pretrained({0!r}).save_pretrained({0!r})"""


@dataclass(frozen=True)
class HuggingFaceLanguageModel:
    """A causal language model whose token ids are the ids of the environment.

    Weights are read from safetensors only and code from a model repository is never run. Every text is read
    after the model's begin token (or else its end token), as in training, so that an empty prompt can be read too.

    Args:
        path_or_name: A folder with ``config.json``, ``model.safetensors`` and a tokenizer, or a hub name.
        device: ``"auto"`` (cuda where there is one, else cpu) or a torch device.
        batch_size: The most texts in one forward pass; fewer where a vocabulary is so large that they would not fit.
        revision: The hub revision to pin.

    Raises:
        ConfigurationError: on first use, if there is no such model, it has no safetensors, or its vocabulary or
            context is too small.
        TokenizerError: if it has no tokenizer, or that has no end-of-text id.

    Example:
        >>> HuggingFaceLanguageModel("runs/my_model", batch_size=8).device
        'auto'
    """

    path_or_name: str
    _: KW_ONLY
    device: str = "auto"
    batch_size: int = 256
    revision: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path_or_name", str(self.path_or_name))
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ConfigurationError(f"batch_size={self.batch_size!r}: expected a whole number of at least 1")

    @cached_property
    def vocab_size(self) -> int:
        """V, the number of ids of the model's own tokenizer."""
        return HuggingFaceTokenizer(self.path_or_name, revision=self.revision).vocab_size

    def log_probs(self, tokens: Any, action_masks: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """See :meth:`textgym.language_models.LanguageModel.log_probs`."""
        rows = self._rows(np.asarray(tokens))
        result = np.empty((len(rows), self.vocab_size))
        for chunk in self._chunks(len(rows), len({len(row) for row in rows})):
            last = self._last_logits(rows[chunk])
            if action_masks is not None:
                illegal = last.new_tensor(~action_masks[chunk]).bool()
                last = last.masked_fill(illegal, -np.inf)
            result[chunk] = last.log_softmax(dim=-1).cpu().numpy()
        return result

    def text_log_probs(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """``(B,)`` log-probability of each completion, in one forward pass instead of one a token."""
        return self.chosen_log_probs(batch).sum(axis=1)

    def chosen_log_probs(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """``(B, T)`` log-probability of each of the completion's tokens, 0 after its end."""
        rows, result = self._rows(batch.tokens), np.zeros(batch.completion_ids.shape)
        for chunk in self._chunks(len(rows), max(map(len, rows), default=1)):
            lengths, inputs = self._pad(rows[chunk])
            log_probs = self._logits(lengths, inputs).double().log_softmax(dim=-1)[:, :-1]
            chosen = log_probs.gather(-1, inputs[:, 1:, None])[..., 0].cpu().numpy()
            spans = zip(lengths, batch.lengths[chunk].tolist(), strict=True)
            for row, (total, written) in enumerate(spans, start=chunk.start):
                result[row, :written] = chosen[row - chunk.start, total - written - 1 : total - 1]
        return result

    def _rows(self, tokens: NDArray[np.int32]) -> list[list[int]]:
        """The begin token and the ids of each row, without padding."""
        return [[self._begin_id, *row[row != self.vocab_size].tolist()] for row in tokens]

    def _last_logits(self, rows: Sequence[list[int]]) -> Any:
        """``(B, V)`` after the last id of each row; where the model can, no others are computed."""
        lengths, inputs = self._pad(rows)
        ends = sorted({length - 1 for length in lengths})
        if not self._keeps_logits:
            return self._logits(lengths, inputs)[range(len(rows)), [length - 1 for length in lengths]].double()
        logits = self._logits(lengths, inputs, logits_to_keep=inputs.new_tensor(ends))
        return logits[range(len(rows)), [ends.index(length - 1) for length in lengths]].double()

    def _pad(self, rows: Sequence[list[int]]) -> tuple[list[int], Any]:
        """The number of ids of each row, and the right-padded ids ``(B, L)``."""
        import torch

        lengths = [len(row) for row in rows]
        limit = getattr(self._config, "max_position_embeddings", None)
        if limit is not None and max(lengths) > limit:
            raise ConfigurationError(
                f"a text of {max(lengths)} tokens, its begin token included, but {self.path_or_name!r} reads at most "
                f"{limit}; lower max_new_tokens or take another model"
            )
        padded = [row + [0] * (max(lengths) - len(row)) for row in rows]  # causal: what stands behind is not seen
        return lengths, torch.tensor(padded, device=self._model.device)

    def _logits(self, lengths: Sequence[int], inputs: Any, **options: Any) -> Any:
        """``(B, L, V)``, or fewer places where ``logits_to_keep`` is among the options."""
        import torch

        attention = torch.tensor([[place < n for place in range(inputs.shape[1])] for n in lengths]).to(inputs)
        with torch.inference_mode():
            return self._model(input_ids=inputs, attention_mask=attention, **options).logits[..., : self.vocab_size]

    def _chunks(self, count: int, places: int) -> Iterator[slice]:
        """Parts of at most ``batch_size`` texts, fewer where the logits of so many places would fill the memory."""
        size = max(1, min(self.batch_size, _MOST_LOGITS // (places * self.vocab_size)))
        return (slice(start, start + size) for start in range(0, count, size))

    @cached_property
    def _keeps_logits(self) -> bool:
        return "logits_to_keep" in signature(self._model.forward).parameters

    @property
    def _config(self) -> Any:
        return self._model.config.get_text_config()

    @cached_property
    def _begin_id(self) -> int:
        return begin_of(self._config, self.path_or_name)

    @cached_property
    def _model(self) -> Any:
        model, device = load_causal_lm(self.path_or_name, self.revision or "main"), find_device(self.device)
        rows = model.get_output_embeddings().weight.shape[0]
        if rows < self.vocab_size:
            raise ConfigurationError(
                f"{self.path_or_name!r} scores {rows} ids, but its tokenizer has {self.vocab_size}: they do not belong "
                "together"
            )
        return model.to(device).eval()

    def __getstate__(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def __deepcopy__(self, memo: dict[int, Any]) -> HuggingFaceLanguageModel:
        return self


def load_causal_lm(source: str, revision: str = "main") -> Any:
    """A causal language model of ``transformers``, from safetensors only.

    Args:
        source: A folder with ``config.json`` and ``model.safetensors``, or a hub name.
        revision: The hub revision to pin.

    Raises:
        ConfigurationError: if there is no such model, or it has no safetensors.
    """
    try:
        from transformers import AutoModelForCausalLM
    except ImportError as error:
        raise missing_dependency("transformers", "lm", "HuggingFaceLanguageModel") from error
    files = list(Path(source).iterdir()) if Path(source).is_dir() else []
    kinds = {file.suffix for file in files}
    if ".safetensors" not in kinds and kinds & {".bin", ".pt", ".pth"}:
        raise ConfigurationError(f"{source!r} has no weights as safetensors: {_CONVERSION.format(source)}")
    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source, revision=revision, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
    except Exception as error:  # a damaged file is a SafetensorError, which is no OSError
        raise ConfigurationError(
            f"no language model could be loaded from {source!r}: expected a folder with config.json, "
            f"model.safetensors and a tokenizer, or a hub name ({type(error).__name__}: "
            f"{str(error).partition(chr(10))[0]})"
        ) from error
    model, info = loaded
    if info["missing_keys"]:  # transformers fills them with random numbers
        raise ConfigurationError(f"{source!r} is no language model: no weights for {sorted(info['missing_keys'])}")
    return model


def begin_of(config: Any, name: str) -> int:
    """The id before every text: the model's begin token, else its end token, as in its own training.

    Raises:
        ConfigurationError: if it names neither.
    """
    ends = config.eos_token_id
    first = ends[0] if isinstance(ends, list) else ends
    chosen = first if config.bos_token_id is None else config.bos_token_id
    if chosen is None:
        raise ConfigurationError(f"{name!r} names no begin token and no end token in its config.json")
    return int(chosen)


def find_device(name: str) -> Any:
    """``"auto"`` (cuda where there is one, else cpu) or the name of a torch device.

    Raises:
        ConfigurationError: for a device that is not there.
    """
    import torch

    wanted = name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=wanted).device
    except (AssertionError, RuntimeError) as error:
        raise ConfigurationError(f"device={name!r} cannot be used here: {error}") from error
