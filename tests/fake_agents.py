"""Agents that misbehave, for the tests of the harness; made by name, as "fake_agents:Crashing"."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np


class Steady:
    """Ends every text at once; spends its budget to the last step and a step more."""

    def __init__(self, seed=0, *, lanes=4, note=None):
        self.seed, self.lanes, self.note, self.eos_id = seed, lanes, note, None

    def learn(self, envs, total_steps):
        env = envs.vector(self.lanes)
        self.eos_id = env.eos_id
        env.reset(seed=self.seed)
        while True:
            env.step(np.full(self.lanes, self.eos_id))

    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return np.full(len(observations), self.eos_id)

    def save(self, path):
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / "agent.json").write_text("{}", encoding="utf-8")

    @classmethod
    def load(cls, path):
        return cls()


class Unlawful(Steady):
    """Writes ``<unk>``, which no mask allows, and ends with the price of that."""

    def learn(self, envs, total_steps):
        env = envs.vector(self.lanes)
        self.eos_id = env.unwrapped.task.tokenizer.unk_id
        env.reset(seed=self.seed)
        while True:
            env.step(np.full(self.lanes, self.eos_id))


class Crashing(Steady):
    """Raises half way through its budget."""

    def learn(self, envs, total_steps):
        env = envs.vector(self.lanes)
        env.reset(seed=self.seed)
        while envs.meter.steps < total_steps // 2:
            env.step(np.full(self.lanes, env.eos_id))
        raise FloatingPointError("the loss is <nan>")


class Exiting(Steady):
    """Calls sys.exit, as scripts do."""

    def learn(self, envs, total_steps):
        raise SystemExit(3)


class Dying(Steady):
    """Takes its whole process with it."""

    def learn(self, envs, total_steps):
        os._exit(7)


class Parricidal(Steady):
    """Kills the process that started it, until it has done so ``note`` times; it counts in the current folder."""

    def learn(self, envs, total_steps):
        done = len(list(Path.cwd().glob("parricide-*")))
        if done < self.note:
            Path(f"parricide-{done}").touch()
            os.kill(os.getppid(), signal.SIGKILL)
            threading.Event().wait()
        super().learn(envs, total_steps)


class Interrupted(Steady):
    """Is told to stop."""

    def learn(self, envs, total_steps):
        raise KeyboardInterrupt


class Illegal(Steady):
    """Writes a token that the environment does not know when it is evaluated."""

    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return np.full(len(observations), 10_000)


class Hanging(Steady):
    """Never comes back."""

    def learn(self, envs, total_steps):
        print("waiting", flush=True)
        threading.Event().wait()


class Chatty(Steady):
    """Prints megabytes, by itself and through a child."""

    def learn(self, envs, total_steps):
        for number in range(4000):
            print(f"{number:>999}")
        sys.stdout.flush()
        subprocess.run([sys.executable, "-c", "print('child ' * 500_000)"], check=True)
        print("the end")
        super().learn(envs, total_steps)


class Hoarding(Steady):
    """Wants more memory than there is."""

    def learn(self, envs, total_steps):
        self.hoard = np.ones(2**31)


class Swallowing(Steady):
    """Trains on, whatever exception tells it that the budget is spent."""

    def learn(self, envs, total_steps):
        while True:
            try:
                super().learn(envs, total_steps)
            except Exception:
                continue


class Stubborn(Steady):
    """Trains on, whatever tells it to stop."""

    def learn(self, envs, total_steps):
        env = envs.vector(self.lanes)
        env.reset(seed=self.seed)
        while True:
            try:
                env.step(np.full(self.lanes, env.eos_id))
            except:  # noqa: E722 - that is what it is for
                continue


class Shapeless(Steady):
    """Answers with one token, however many observations there are."""

    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return np.array([self.eos_id])


class Fractional(Steady):
    """Answers with numbers that are no token ids, one of them not even a number."""

    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return np.full(len(observations), np.nan)


class Forgetful(Steady):
    """Saves nothing."""

    def save(self, path):
        pass


class Speechless:
    """Has no way to act."""

    def __init__(self, seed=0):
        self.seed = seed

    def learn(self, envs, total_steps):
        pass

    def save(self, path):
        pass


class Seedless(Steady):
    """Cannot be given a seed."""

    def __init__(self):
        super().__init__()
