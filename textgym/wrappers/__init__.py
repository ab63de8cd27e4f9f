"""Wrappers for single environments; :mod:`textgym.wrappers.vector` has their twins for vector environments."""

from textgym.wrappers.observation import LastTokens, OneHotTokens, PrefixState, TextObservation

__all__ = ["LastTokens", "OneHotTokens", "PrefixState", "TextObservation"]
