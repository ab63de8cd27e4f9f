"""A text environment of one's own, with whole commands as actions, learnt token by token.

    python docs/examples/tokenized_env.py

The environment below is plain Gymnasium and knows nothing of tokens. TokenizedEnv makes the words actions and the
admissible commands masks; then textgym's Q-table learns it as it learns any other text.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from textgym.agents.registry import make_agent
from textgym.integrations.tokenized import TokenizedEnv, TokenizedFactory
from textgym.tokenizers import WordTokenizer

COLOURS = ("red", "blue", "green")
WORDS = "The door is locked You have key take drop open It fits does not A bell rings . red blue green".split()
LETTERS = "".join(sorted(set(" ".join(WORDS))))
TURNS = 4


class Doors(gym.Env[str, str]):
    """A coloured door, and a key of each colour: a reward for the key that fits, before the bell rings."""

    def __init__(self) -> None:
        self.observation_space = spaces.Text(80, charset=LETTERS)
        self.action_space = spaces.Text(40, charset=LETTERS)
        self.door, self.key, self.turns = "", "", 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.door, self.key, self.turns = str(self.np_random.choice(COLOURS)), "", 0
        return f"The {self.door} door is locked.", self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.turns += 1
        if action == "open door":
            fits = self.key == self.door
            return "It fits." if fits else "It does not.", float(fits), True, False, self._info()
        if self.turns == TURNS:
            return "A bell rings.", 0.0, True, False, self._info()
        self.key = "" if action == "drop key" else action.split()[1]
        return f"You have {self.key} key." if self.key else "You have not.", 0.0, False, False, self._info()

    def _info(self) -> dict[str, Any]:
        take = [f"take {colour} key" for colour in COLOURS]
        return {"admissible_commands": ["open door", "drop key"] if self.key else take}


def make() -> TokenizedEnv:
    """The doors with one word as an action."""
    return TokenizedEnv(Doors(), WordTokenizer(WORDS), max_new_tokens=4, context_tokens=32)


def play(agent: Any, env: TokenizedEnv, seed: int) -> tuple[float, list[str]]:
    """One episode: its return, and what was said."""
    observation, info = env.reset(seed=seed)
    total, talk, over = 0.0, [info["reply"]], False
    while not over:
        action = agent.act(observation[None], env.action_masks()[None])[0]
        observation, reward, terminated, truncated, info = env.step(action)
        total, over = total + reward, terminated or truncated
        talk += [f"> {info['utterance']}", info["reply"]] if "utterance" in info else []
    return total, talk


def main() -> None:
    """Trains the table, and prints what it earns and one of its games."""
    envs = TokenizedFactory(make)
    for name, steps in (("uniform", 64), ("q_learning", 20_000)):
        agent = make_agent(name, seed=0)
        agent.learn(envs, steps)
        returns = [play(agent, envs.single(), seed)[0] for seed in range(50)]
        print(f"{name}: mean return {np.mean(returns):.2f}" if name != "uniform" else f"{name}: {np.mean(returns):.2f}")
    print("\n".join(play(agent, envs.single(), 0)[1]))


if __name__ == "__main__":
    main()
