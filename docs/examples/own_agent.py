"""An agent of one's own: after every prefix it writes the token that came next in the best text that began so."""

import json

import numpy as np


class Agent:
    def __init__(self, seed=0, best=None):
        self.rng, self.best = np.random.default_rng(seed), best or {}  # prefix -> (what the text earned, next token)

    def learn(self, envs, total_steps):
        env = envs.vector(16, autoreset_mode="SameStep")
        texts, (observations, _) = [[]] * 16, env.reset(seed=int(self.rng.integers(2**31)))
        for _ in range(total_steps // 16):
            actions = self.act(observations, env.unwrapped.action_masks(), deterministic=False)
            steps = zip(texts, observations, actions.tolist(), strict=True)
            texts = [[*text, (prefix.tobytes().hex(), token)] for text, prefix, token in steps]
            observations, rewards, ended, _, _ = env.step(actions)
            for lane in np.flatnonzero(ended):
                for prefix, token in texts[lane]:
                    self.best[prefix] = max(self.best.get(prefix, (-np.inf, 0)), (float(rewards[lane]), token))
                texts[lane] = []

    def act(self, observations, action_masks, *, deterministic=True, episode_starts=None):
        tokens = (action_masks * (deterministic or self.rng.random(action_masks.shape))).argmax(axis=1)
        best = [self.best.get(row.tobytes().hex(), (0, t))[1] for row, t in zip(observations, tokens, strict=True)]
        return np.where(deterministic | (self.rng.random(len(best)) < 0.5), best, tokens)

    def save(self, path):
        path.mkdir(parents=True, exist_ok=True)
        (path / "best.json").write_text(json.dumps(self.best))

    @classmethod
    def load(cls, path):
        return cls(best=json.loads((path / "best.json").read_text()))
