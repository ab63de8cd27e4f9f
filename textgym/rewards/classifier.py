"""Classifiers and reward models of the ``transformers`` library as rewards."""

from __future__ import annotations

import itertools
import json
import math
import string
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, RewardError, missing_dependency, unknown_name
from textgym.quietness import quiet

OUTPUTS = ("probability", "log_odds")
TEXTS = ("completion", "pair", "chat")
DTYPES = ("float32", "float16", "bfloat16")
CACHED_TEXTS = 100_000
Text = tuple[str, ...]  # one segment, or two
_CONVERSION = """textgym opens no pickles (.bin, .pt), since they can run code; if you trust it, these lines convert it:
    from transformers import AutoModelForSequenceClassification as Classifier
    Classifier.from_pretrained({0!r}).save_pretrained({0!r})"""


@dataclass(frozen=True)
class ClassifierReward:
    """Any sequence classifier or one-logit reward model, from a local folder or the hub.

    A head with one label gives its logit. For a head with several, ``label`` names the column and
    ``output`` says what to make of it: the label's probability, or its log-odds, ``log(p / (1 - p))``,
    which keep their slope where probabilities saturate. Weights are read from safetensors only and
    code from a model repository is never run. Scores are remembered by the exact text.

    Args:
        path_or_name: A folder with ``config.json``, ``model.safetensors`` and a tokenizer, or a hub name.
        label: The label whose score is the reward; needed where there are several.
        output: ``"probability"`` or ``"log_odds"``; needed where there are several labels.
        text: What is scored: ``"completion"``; ``"pair"`` (prompt and completion as two segments);
            ``"chat"`` (both in the tokenizer's chat template); or a template with ``{completion}`` and maybe
            ``{prompt}``. A part without any token of its own is scored as one unknown token.
        batch_size: The most texts in one forward pass.
        max_length: The most tokens of a text; by default what the model can read. A longer text is cut, at
            its front where it is a template or a chat, so that the completion stays, and counted in :attr:`truncated`.
        device: ``"auto"`` (cuda where there is one, else cpu) or a torch device.
        dtype: The torch type of the weights. Below float32 a score depends a little on the batch around it.
        revision: The hub revision to pin.

    Raises:
        ConfigurationError: if there is no such model, it has no safetensors, or the label or output is missing.

    Example:
        >>> ClassifierReward("org/sentiment", label="positive", output="probability").range
        (0.0, 1.0)
    """

    path_or_name: str
    _: KW_ONLY
    label: str | None = None
    output: str | None = None
    text: str = "completion"
    batch_size: int = 64
    max_length: int | None = None
    device: str = "auto"
    dtype: str = "float32"
    revision: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path_or_name", str(self.path_or_name))
        for name, choices in (("output", (None, *OUTPUTS)), ("dtype", DTYPES)):
            if getattr(self, name) not in choices:
                raise unknown_name(f"{name} of a classifier", getattr(self, name), filter(None, choices))
        for value in (self.batch_size, 1 if self.max_length is None else self.max_length):
            if not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"batch_size or max_length is {value!r}: expected a whole number from 1 on")
        _check_template(self.text)
        folder = Path(self.path_or_name)
        if folder.exists() or folder.is_absolute() or self.path_or_name.startswith("."):  # no hub name
            _choose_column(_read_labels(folder), self.label, self.output, self.path_or_name)

    @property
    def range(self) -> tuple[float, float]:
        """(0, 1) for probabilities, else unbounded."""
        return (0.0, 1.0) if self.output == "probability" else (-math.inf, math.inf)

    @property
    def truncated(self) -> int:
        """How many texts were cut to ``max_length`` so far; a remembered text counts once."""
        return self._model.truncated if "_model" in self.__dict__ else 0

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores a batch, ``(B,)`` float64."""
        return np.array(self._model.score(self._texts(batch)), dtype=np.float64)

    def _texts(self, batch: EpisodeBatch) -> list[Text]:
        pairs: list[Text] = list(zip(batch.prompt_texts, batch.completions, strict=True))
        if self.text == "pair":
            return pairs
        if self.text == "chat":
            return [(self._model.chat(prompt, completion),) for prompt, completion in pairs]
        template = "{completion}" if self.text == "completion" else self.text
        return [(template.format(prompt=prompt, completion=completion),) for prompt, completion in pairs]

    @cached_property
    def _model(self) -> _Model:
        return _Model(self)

    def __getstate__(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def __deepcopy__(self, memo: dict[int, Any]) -> ClassifierReward:
        return self


class _Model:
    """The loaded weights and tokenizer of a :class:`ClassifierReward`, and what they have scored."""

    def __init__(self, settings: ClassifierReward) -> None:
        self._settings = settings
        self._tokenizer, self._model = _load(settings)
        self._column = _choose_column(
            self._model.config.id2label, settings.label, settings.output, settings.path_or_name
        )
        self._independent = self._model.config.problem_type == "multi_label_classification"
        self._max_length = _window(self._tokenizer, self._model, settings.max_length)
        self._pad_id = _pad_id(self._model)
        self._tokenizer.truncation_side = "right" if settings.text in ("completion", "pair") else "left"
        self._cache: dict[Text, float] = {}
        self.truncated = 0

    def score(self, texts: Sequence[Text]) -> list[float]:
        """One score a text; only texts that are not remembered reach the model."""
        new = [text for text in dict.fromkeys(texts) if text not in self._cache]
        self._cache |= zip(new, self._compute(new), strict=True)
        scores = [self._cache[text] for text in texts]
        for text in list(itertools.islice(self._cache, max(0, len(self._cache) - CACHED_TEXTS))):
            del self._cache[text]
        return scores

    def chat(self, prompt: str, completion: str) -> str:
        """The prompt and the completion in the tokenizer's chat template."""
        if not self._tokenizer.chat_template:
            raise ConfigurationError(f"{self._settings.path_or_name!r} has no chat template; use another text=")
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False))

    def _compute(self, texts: Sequence[Text]) -> list[float]:
        rows = self._encode([tuple(self._or_unknown(part) for part in text) for text in texts])
        lengths = [len(row["input_ids"]) for row in rows]
        scores: dict[int, float] = {}
        for group in _groups(lengths, self._settings.batch_size, equal=self._pad_id is None):
            scores |= zip(group, self._forward([rows[index] for index in group]), strict=True)
        return [scores[index] for index in range(len(rows))]

    def _or_unknown(self, part: str) -> str:
        if self._tokenizer.tokenize(part):
            return part
        names = (self._tokenizer.unk_token, self._tokenizer.eos_token, self._tokenizer.bos_token)
        return next((name for name in names if name), part)

    def _encode(self, texts: Sequence[Text]) -> list[dict[str, list[int]]]:
        options = {"add_special_tokens": self._settings.text != "chat", "verbose": False}  # a chat template has its own
        rows = [self._tokenizer(*text, **options) for text in texts]
        for index, row in enumerate(rows):
            if not row["input_ids"]:
                raise RewardError(f"the classifier's tokenizer has no token for {texts[index]!r}, nor an unknown token")
            if len(row["input_ids"]) > self._max_length:
                rows[index] = self._tokenizer(*texts[index], truncation=True, max_length=self._max_length, **options)
                if not self.truncated:
                    warnings.warn(f"texts are cut to {self._max_length} tokens; .truncated counts them", stacklevel=2)
                self.truncated += 1
        return [dict(row) for row in rows]

    def _forward(self, rows: Sequence[Mapping[str, list[int]]]) -> list[float]:
        import torch

        longest = max(len(row["input_ids"]) for row in rows)
        inputs = {}
        for name in rows[0]:
            fill = [self._pad_id or 0 if name == "input_ids" else 0]
            padded = [row[name] + fill * (longest - len(row[name])) for row in rows]
            inputs[name] = torch.tensor(padded, device=self._model.device)
        with torch.inference_mode():
            return list(self._output(self._model(**inputs).logits.double()).tolist())

    def _output(self, logits: Any) -> Any:
        import torch

        log_odds = logits[:, self._column]
        if logits.shape[1] > 1 and not self._independent:
            others = torch.arange(logits.shape[1], device=logits.device) != self._column
            log_odds = log_odds - torch.logsumexp(logits[:, others], dim=1)
        return torch.sigmoid(log_odds) if self._settings.output == "probability" else log_odds


def _groups(lengths: Sequence[int], size: int, *, equal: bool) -> Iterator[list[int]]:
    """Rows of similar or of equal length together, at most ``size`` of them."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for _, rows in itertools.groupby(order, key=lambda row: lengths[row] if equal else 0):
        group = list(rows)
        yield from (group[start : start + size] for start in range(0, len(group), size))


def _pad_id(model: Any) -> int | None:
    """The pad id that the model knows, or None: then only texts of equal length may share a batch."""
    config = model.config.get_text_config()
    if config.pad_token_id is not None and config.pad_token_id >= 0:
        return int(config.pad_token_id)
    # Causal models take the last token that is not the pad id; no text holds -1, so that is always the last.
    model.config.pad_token_id = config.pad_token_id = -1
    return None


def _window(tokenizer: Any, model: Any, wanted: int | None) -> int:
    """The most tokens that the model can read, or fewer where ``wanted`` says so."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limit = min(tokenizer.model_max_length, positions or tokenizer.model_max_length)
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            limit = min(limit, module.num_embeddings - module.padding_idx - 1)  # RoBERTa counts from here on
    if wanted is not None and wanted > limit:
        raise ConfigurationError(f"max_length={wanted}, but this model reads at most {limit} tokens")
    return wanted or int(limit)


def _check_template(text: str) -> None:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(text)} - {None}
    except ValueError:
        names = set()
    if text not in TEXTS and ("completion" not in names or not names <= {"prompt", "completion"}):
        raise ConfigurationError(
            f"text={text!r}: expected 'completion', 'pair', 'chat' or a template such as '{{prompt}} {{completion}}'"
        )


def _read_labels(folder: Path) -> dict[int, str]:
    """The labels of a local classifier, which must have its weights as safetensors."""
    if not (folder / "config.json").is_file():
        raise ConfigurationError(f"{str(folder)!r} is no folder with a classifier: it has no config.json")
    if not any(folder.glob("*.safetensors")):
        has_pickle = any(path.suffix in (".bin", ".pt", ".pth") for path in folder.iterdir())
        advice = _CONVERSION.format(str(folder)) if has_pickle else "expected model.safetensors beside config.json"
        raise ConfigurationError(f"{str(folder)!r} has no weights as safetensors: {advice}")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    labels = config.get("id2label") or {index: f"LABEL_{index}" for index in range(config.get("num_labels", 2))}
    return {int(index): name for index, name in labels.items()}


def _choose_column(labels: Mapping[int, str], label: str | None, output: str | None, source: str) -> int:
    if label is not None and label not in labels.values():
        raise unknown_name(f"label of the classifier {source!r}", label, labels.values())
    if len(labels) == 1:
        if output is not None:
            raise ConfigurationError(f"{source!r} has one label, which pays its logit; leave out output={output!r}")
        return 0
    if label is None or output is None:
        raise ConfigurationError(
            f"{source!r} has the labels {', '.join(map(repr, labels.values()))}: choose one, label=..., and what it "
            "pays, output='probability' (0 to 1) or output='log_odds' (unbounded)"
        )
    return next(index for index, name in labels.items() if name == label)


def _load(settings: ClassifierReward) -> tuple[Any, Any]:
    """The tokenizer and the model, in evaluation mode, on the device."""
    try:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise missing_dependency("transformers", "lm", "ClassifierReward") from error
    source, options = settings.path_or_name, {"revision": settings.revision or "main", "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        if len(tokenizer) <= len(tokenizer.all_special_ids):  # transformers makes one up for a folder without any
            raise ValueError("it has no tokenizer")
        with quiet():
            model, info = AutoModelForSequenceClassification.from_pretrained(
                source, use_safetensors=True, output_loading_info=True, **options
            )
    except Exception as error:  # a damaged file is a SafetensorError, which is no OSError
        advice = "" if Path(source).exists() else f"; {_CONVERSION.format(source)}"
        raise ConfigurationError(
            f"no classifier could be loaded from {source!r}: expected a folder with config.json, model.safetensors "
            f"and a tokenizer, or a hub name ({type(error).__name__}: {str(error).partition(chr(10))[0]}){advice}"
        ) from error
    if info["missing_keys"]:  # transformers fills them with random numbers
        raise ConfigurationError(f"{source!r} is no trained classifier: no weights for {sorted(info['missing_keys'])}")
    device = settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return tokenizer, model.to(device=device, dtype=getattr(torch, settings.dtype)).eval()
    except (AssertionError, RuntimeError) as error:
        raise ConfigurationError(f"device={device!r} cannot be used here: {error}") from error
