"""The keyword arguments of ``gym.make``, read and checked in one place for both environments."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from textgym import tasks
from textgym.episodes import Score
from textgym.errors import ConfigurationError, UnknownNameError, suggestion, unknown_name
from textgym.prompts import PromptSource, load_prompts
from textgym.rewards import resolve_reward
from textgym.scoring import Scorer
from textgym.task import Task
from textgym.tokenizers import Tokenizer, fingerprint

OBSERVATIONS = ("tokens", "dict", "one_hot", "text")
REWARD_TIMINGS = ("end", "turn", "step")
LARGE_VOCABULARY = 1024
"""Above this many ids the default observation is a dict, and a fixed mask is not repeated in every info."""


@dataclass(frozen=True)
class EnvConfig:
    """What an environment is made of; see :func:`configure` for the meaning of the fields."""

    task: Task
    split: str
    observation: str
    reward_timing: str
    illegal_reward: float | None
    on_reward_error: str
    gold: bool
    include_mask: bool

    def scorer(self) -> Scorer:
        """A new scorer, so that every environment counts its own failures."""
        return Scorer(self.task.reward, illegal_reward=self.illegal_reward, on_error=self.on_reward_error)


def configure(
    task: str | Task = "Reviews",
    *,
    level: str | None = None,
    split: str | None = None,
    prompts: PromptSource | None = None,
    tokenizer: Tokenizer | str | dict[str, Any] | None = None,
    reward: Score | str | dict[str, Any] | None = None,
    max_new_tokens: int | None = None,
    max_prompt_tokens: int | None = None,
    observation: str | None = None,
    reward_timing: str = "end",
    illegal_reward: float | None = None,
    on_reward_error: str = "raise",
    gold: bool = False,
    include_mask: bool | None = None,
    **options: Any,
) -> EnvConfig:
    """Checks the arguments of an environment and fills in the defaults.

    Args:
        task: A registered task, or a :class:`~textgym.task.Task`.
        level: Level of the task, such as "tiny" or "easy".
        split: "train", "test" or "all"; by default "train" where the prompts declare splits, else "all".
        prompts: A list, a path to a CSV, JSONL, Parquet or text file, a Hugging Face dataset, or a dict that names
            columns (:func:`textgym.prompts.load_prompts`).
        tokenizer: A tokenizer, "word", "char", "byte", a folder with ``tokenizer.json`` or a dict.
        reward: A reward, a registered name, a dict with "name", "module:function", or a model folder.
        max_new_tokens: T, the token budget of a text, its end id included.
        max_prompt_tokens: P, the width of the prompt; by default the longest prompt over all splits.
        observation: "tokens" (default up to 1,024 ids), "dict" (default above), "one_hot" or "text".
        reward_timing: "end" pays the score once; "step" pays its change at every step, "turn" after every turn of
            a conversation; same sum.
        illegal_reward: Paid for an illegal token; by default the lower end of the reward's range, else -1.0.
        on_reward_error: "raise", or "mark" failed rewards as invalid and pay ``illegal_reward``.
        gold: Put the true score (and success) of ended texts into info.
        include_mask: Put the action mask into infos and dict observations; by default unless it is both
            fixed and longer than 1,024.
        **options: The task's own arguments (:attr:`textgym.task.Task.options`); others are errors with a suggestion.

    Raises:
        UnknownNameError: for an argument or a name that does not exist.
        ConfigurationError: for values that cannot work together.
    """
    if not isinstance(task, str | Task):
        raise ConfigurationError(f"task={task!r}: expected the name of a task or a textgym.task.Task")
    if not isinstance(level, str | None):
        raise ConfigurationError(f"level={level!r}: expected the name of a level, such as 'tiny'")
    problem = tasks.get(task, level) if isinstance(task, str) else task.at(level)
    if options.keys() - set(problem.options):
        _refuse(options, problem)
    problem = problem.with_options(options).override(
        prompts=None if prompts is None else load_prompts(prompts),
        tokenizer=tokenizer,
        reward=None if reward is None else resolve_reward(reward, level=problem.level),
        max_new_tokens=max_new_tokens,
        max_prompt_tokens=max_prompt_tokens,
    )
    _check_binding(problem, overridden=tokenizer is not None)
    size = problem.tokenizer.vocab_size
    observation = observation or ("tokens" if size <= LARGE_VOCABULARY else "dict")
    if observation not in OBSERVATIONS:
        raise unknown_name("observation", observation, OBSERVATIONS)
    if reward_timing not in REWARD_TIMINGS:
        raise unknown_name("reward_timing", reward_timing, REWARD_TIMINGS)
    if reward_timing != "end" and getattr(problem.reward, "stochastic", False):
        raise ConfigurationError(
            f"reward_timing={reward_timing!r} needs a deterministic reward: differences of noisy scores do not add up"
        )
    for name, value in (("gold", gold), ("include_mask", include_mask)):
        if not isinstance(value, bool | None):
            raise ConfigurationError(f"{name}={value!r}: expected True or False")
    if include_mask is None:
        include_mask = size <= LARGE_VOCABULARY or not all(rule.static for rule in problem.constraints)
    split = problem.default_split if split is None else split
    problem.prompts.rows(split)  # an unknown or empty split is an error now, not at the first reset
    return EnvConfig(
        problem, split, observation, reward_timing, illegal_reward, on_reward_error, bool(gold), bool(include_mask)
    )


def _refuse(options: dict[str, Any], task: Task) -> None:
    known = [name for name, p in inspect.signature(configure).parameters.items() if p.kind is not p.VAR_KEYWORD]
    known += ["render_mode", *task.options]
    name = next(name for name in options if name not in task.options)
    raise UnknownNameError(f"unknown argument {name!r}.{suggestion(name, known)} Known: {', '.join(sorted(known))}.")


def _check_binding(task: Task, *, overridden: bool) -> None:
    bound = getattr(task.reward, "tokenizer_fingerprint", None)
    if bound is not None and bound != fingerprint(task.tokenizer):
        hint = "pass reward= together with tokenizer=" if overridden else "use it with the tokenizer it was fitted on"
        raise ConfigurationError(
            f"the reward {task.reward!r} was fitted on another vocabulary than {task.tokenizer!r}; {hint}"
        )
