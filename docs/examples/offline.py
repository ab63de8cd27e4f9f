"""Learning from data alone: a recording of mixed quality, two agents that never see an environment.

Run it: ``python docs/examples/offline.py`` (needs ``pip install 'textgym[minari]'``); the data stay in ``./data``.
"""

from __future__ import annotations

import textgym
from textgym.agents.registry import make_agent
from textgym.integrations import minari
from textgym.recorder import record


def main(episodes: int = 1_000, steps: int = 2_000) -> None:
    """Records random play and a half-trained table, learns from both, and compares."""
    envs = textgym.EnvFactory("TextGen-v0")
    half_trained = make_agent("q_learning", seed=0)
    half_trained.learn(envs, 40_000)

    # Half of the texts are random, the others by somebody who knows a little: nobody's best, and that is the point.
    data = record(make_agent("uniform"), envs, episodes=episodes, seed=1)
    data += record(half_trained, envs, episodes=episodes, seed=2)
    minari.write(data, "./data/mixed-v0", overwrite=True)
    data = minari.read("./data/mixed-v0")  # or minari.load_dataset, with MINARI_DATASETS_PATH=./data
    print(f"the data: {len(data)} texts, mean return {data.returns.mean():.3f}")

    for name in ("bc", "cql"):
        agent = make_agent(name, seed=0, steps=steps)
        agent.learn_offline(data)
        measured = textgym.evaluate(agent, envs, episodes=100)
        print(f"{name}: {measured.texts[0]['completion']!r}, mean return {measured.mean_return:.3f}")


if __name__ == "__main__":
    main()
