"""Fitting a reward model to comparisons: split, members, scale and card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.comparisons import Comparison
from textgym.davidson import TIE
from textgym.errors import ConfigurationError, missing_dependency, unknown_name
from textgym.keys import spawn_seed
from textgym.preference_models.judgements import (
    Judgements,
    Problem,
    PromptSplit,
    hash_comparisons,
    read_judgements,
    split_by_prompt,
)
from textgym.preference_models.judging import Judging
from textgym.preference_models.measures import brier_score, error_of_mean, hits, log_loss
from textgym.preference_models.model import Member, Place, RewardModel
from textgym.preference_models.ngram_members import NGramMember, fit_ngram_member
from textgym.preference_models.settings import KINDS, FitSettings, make_settings
from textgym.tokenizers import fingerprint


def fit_preferences(
    comparisons: Iterable[Comparison],
    problem: Problem,
    *,
    kind: str = "ngram",
    ensemble: int = 1,
    seed: int = 0,
    holdout: float = 0.2,
    refit: bool = True,
    env_id: str = "",
    env_kwargs: Mapping[str, Any] | None = None,
    settings: FitSettings | None = None,
    **changes: Any,
) -> RewardModel:
    """Fits a reward model to comparisons.

    Some prompts are held out first (:func:`~textgym.preference_models.judgements.split_by_prompt`) and measure a model
    of the rest; what is returned has then learned from all of them, unless ``refit=False``.

    Args:
        comparisons: What somebody said. Ties count, skipped ones do not.
        problem: A task, or :class:`~textgym.preference_models.judgements.Texts`: vocabulary and prompts.
        kind: "ngram", "mlp", "gru", "transformer", or a folder with a Hugging Face model.
        ensemble: Number of members. Those of an ensemble differ in seed and resample of the comparisons.
        seed: Of all that is random.
        holdout: Share of the prompts that is held out; 0 for none.
        refit: Whether the held-out prompts are learned from in the end.
        env_id: The environment of the texts, for the card.
        env_kwargs: Its arguments.
        settings: How each member is fitted.
        **changes: Fields of the settings that differ from their defaults.

    Returns:
        The model. Its rewards have mean 0 and standard deviation 1 over the distinct texts that it learned from.

    Raises:
        ConfigurationError: for settings that cannot work, and comparisons from which nothing can be learned.
        UnknownNameError: for another kind or setting.
        MissingDependencyError: for a network without torch.

    Example:
        >>> from textgym.tasks import get
        >>> task = get("Reviews", "tiny")
        >>> said = Comparison(prompt="praise the movie", left="was great", right="was", choice="left")
        >>> model = fit_preferences([said] * 20, task, holdout=0.0, minimum_count=1)
        >>> model.kind, len(model.places)
        ('ngram', 1)
    """
    chosen = make_settings(changes, settings)
    source = check_kind(kind, ensemble)
    given = list(comparisons)
    judgements = read_judgements(given, problem)
    rng = np.random.default_rng(spawn_seed(seed, "reward model", "split"))
    split = split_by_prompt(judgements, rng, share=holdout)
    fit = _Fit(kind if source is None else "head", source, ensemble, seed, chosen)
    whole = np.ones(len(judgements), dtype=bool)
    measured = fit.run(judgements, split.train)
    final = fit.run(judgements, whole) if refit and split.test.any() else measured
    card = {
        **_describe(given, judgements, env_id, env_kwargs or {}, keep_words=fit.kind == "ngram"),
        "split": _describe_split(split, holdout, refit),
        "seed": seed,
        "settings": {**asdict(chosen), "source": source or "", "ensemble": ensemble},
        "metrics": _measure(judgements, split, measured),
    }
    return RewardModel(fit.kind, final.places, card, chosen.limit)


def check_kind(kind: str, ensemble: int = 1) -> str | None:
    """The folder of a Hugging Face model, or None for a kind of our own.

    Raises:
        ConfigurationError: for no member.
        UnknownNameError: for another kind.
        MissingDependencyError: for a network without torch.
    """
    if isinstance(ensemble, bool) or not isinstance(ensemble, int) or ensemble < 1:
        raise ConfigurationError(f"ensemble={ensemble!r}: expected a whole number of at least 1")
    source = None if kind in KINDS else str(kind)
    if source is not None and not Path(source).is_dir():
        raise unknown_name("kind of reward model (and no such folder)", kind, KINDS)
    if kind != "ngram" and find_spec("torch") is None:
        raise missing_dependency("torch", "lm", f"a reward model of kind {kind!r}")
    return source


@dataclass(frozen=True)
class _Fit:
    """How members are fitted."""

    kind: str
    source: str | None
    ensemble: int
    seed: int
    settings: FitSettings

    def run(self, judgements: Judgements, rows: NDArray[np.bool_]) -> RewardModel:
        """A model of some of the judgements, without a card."""
        chosen = judgements.take(rows)
        if not (chosen.outcomes != TIE).any():
            raise ConfigurationError(
                f"{len(chosen)} judgements to learn from, none of which prefers a text: expected some that do"
                + ("" if rows.all() else "; gather more, or pass holdout=0.0")
            )
        texts = np.unique(np.concatenate([chosen.left, chosen.right]))
        places = tuple(self._place(chosen, texts, number) for number in range(self.ensemble))
        bound = {"fingerprint": fingerprint(judgements.texts.tokenizer)}
        return RewardModel(self.kind, places, {"tokenizer": bound}, self.settings.limit)

    def _place(self, judgements: Judgements, texts: NDArray[np.int64], number: int) -> Place:
        seed = spawn_seed(self.seed, "reward model", f"member {number}")
        member, judging = self._member(self._resample(judgements, seed), seed)
        scores = member.score(judgements.texts.take(texts))
        center, spread = float(scores.mean()), float(scores.std())
        spread = spread if spread > 1e-9 else 1.0
        judging = replace(judging, sharpness=spread)
        if isinstance(member, NGramMember):
            return Place(member.rescaled(center, spread, self.settings.limit), 0.0, 1.0, judging, seed)
        return Place(member, center, spread, judging, seed)

    def _resample(self, judgements: Judgements, seed: int) -> Judgements:
        """For an ensemble as many judgements drawn with replacement, at least one of them decided."""
        if self.ensemble == 1:
            return judgements
        rng = np.random.default_rng(seed)
        while True:
            found = judgements.take(rng.integers(len(judgements), size=len(judgements)))
            if (found.outcomes != TIE).any():
                return found

    def _member(self, judgements: Judgements, seed: int) -> tuple[Member, Judging]:
        if self.kind == "ngram":
            return fit_ngram_member(judgements, self.settings)
        if self.source is not None:
            from textgym.preference_models.head_members import fit_head

            return fit_head(self.source, judgements, self.settings, seed)
        from textgym.preference_models.network_members import fit_network

        return fit_network(self.kind, judgements, self.settings, seed)


# ---- the card ------------------------------------------------------------------------------------------------------


def _describe(
    given: list[Comparison], judgements: Judgements, env_id: str, env_kwargs: Mapping[str, Any], *, keep_words: bool
) -> dict[str, Any]:
    tokenizer = judgements.texts.tokenizer
    return {
        "env_id": env_id,
        "env_kwargs": dict(env_kwargs),
        "tokenizer": {
            "fingerprint": fingerprint(tokenizer),
            "vocab_size": tokenizer.vocab_size,
            "eos_ids": list(tokenizer.eos_ids),
            "vocabulary": list(tokenizer.tokens) if keep_words else [],
        },
        "data": {
            "hash": hash_comparisons(given),
            "judgements": len(judgements),
            "skipped": judgements.skipped,
            "ties": int((judgements.outcomes == TIE).sum()),
            "texts": len(judgements.texts),
            "prompts": len(np.unique(judgements.prompts)),
        },
    }


def _describe_split(split: PromptSplit, holdout: float, refit: bool) -> dict[str, Any]:
    return {
        "unit": split.unit,
        "holdout": holdout,
        "held_out": list(split.held_out),
        "refitted": bool(refit and split.test.any()),
        "judgements": int(split.test.sum()),
    }


def _measure(judgements: Judgements, split: PromptSplit, model: RewardModel) -> dict[str, Any]:
    """How well the model of the training prompts explains them, and the held-out ones."""
    found = {"training": quick_measures(model, judgements.take(split.train))}
    if split.test.any():
        found["held out"] = quick_measures(model, judgements.take(split.test))
    return found


def quick_measures(model: RewardModel, judgements: Judgements) -> dict[str, float]:
    """Log-loss, Brier score and accuracy of a model on judgements, and how sure the last is; pairs count as one."""
    scores = model.member_scores(judgements.texts)
    names = [judgements.names[place] for place in judgements.annotators.tolist()]
    table = model.predict(scores[:, judgements.left], scores[:, judgements.right], names)
    right = hits(table, judgements.outcomes)
    return {
        "judgements": float(len(judgements)),
        "log loss": log_loss(table, judgements.outcomes),
        "Brier": brier_score(table, judgements.outcomes),
        "accuracy": float(right.mean()),
        "its standard error": error_of_mean(right, judgements.pairs),
    }
