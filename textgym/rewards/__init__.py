"""Rewards: what an agent is paid for a text. A reward is called with a batch and returns one number a text.

Names are looked up by :func:`resolve_reward`; modules are imported when one of their names is used, so
importing this package imports neither torch nor any other optional package.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textgym.episodes import Score
from textgym.errors import ConfigurationError, unknown_name
from textgym.importing import load_object

if TYPE_CHECKING:
    from textgym.rewards.classifier import ClassifierReward
    from textgym.rewards.combine import PerText, WeightedSum, as_reward
    from textgym.rewards.diversity import Diversity
    from textgym.rewards.fluency import CrossEntropy, Fluency
    from textgym.rewards.judge import JudgeAnnotator, JudgeReward
    from textgym.rewards.lexicon import VaderSentiment, WordScores
    from textgym.rewards.match import EditSimilarity, ExactMatch
    from textgym.rewards.numeric import SquaredError
    from textgym.rewards.overlap import Overlap
    from textgym.rewards.preference import PreferenceReward

__all__ = [
    "REWARDS",
    "ClassifierReward",
    "CrossEntropy",
    "Diversity",
    "EditSimilarity",
    "ExactMatch",
    "Fluency",
    "JudgeAnnotator",
    "JudgeReward",
    "Overlap",
    "PerText",
    "PreferenceReward",
    "SquaredError",
    "VaderSentiment",
    "WeightedSum",
    "WordScores",
    "as_reward",
    "resolve_reward",
]

_MODULES = {
    "ClassifierReward": "classifier",
    "CrossEntropy": "fluency",
    "Diversity": "diversity",
    "EditSimilarity": "match",
    "ExactMatch": "match",
    "Fluency": "fluency",
    "JudgeAnnotator": "judge",
    "JudgeReward": "judge",
    "Overlap": "overlap",
    "PerText": "combine",
    "PreferenceReward": "preference",
    "SquaredError": "numeric",
    "VaderSentiment": "lexicon",
    "WeightedSum": "combine",
    "WordScores": "lexicon",
    "as_reward": "combine",
}

REWARDS = {
    "reviews": "textgym.rewards.preference:shipped",
    "exact_match": "textgym.rewards.match:ExactMatch",
    "edit_similarity": "textgym.rewards.match:EditSimilarity",
    "overlap": "textgym.rewards.overlap:Overlap",
    "fluency": "textgym.rewards.fluency:Fluency",
    "cross_entropy": "textgym.rewards.fluency:CrossEntropy",
    "word_scores": "textgym.rewards.lexicon:WordScores",
    "vader": "textgym.rewards.lexicon:VaderSentiment",
    "diversity": "textgym.rewards.diversity:Diversity",
    "squared_error": "textgym.rewards.numeric:SquaredError",
    "classifier": "textgym.rewards.classifier:ClassifierReward",
    "preference": "textgym.rewards.preference:PreferenceReward",
    "judge": "textgym.rewards.judge:JudgeReward",
}
"""Names that ship with textgym. Other packages add theirs through the entry-point group ``textgym.rewards``."""

# PreferenceReward reads the first and refuses the others, which may hold pickles, with a message of its own.
_WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__


def resolve_reward(spec: object, *, level: str | None = None) -> Score:
    """Turns what a user may hand in as ``reward=`` into a reward.

    Args:
        spec: One of

            - a reward or a plain function, by the rule of :func:`~textgym.rewards.combine.as_reward`;
            - a name in :data:`REWARDS` or in the entry-point group ``textgym.rewards``;
            - ``"module:attribute"``: a reward, a plain function, or a class, which is then called; Python must be able
              to import the module (the command line adds the current folder to its path);
            - a folder with a transformers classifier (``config.json``);
            - a folder with a model learned from comparisons (``card.json``), or the ``.safetensors`` file of a
              :class:`~textgym.rewards.preference.PreferenceReward`;
            - ``{"name": any of these strings, **params}``; the params go to the class.
        level: The task's level, for rewards that ship one model a level (``"reviews"``).

    Raises:
        UnknownNameError: for a name that is none of these, with the nearest one.
        ConfigurationError: for something that is not a reward, or params that it does not take.

    Example:
        >>> resolve_reward({"name": "exact_match", "normalize": True})
        ExactMatch(normalize=True)
    """
    if isinstance(spec, Mapping):
        params = dict(spec)
        if "name" not in params:
            raise ConfigurationError(f"reward={dict(spec)!r}: expected the key 'name', as in {{'name': 'exact_match'}}")
        return _resolve_name(params.pop("name"), params, level)
    if isinstance(spec, str | Path):
        return _resolve_name(spec, {}, level)
    return _as_reward(spec)


def _resolve_name(name: object, params: dict[str, Any], level: str | None) -> Score:
    text = str(name)
    plugins = {plugin.name: plugin for plugin in entry_points(group="textgym.rewards")}
    if text == "reviews":
        return _build(load_object(REWARDS[text], "reward"), text, {"level": level, **params, "name": text})
    if text in REWARDS:
        return _build(load_object(REWARDS[text], "reward"), text, params)
    if text in plugins:
        return _from_object(_load_plugin(plugins[text]), text, params)
    if text and Path(text).is_dir():
        if (Path(text) / "card.json").is_file() and not (Path(text) / "config.json").is_file():
            return _build(load_object(REWARDS["preference"], "reward"), text, {"path": text, **params})
        return _build(load_object(REWARDS["classifier"], "reward"), text, {"path_or_name": text, **params})
    if Path(text).suffix.lower() in _WEIGHT_SUFFIXES:
        return _build(load_object(REWARDS["preference"], "reward"), text, {"path": text, **params})
    if ":" in text:
        return _from_object(load_object(text, "reward"), text, params)
    raise unknown_name("reward (and no such folder)", name, [*REWARDS, *plugins, "module:function"])


def _from_object(found: Any, name: str, params: dict[str, Any]) -> Score:
    if isinstance(found, type):
        return _build(found, name, params)
    if params:
        raise ConfigurationError(f"the reward {name!r} is not a class and takes no params, but got {sorted(params)}")
    return _as_reward(found)


def _build(factory: Callable[..., Any], name: str, params: dict[str, Any]) -> Score:
    parameters = inspect.signature(factory).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for key in params:
        if not takes_any and key not in {parameter.name for parameter in named}:
            raise unknown_name(f"param of the reward {name!r}", key, [parameter.name for parameter in named])
    missing = [p.name for p in named if p.default is p.empty and p.name not in params]
    if missing:
        example = f"{{'name': {name!r}, {missing[0]!r}: ...}}"
        raise ConfigurationError(f"the reward {name!r} needs {', '.join(missing)}: {example}")
    return _as_reward(factory(**params))


def _as_reward(found: object) -> Score:
    from textgym.rewards.combine import as_reward

    return as_reward(found)


def _load_plugin(plugin: EntryPoint) -> Any:
    try:
        return plugin.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"the reward {plugin.name!r} of another package cannot be loaded: {error}") from error
