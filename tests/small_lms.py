"""Small language models and rollouts for tests; torch is imported by those who call."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import textgym
from textgym.agents.lm.building import ModelConfig, build_policy
from textgym.agents.lm.model import LMPolicy
from textgym.agents.lm.rollout import Rollout, collect
from textgym.agents.registry import make_agent

TINY = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})
SMALL = {"layers": 1, "width": 16, "heads": 2}
QUICK = {**SMALL, "texts": 32, "lanes": 16, "sft_steps": 0}
"""Options of a learner whose updates take milliseconds."""


def make_policy(envs: textgym.EnvFactory, *, seed: int = 0, value_head: bool = False, **config: Any) -> LMPolicy:
    """A random policy whose distributions are far from uniform."""
    policy = build_policy(ModelConfig(**{**SMALL, **config}), envs.task(), seed=seed, value_head=value_head)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return policy


def write(
    policy: LMPolicy, envs: textgym.EnvFactory, count: int, *, lanes: int = 8, seed: int = 0, **options: Any
) -> Rollout:
    """Lets a policy write ``count`` texts; the prompts take turns."""
    vector: Any = envs.vector(lanes, autoreset_mode="Disabled", observation="tokens")
    vector.reset(seed=seed)
    rows = np.resize(vector.unwrapped.task.prompts.rows(vector.unwrapped.config.split), count)
    generator = torch.Generator().manual_seed(seed)
    try:
        return collect(policy, vector, rows, generator=generator, **options)
    finally:
        vector.close()


def learned(name: str, envs: textgym.EnvFactory = TINY, budget: int = 300, **options: Any) -> Any:
    """A small agent that has learned a little."""
    agent: Any = make_agent(name, **{**SMALL, **options})
    agent.learn(envs, budget)
    return agent
