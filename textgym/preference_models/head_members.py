"""Members of a reward model that are Hugging Face classifiers with one label: they read strings, not ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, missing_dependency
from textgym.preference_models.judgements import Judgements
from textgym.preference_models.judging import Judging
from textgym.preference_models.settings import FitSettings
from textgym.preference_models.training import find_device, score_all, train

Floats = NDArray[np.float64]

FILES = "transformers"  # the folder of configuration and tokenizer inside that of the reward model
LEARNING_RATE = 2e-5
_SCORED = 64  # texts in one forward pass
_CONVERSION = """textgym opens no pickles (.bin, .pt), since they can run code; if you trust it, these lines convert it:
    from transformers import AutoModelForSequenceClassification as Classifier
    Classifier.from_pretrained({0!r}).save_pretrained({0!r})"""


class HeadNetwork(nn.Module):
    """A sequence classifier that reads ids, their mask and their segments as one array.

    Args:
        model: Of transformers, with one label.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores ``(B, 3, L)`` as ``(B,)``."""
        longest = int(inputs[:, 1].sum(dim=1).max())
        ids, mask, segments = inputs[:, :, :longest].unbind(dim=1)
        known = getattr(self.model.config, "type_vocab_size", 0) or 0
        more = {"token_type_ids": segments} if known > 1 else {}
        score: Tensor = self.model(input_ids=ids, attention_mask=mask, **more).logits[:, 0]
        return score


class HeadMember:
    """A sequence classifier with its tokenizer. Prompt and completion are its two segments.

    Args:
        network: In evaluation mode.
        tokenizer: Of transformers.
        max_length: The most tokens of a text.
    """

    def __init__(self, network: HeadNetwork, tokenizer: Any, max_length: int) -> None:
        self.network, self.tokenizer, self.max_length = network, tokenizer, max_length

    def score(self, batch: EpisodeBatch) -> Floats:
        """``(B,)`` logits."""
        inputs = read_texts(batch, self.tokenizer, self.max_length)
        return score_all(self.network, inputs.to(next(self.network.parameters()).device), size=_SCORED)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that was learned."""
        state = self.network.model.state_dict()
        return {name: tensor.float().cpu().numpy() for name, tensor in state.items()}

    def describe(self) -> dict[str, Any]:
        """What else is needed to bring the member back."""
        return {"max_length": self.max_length}

    def write_files(self, folder: Path) -> None:
        """Writes configuration and tokenizer."""
        config: Any = self.network.model.config
        config.save_pretrained(folder / FILES)
        self.tokenizer.save_pretrained(folder / FILES)

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], description: Mapping[str, Any], folder: Path) -> HeadMember:
        """Reads what the other methods wrote.

        Raises:
            ConfigurationError: if the weights do not fit the configuration.
        """
        transformers = _import()
        source = str(folder / FILES)
        try:
            config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
            model = transformers.AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=True)
        except Exception as error:  # the library's Rust part raises nothing more special for a damaged file
            raise ConfigurationError(f"the reward model {str(folder)!r} is damaged: {_first_line(error)}") from error
        return cls(HeadNetwork(model.to(find_device("auto")).eval()), tokenizer, int(description["max_length"]))


def fit_head(path: str, judgements: Judgements, settings: FitSettings, seed: int) -> tuple[HeadMember, Judging]:
    """Fits a sequence classifier to judgements, all its weights.

    Args:
        path: A folder with ``config.json``, safetensors and a tokenizer: of a classifier with one label, or of a
            language model, which gets a new head.
        judgements: To be explained.
        settings: How long and how fast.
        seed: Of a new head, of dropout and of the order.

    Raises:
        ConfigurationError: if there is no such model.
    """
    tokenizer = load_tokenizer(path)
    max_length = settings.max_length

    def make() -> nn.Module:
        return HeadNetwork(load_model(path, tokenizer))

    limit = getattr(_import().AutoConfig.from_pretrained(path), "max_position_embeddings", None) or max_length
    max_length = min(max_length, int(limit))
    inputs = read_texts(judgements.texts, tokenizer, max_length).to(find_device(settings.device))
    network, judging = train(make, inputs, judgements, settings, seed=seed, learning_rate=LEARNING_RATE)
    assert isinstance(network, HeadNetwork)
    return HeadMember(network, tokenizer, max_length), judging


def read_texts(batch: EpisodeBatch, tokenizer: Any, max_length: int) -> Tensor:
    """``(B, 3, L)`` ids, mask and segments of prompt and completion, right-padded.

    Too long a prompt loses its end, never the completion.
    """
    pairs = [batch.prompt_texts, batch.completions]
    fitting = {"truncation": "only_first", "max_length": max_length, "verbose": False}
    if not len(batch):
        return torch.zeros((0, 3, 1), dtype=torch.int64)
    try:
        rows = tokenizer(*pairs, return_token_type_ids=True, **fitting)
    except Exception as error:  # a completion that is too long by itself
        raise ConfigurationError(
            f"a completion is longer than the {max_length} tokens that the model reads: {_first_line(error)}"
        ) from error
    longest = max(1, *(len(ids) for ids in rows["input_ids"]))
    table = np.zeros((len(batch), 3, longest), dtype=np.int64)
    table[:, 0] = tokenizer.pad_token_id
    for row, (ids, segments) in enumerate(zip(rows["input_ids"], rows["token_type_ids"], strict=True)):
        ids = ids or [tokenizer.pad_token_id]
        table[row, 0, : len(ids)], table[row, 1, : len(ids)] = ids, 1
        table[row, 2, : len(segments)] = segments
    return torch.from_numpy(table)


def load_tokenizer(path: str) -> Any:
    """The tokenizer of a model folder; where it has no token for padding, the end token pads."""
    try:
        tokenizer = _import().AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except Exception as error:
        raise _unloadable(path, error) from error
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise ConfigurationError(f"the tokenizer of {path!r} has neither a token for padding nor an end token")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def load_model(path: str, tokenizer: Any) -> nn.Module:
    """The classifier of a model folder, with one label."""
    _check_folder(path)
    try:
        model: Any = _import().AutoModelForSequenceClassification.from_pretrained(
            path, num_labels=1, use_safetensors=True, trust_remote_code=False
        )
    except Exception as error:
        raise _unloadable(path, error) from error
    model.config.get_text_config().pad_token_id = model.config.pad_token_id = tokenizer.pad_token_id
    module: nn.Module = model.float()
    return module


def _check_folder(path: str) -> None:
    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise ConfigurationError(f"{path!r} is no folder with a model: it has no config.json")
    if not any(folder.glob("*.safetensors")):
        raise ConfigurationError(f"{path!r} has no weights as safetensors; {_CONVERSION.format(path)}")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    labels = len(config.get("id2label") or {}) or config.get("num_labels", 2)
    is_classifier = any("SequenceClassification" in name for name in config.get("architectures") or [])
    if is_classifier and labels != 1:
        raise ConfigurationError(
            f"{path!r} is a classifier with {labels} labels; expected one label, or a language model without a head; "
            "as it is, it can be used as reward={'name': 'classifier', ...}"
        )


def _unloadable(path: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"no sequence classifier could be loaded from {path!r}: expected a folder with config.json, safetensors and a "
        f"tokenizer ({type(error).__name__}: {_first_line(error)})"
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _import() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise missing_dependency("transformers", "lm", "a reward model with a Hugging Face head") from error
    return transformers
