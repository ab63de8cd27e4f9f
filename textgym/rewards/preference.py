"""A reward model learned from comparisons, as a reward.

The files that ship with textgym are linear in n-grams (:mod:`textgym.ngrams`): such a model knows no more of a text
than pairs of neighbours, so it can be hacked, and that is what it is for. Models of one's own
(:mod:`textgym.preference_models`) are folders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.automata import Automaton
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, unknown_name
from textgym.ngrams import NGramModel
from textgym.preference_models.cards import is_reward_model, refuse_pickle
from textgym.preference_models.model import COEFFICIENT, RewardModel, check_aggregate
from textgym.preference_models.ngram_members import NGramScorer
from textgym.prompts import PromptTable
from textgym.tokenizers import Tokenizer

Floats = NDArray[np.float64]
ScoreOne = Callable[[PromptTable, int, list[int]], float]
MakeAutomaton = Callable[[PromptTable, int, Tokenizer], Automaton]

_ASSETS = Path(__file__).parent.parent / "assets"


@dataclass(frozen=True)
class PreferenceReward:
    """Scores texts by a model that was learned from comparisons.

    Attributes:
        path: A folder that :meth:`textgym.preference_models.RewardModel.save` wrote, or a ``.safetensors`` file of
            :meth:`NGramModel.save`.
        aggregate: How the members of an ensemble are made one: "mean", "worst" or "mean_minus_variance".
        coefficient: What a unit of variance costs in the last of these.

    Raises:
        ConfigurationError: for a file that is missing, of another kind (pickles are never read), or learned
            for another vocabulary.
        UnknownNameError: for another aggregate.

    Example:
        >>> reward = shipped(level="tiny")
        >>> reward.range[0] < reward.range[1]
        True
    """

    path: str
    aggregate: str = "mean"
    coefficient: float = COEFFICIENT
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", str(self.path))
        check_aggregate(self.aggregate, self.coefficient)
        refuse_pickle(Path(self.path))
        if not is_reward_model(Path(self.path)) and not Path(self.path).is_file():
            raise ConfigurationError(
                f"the preference model {self.path!r} does not exist; expected a .safetensors file, or a folder with "
                "card.json and model.safetensors"
            )

    @classmethod
    def from_model(
        cls, model: NGramModel | RewardModel, *, aggregate: str = "mean", coefficient: float = COEFFICIENT
    ) -> PreferenceReward:
        """A reward that lives in memory only, for trying a fresh fit; it cannot be pickled."""
        check_aggregate(aggregate, coefficient)
        reward = object.__new__(cls)
        for name, value in (("path", ""), ("aggregate", aggregate), ("coefficient", coefficient)):
            object.__setattr__(reward, name, value)
        object.__setattr__(reward, "_cache", {})
        reward._take(model)
        return reward

    @property
    def model(self) -> NGramModel:
        """The weights of the n-grams, read on first use.

        Raises:
            ConfigurationError: where the model is not one of n-grams.
        """
        scorer = self._scorer
        if scorer is None:
            raise ConfigurationError(f"the preference model {self.path!r} is not one n-gram model: see reward_model")
        return scorer.model

    @property
    def reward_model(self) -> RewardModel | None:
        """The model of a folder, read on first use; None for a file."""
        self._read()
        model: RewardModel | None = self._cache["reward_model"]
        return model

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest score."""
        model = self.reward_model
        return self.model.range if model is None else model.range

    @property
    def tokenizer_fingerprint(self) -> str | None:
        """The one vocabulary that the model knows; None for one that reads strings."""
        model = self.reward_model
        return self.model.tokenizer_fingerprint if model is None else model.tokenizer_fingerprint

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts."""
        if "call" not in self._cache:
            self._read()
        scores: Floats = self._cache["call"](batch)
        return scores

    @property
    def score_one(self) -> ScoreOne:
        """``(prompts, prompt_index, ids) -> float``: one text, bit for bit as in a batch; of n-gram models alone."""
        return self._ngrams("score_one").score_one

    @property
    def automaton(self) -> MakeAutomaton:
        """``(prompts, prompt_index, tokenizer)``: the score as a finite machine; of n-gram models alone."""
        return self._ngrams("automaton").automaton

    @property
    def _scorer(self) -> NGramScorer | None:
        self._read()
        scorer: NGramScorer | None = self._cache["scorer"]
        return scorer

    def _ngrams(self, name: str) -> NGramScorer:
        scorer = self._scorer
        if scorer is None:
            raise AttributeError(f"the preference model {self.path!r} has no {name}: it is not one n-gram model")
        return scorer

    def _read(self) -> None:
        if "call" not in self._cache:
            folder = Path(self.path)
            self._take(RewardModel.load(folder) if is_reward_model(folder) else NGramModel.load(self.path))

    def _take(self, model: NGramModel | RewardModel) -> None:
        if isinstance(model, NGramModel):
            scorer = NGramScorer(model, self.path)
            self._cache.update(reward_model=None, scorer=scorer, call=scorer.score)
            return
        combined = model.combined(self.aggregate, self.coefficient)
        single = None if combined.ngrams is None else NGramScorer(combined.ngrams.model, self.path)
        call = combined.score if single is None else single.score
        self._cache.update(reward_model=combined, scorer=single, call=call)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "aggregate": self.aggregate, "coefficient": self.coefficient, "_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> PreferenceReward:
        return self


def shipped(name: str = "reviews", level: str | None = None) -> PreferenceReward:
    """The learned reward that ships with a task's level.

    Raises:
        UnknownNameError: if no such model ships.
    """
    wanted = f"{name}-{level or 'easy'}"
    known = [path.stem for path in _ASSETS.glob("*.safetensors")]
    if wanted not in known:
        raise unknown_name("shipped preference model", wanted, known)
    return PreferenceReward(str(_ASSETS / f"{wanted}.safetensors"))
