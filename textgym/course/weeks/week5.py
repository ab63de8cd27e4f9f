"""Week 5: policy gradients by hand."""

from __future__ import annotations

from textgym.course.assignment import Assignment
from textgym.course.sandbox import FORBIDDEN
from textgym.course.weeks.week_baselines import BASELINE, DIVERGENCE
from textgym.course.weeks.week_reinforce import READINGS, SLOPES

TEMPLATE = '''"""Week 5: policy gradients by hand. Arrays are NumPy arrays; torch is welcome where it is installed."""

from __future__ import annotations

import numpy as np


def text_log_probs(logits: np.ndarray, tokens: np.ndarray, prompt_width: int, lengths: np.ndarray) -> np.ndarray:
    """The log-probability of each answer, (B,).

    logits (B, P + T, V): at place i about the token at place i + 1. tokens (B, P + T): P = prompt_width tokens of the
    prompt, then the answer, then padding, whose id is V. lengths (B,): tokens of each answer, its end included.
    """
    raise NotImplementedError


def policy_gradient(
    logits: np.ndarray, tokens: np.ndarray, lengths: np.ndarray, advantages: np.ndarray
) -> np.ndarray:
    """The gradient of mean(advantage * log-probability) with respect to the logits, (B, T, V).

    logits (B, T, V): at place t about the token at place t, there is no prompt. tokens (B, T), lengths (B,),
    advantages (B,).
    """
    raise NotImplementedError


def leave_one_out(returns: np.ndarray) -> np.ndarray:
    """The advantages (P, K) of K texts to each of P prompts: minus the mean of the other texts to the prompt."""
    raise NotImplementedError


def kl_per_text(
    logits: np.ndarray, reference_logits: np.ndarray, tokens: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """An unbiased estimate of KL(policy || reference) from each text of the policy, (B,), in nats a text.

    logits and reference_logits (B, T, V): at place t about the token at place t.
    """
    raise NotImplementedError
'''

WEEK = Assignment(
    name="week5",
    title="Policy gradients by hand",
    goal="Write what every policy gradient on texts needs, and find that it is exact when all texts are tried.",
    parts=(READINGS, SLOPES, BASELINE, DIVERGENCE),
    template=TEMPLATE,
    forbidden=(*FORBIDDEN, "textgym.agents"),
)
