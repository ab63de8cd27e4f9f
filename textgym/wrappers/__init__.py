"""Wrappers for single environments; :mod:`textgym.wrappers.vector` has their twins for vector environments."""

from textgym.wrappers.action import CandidateActions
from textgym.wrappers.observation import LastTokens, OneHotTokens, PrefixState, TextObservation
from textgym.wrappers.reward import PotentialShaping, ReferenceLogProb, TokenCost

__all__ = [
    "CandidateActions",
    "LastTokens",
    "OneHotTokens",
    "PotentialShaping",
    "PrefixState",
    "ReferenceLogProb",
    "TextObservation",
    "TokenCost",
]
