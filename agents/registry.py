"""The agents by name, imported only when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from textgym.agents.base import TextGenerationAgent
from textgym.errors import unknown_name

AGENTS: Mapping[str, str] = {
    "uniform": "textgym.agents.uniform:Uniform",
    "q_learning": "textgym.agents.q_learning:QLearning",
    "dqn": "textgym.agents.sb3:DQNAgent",
    "ppo": "textgym.agents.sb3:PPOAgent",
    "a2c": "textgym.agents.sb3:A2CAgent",
    "maskable_ppo": "textgym.agents.sb3:MaskablePPOAgent",
    "frozen_lm": "textgym.agents.lm.frozen:Frozen",
    "sft": "textgym.agents.lm.sft:SFT",
    "reinforce": "textgym.agents.lm.reinforce:Reinforce",
    "rloo": "textgym.agents.lm.reinforce:RLOO",
    "lm_ppo": "textgym.agents.lm.ppo:PPO",
    "grpo": "textgym.agents.lm.grpo:GRPO",
    "dpo": "textgym.agents.lm.dpo:DPO",
    "best_of_n": "textgym.agents.lm.best_of_n:BestOfN",
    "beam": "textgym.agents.lm.beam:Beam",
    "bc": "textgym.agents.offline.bc:BC",
    "cql": "textgym.agents.offline.cql:CQL",
    "chat": "textgym.agents.chat:Chat",
    "pipeline": "textgym.agents.chat_pipeline:Pipeline",
}

SUMMARIES: Mapping[str, str] = {
    "uniform": "every legal token equally likely; the zero of all scales",
    "q_learning": "a table of Q values over prefixes (Watkins 1989); needs nothing but NumPy",
    "dqn": "deep Q-network (Mnih et al. 2015) of stable-baselines3",
    "ppo": "proximal policy optimisation (Schulman et al. 2017) of stable-baselines3",
    "a2c": "advantage actor-critic (Mnih et al. 2016) of stable-baselines3",
    "maskable_ppo": "PPO that never writes an illegal token, of sb3-contrib",
    "frozen_lm": "a language model as it is; what all others below begin with",
    "sft": "a language model that has seen demonstrations and no reward",
    "reinforce": "policy gradient on whole texts (Williams 1992), a language model",
    "rloo": "REINFORCE leave-one-out (Ahmadian et al. 2024), a language model",
    "lm_ppo": "PPO on tokens with a value head (Ziegler et al. 2019), a language model; NLPO with top_p < 1",
    "grpo": "group-relative policy optimisation (Shao et al. 2024), a language model",
    "dpo": "direct preference optimisation (Rafailov et al. 2023), a language model",
    "best_of_n": "a language model writes n texts, the reward picks one",
    "beam": "a language model's likeliest texts, by beam search",
    "bc": "behaviour cloning (Pomerleau 1988) of a recorded data set, without an environment",
    "cql": "conservative Q-learning (Kumar et al. 2020) from a recorded data set, without an environment",
    "chat": "a chat model behind an OpenAI-compatible endpoint; learns nothing",
    "pipeline": "a chat model on this machine, by transformers; learns nothing",
}


def agent_class(name: str) -> type[Any]:
    """The class of a registered agent, or of "module:Class"."""
    if name not in AGENTS and ":" not in name:
        raise unknown_name("agent", name, AGENTS)
    module, _, attribute = AGENTS.get(name, name).partition(":")
    try:
        found: type[Any] = getattr(import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        if name in AGENTS:
            raise
        raise unknown_name(f"agent (looking for it: {error})", name, AGENTS) from error
    return found


def make_agent(name: str, *, seed: int = 0, **config: Any) -> TextGenerationAgent:
    """Makes an untrained agent.

    Args:
        name: A key of :data:`AGENTS`, or "module:Class" for one of your own.
        seed: Seed of all that is random in the agent.
        **config: Fields of the agent's config that differ from its tuned defaults.

    Example:
        >>> make_agent("q_learning", seed=1, learning_rate=0.5).config.learning_rate
        0.5
    """
    agent: TextGenerationAgent = agent_class(name)(seed=seed, **config)
    return agent
