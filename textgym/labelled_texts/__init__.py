"""Sequence classifiers fitted to labelled texts: trained, tested, checked for bias, and saved as a reward."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError
from textgym.folders import replace_folder
from textgym.keys import spawn_seed
from textgym.labelled_texts.bias import WORD_PAIRS, WordBias, WordPair, check_bias, read_word_pairs
from textgym.labelled_texts.quality import ClassifierQuality, fit_temperature, log_softmax
from textgym.labelled_texts.rows import LabelledTexts, TextSplit, read_labelled
from textgym.labelled_texts.settings import ClassifierSettings
from textgym.quietness import quiet

if TYPE_CHECKING:
    from textgym.labelled_texts.fitting import Epoch

__all__ = [
    "CARD",
    "WORD_PAIRS",
    "ClassifierSettings",
    "LabelledTexts",
    "TrainedClassifier",
    "WordPair",
    "read_labelled",
    "read_word_pairs",
    "train_classifier",
]

CARD = "card.json"
FORMAT = "textgym classifier 1"
SHARES = (0.25, 0.5)  # of the training texts, for the curve
UNBALANCED = 3.0
MOST_WARNINGS = 5

Tell = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class TrainedClassifier:
    """A classifier, and what is known of it.

    Attributes:
        model: Of ``transformers``, in evaluation mode.
        tokenizer: Its tokenizer.
        data: What it was fitted to.
        split: Which rows were for what.
        settings: How it was fitted.
        seed: Of all that was drawn.
        length: The most tokens of a text that it reads.
        history: What each epoch brought.
        quality: On the test texts.
        raw_calibration_error: What the calibration error would have been without calibration.
        temperature: What the logits were divided by.
        curve: Training texts -> accuracy on the test texts, from few to all.
        bias: The word pairs, the largest difference first.
    """

    model: Any
    tokenizer: Any
    data: LabelledTexts
    split: TextSplit
    settings: ClassifierSettings
    seed: int
    length: int
    history: Sequence[Epoch]
    quality: ClassifierQuality
    raw_calibration_error: float
    temperature: float
    curve: dict[int, float]
    bias: Sequence[WordBias]

    @property
    def alarms(self) -> list[str]:
        """What should be looked at before anything is trained on this classifier, in plain words."""
        found = [f"bias, {finding}" for finding in self.bias if finding.is_alarming]
        if self.quality.accuracy <= self.quality.baseline:
            found.insert(0, "it is no better than always saying the commonest label")
        counts = self.data.counts
        if max(counts.values()) > UNBALANCED * min(counts.values()) and not self.settings.balance:
            found.append(
                f"the labels are unbalanced ({_listed(counts)}); balance=True, --fit balance=true, weighs them alike"
            )
        if self.data.contradictions:
            found.append(f"{self.data.contradictions} texts have two different labels")
        return found

    def predict(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """``(N, K)`` probabilities of the labels."""
        from textgym.labelled_texts.fitting import encode, predict

        rows = encode(self.tokenizer, texts, self.length)
        return np.exp(log_softmax(predict(self.model, rows, self.tokenizer.pad_token_id)))

    def card(self) -> dict[str, Any]:
        """All that is known of it, in values that JSON knows."""
        import torch
        import transformers

        import textgym

        return {
            "format": FORMAT,
            "labels": list(self.data.names),
            "data": {
                "source": self.data.source,
                "sha256": self.data.hash,
                "counts": self.data.counts,
                "contradictions": self.data.contradictions,
            },
            "split": {name: len(rows) for name, rows in vars(self.split).items()},
            "seed": self.seed,
            "settings": asdict(self.settings),
            "max_length": self.length,
            "history": [asdict(epoch) for epoch in self.history],
            "test": self.quality.to_dict(),
            "temperature": self.temperature,
            "calibration_error_before": self.raw_calibration_error,
            "curve": {str(count): accuracy for count, accuracy in self.curve.items()},
            "bias": [finding.to_dict() for finding in self.bias],
            "alarms": self.alarms,
            "versions": {
                "textgym": textgym.__version__,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "python": platform.python_version(),
            },
        }

    def save(self, folder: str | Path) -> None:
        """Writes a folder that ``ClassifierReward`` and ``transformers`` read, with ``card.json`` beside the weights.

        A reader sees the old folder or the new one, never a part.

        Raises:
            ConfigurationError: if something else stands there, or it cannot be written.
        """
        path = check_place(folder)
        scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            scratch.mkdir(parents=True)
            with quiet():
                self.model.save_pretrained(scratch)
            self.tokenizer.save_pretrained(scratch)
            card = json.dumps(self.card(), indent=2, ensure_ascii=False)
            (scratch / CARD).write_text(card + "\n", encoding="utf-8")
            replace_folder(scratch, path)
        except OSError as error:
            raise ConfigurationError(f"the classifier {str(path)!r} cannot be written: {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def reward(self, folder: str | Path, label: str | None = None) -> dict[str, str]:
        """What to pass as ``reward=``, for the folder that it was saved in; the last label where none is named."""
        return {"name": str(folder), "label": label or self.data.names[-1], "output": "log_odds"}


def train_classifier(
    data: LabelledTexts,
    settings: ClassifierSettings | None = None,
    *,
    seed: int = 0,
    pairs: Sequence[WordPair] = WORD_PAIRS,
    tell: Tell | None = None,
) -> TrainedClassifier:
    """Fits a sequence classifier to labelled texts, and tests it on texts that it has not seen.

    The same data, settings and seed give the same weights on the same machine.

    Args:
        data: The texts (:func:`~textgym.labelled_texts.rows.read_labelled`).
        settings: How; by default a tiny transformer with random weights.
        seed: Of all that is drawn.
        pairs: Words for the bias check.
        tell: Is told after each stage how it went.

    Raises:
        ConfigurationError: for a model that cannot be loaded or calibrated.
        TrainingError: if a loss is no number.
        MissingDependencyError: without torch and transformers.
    """
    from textgym.labelled_texts.stages import Stages

    settings = settings or ClassifierSettings()
    stages = Stages(data, settings, seed, tell or (lambda line: None))
    curve = {}
    for share in SHARES if settings.curve else ():
        rows = stages.part(share)
        curve[len(rows)] = stages.fit(rows).measure().accuracy
    fitted = stages.fit(stages.split.train)
    raw = fitted.measure()
    temperature = fit_temperature(*fitted.validate()) if settings.calibrate else 1.0
    fitted.cool(temperature)
    quality = fitted.measure()
    rng = np.random.default_rng(spawn_seed(seed, "labelled texts", "bias"))
    held_out = [data.texts[row] for side in (stages.split.validation, stages.split.test) for row in side.tolist()]
    return TrainedClassifier(
        model=fitted.model,
        tokenizer=fitted.tokenizer,
        data=data,
        split=stages.split,
        settings=settings,
        seed=seed,
        length=fitted.length,
        history=fitted.history,
        quality=quality,
        raw_calibration_error=raw.calibration_error,
        temperature=temperature,
        curve={**curve, len(stages.split.train): quality.accuracy} if settings.curve else {},
        bias=check_bias(fitted.predict, held_out, data.names, rng, pairs=pairs),
    )


def check_place(folder: str | Path) -> Path:
    """The folder, if a classifier may be written there.

    Raises:
        ConfigurationError: if something else stands there.
    """
    path = Path(folder)
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or _is_own(path))):
        raise ConfigurationError(
            f"{str(path)!r} exists and holds no classifier of textgym, so it is not replaced; name another folder"
        )
    return path


def _is_own(folder: Path) -> bool:
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(card, dict) and card.get("format") == FORMAT


def _listed(counts: dict[str, int]) -> str:
    some = [f"{name}: {count:,}" for name, count in sorted(counts.items(), key=lambda item: -item[1])]
    return ", ".join(some if len(some) <= MOST_WARNINGS else [*some[:2], "...", some[-1]])
