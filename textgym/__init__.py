"""textgym: reinforcement learning on text, as Gymnasium environments.

Importing the package registers its environment ids and imports neither torch nor anything optional.
"""

from __future__ import annotations

import importlib
from typing import Any

from textgym.registration import register_all

__version__ = "0.1.0"

_LAZY = {
    "TextGenerationEnv": "textgym.env",
    "TextGenerationVectorEnv": "textgym.vector_env",
    "EnvFactory": "textgym.factory",
    "Evaluation": "textgym.evaluation",
    "evaluate": "textgym.evaluation",
    "generate": "textgym.writing",
    "normalized_score": "textgym.evaluation",
    "score": "textgym.writing",
}
_SUBMODULES = (
    "agents annotators audit automata benchmarks biases checks cli colours comparison_files comparisons "
    "configuration constraints core davidson env episodes errors evaluation exact factory feedback glossary "
    "grammars huggingface_models integrations keys language_models metrics ngrams observations overlap pictures "
    "playing prompts registration rendering returns rewards scales scoring task tasks text_scores tokenizers "
    "vector_env wrappers writing"
).split()

__all__ = ["__version__", *_LAZY]

register_all()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"textgym.{name}")
    raise AttributeError(f"module 'textgym' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY, *_SUBMODULES])
