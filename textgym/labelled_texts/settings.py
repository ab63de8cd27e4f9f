"""How a classifier is fitted to labelled texts."""

from __future__ import annotations

from dataclasses import dataclass

from textgym.errors import ConfigurationError, unknown_name

TINY = "tiny"
TOKENIZERS = ("word", "bpe")
_WHOLE = {"vocabulary": 300, "width": 1, "layers": 1, "heads": 1, "max_length": 4, "batch_size": 1}


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """How a classifier is fitted.

    Attributes:
        model: ``"tiny"``, a small transformer with random weights, or a folder or hub name of ``transformers`` with
            safetensors, whose head is replaced where it has other labels.
        tokenizer: Of ``"tiny"``: ``"word"`` or ``"bpe"`` (:func:`~textgym.labelled_texts.vocabulary.make_tokenizer`).
        vocabulary: The most ids of that tokenizer.
        width: Numbers a token of ``"tiny"``.
        layers: Of ``"tiny"``.
        heads: Of its attention.
        dropout: Share of the activations of ``"tiny"`` that are left out while it learns.
        unknown: Share of the words that are replaced by the unknown token while ``"tiny"`` learns, so that it knows
            what to make of one.
        max_length: The most tokens of a text that are read; ``"tiny"`` reads as many as its longest training text has,
            and no more.
        epochs: The most passes over the texts; by default 60, or 4 for a model that knows language already.
        patience: Passes without a lower loss on the validation texts, by 0.001 at least, after which it ends;
            by default 8, or 2 for a model that knows language already.
        batch_size: Texts in one step.
        learning_rate: By default 0.001, or 0.00003 for a model that knows language already.
        weight_decay: Of AdamW.
        balance: Whether each label weighs the same in the loss, however many texts it has.
        calibrate: Whether logits are divided by the temperature that suits the validation texts.
        curve: Whether to fit to a quarter and to half of the texts as well, to see what more texts would bring.
        validation: Share of the texts for early stopping and calibration.
        test: Share of the texts for the report alone.
        device: ``"auto"`` (cuda where there is one, else cpu) or a torch device.

    Raises:
        ConfigurationError: for a value that cannot work.

    Example:
        >>> ClassifierSettings(model="tiny", balance=True).most_epochs
        60
    """

    model: str = TINY
    tokenizer: str = "word"
    vocabulary: int = 8_000
    width: int = 64
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1
    unknown: float = 0.03
    max_length: int = 128
    epochs: int | None = None
    patience: int | None = None
    batch_size: int = 32
    learning_rate: float | None = None
    weight_decay: float = 0.01
    balance: bool = False
    calibrate: bool = True
    curve: bool = False
    validation: float = 0.15
    test: float = 0.15
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.tokenizer not in TOKENIZERS:
            raise unknown_name("tokenizer of a tiny classifier", self.tokenizer, TOKENIZERS)
        if not isinstance(self.model, str) or not self.model:
            raise ConfigurationError(f"model={self.model!r}: expected {TINY!r} or the folder of a model")
        for name, least in {**_WHOLE, "epochs": 1, "patience": 1}.items():
            value = getattr(self, name)
            if not (name not in _WHOLE and value is None) and (type(value) is not int or value < least):
                raise ConfigurationError(f"{name}={value!r}: expected a whole number of at least {least}")
        if self.width % self.heads:
            raise ConfigurationError(f"width={self.width} and heads={self.heads}: expected a multiple of the heads")
        for name in ("dropout", "unknown", "validation", "test"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected a share from 0 to 1")
        if not (self.validation > 0.0 and self.test > 0.0 and self.validation + self.test <= 0.8):
            raise ConfigurationError(
                f"validation={self.validation} and test={self.test}: expected both above 0, and something left to learn"
            )
        if not self.rate > 0.0 or not self.weight_decay >= 0.0:
            raise ConfigurationError(f"learning_rate={self.rate}, weight_decay={self.weight_decay}: expected more")

    @property
    def is_tiny(self) -> bool:
        """Whether the model begins with random weights."""
        return self.model == TINY

    @property
    def most_epochs(self) -> int:
        """The most passes over the texts."""
        return self.epochs or (60 if self.is_tiny else 4)

    @property
    def most_waiting(self) -> int:
        """Passes without a lower loss after which it ends."""
        return self.patience or (8 if self.is_tiny else 2)

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.learning_rate if self.learning_rate is not None else 1e-3 if self.is_tiny else 3e-5
