"""The whole loop: sample texts, have them compared, fit a reward model, train an agent on it, look at the truth."""

from textgym.rlhf.loop import run_loop
from textgym.rlhf.plan import Plan

__all__ = ["Plan", "run_loop"]
