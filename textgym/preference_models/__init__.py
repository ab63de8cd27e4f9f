"""Reward models learned from comparisons: n-grams, small networks and Hugging Face heads, alone or as ensembles.

:func:`fit_preferences` makes one, :class:`RewardModel` scores, saves and loads it, and
:class:`~textgym.rewards.preference.PreferenceReward` pays it. Importing this package imports no torch.
"""

from __future__ import annotations

from textgym.preference_models.fitting import fit_preferences
from textgym.preference_models.judgements import Judgements, Texts, read_judgements, split_by_prompt
from textgym.preference_models.judging import Judging
from textgym.preference_models.model import RewardModel
from textgym.preference_models.settings import FitSettings

__all__ = [
    "FitSettings",
    "Judgements",
    "Judging",
    "RewardModel",
    "Texts",
    "fit_preferences",
    "read_judgements",
    "split_by_prompt",
]
