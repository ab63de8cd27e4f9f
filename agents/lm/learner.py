"""Learner: an agent that begins from demonstrations and then learns from its own texts and their rewards."""

from __future__ import annotations

from abc import abstractmethod

from textgym.agents.lm import sft
from textgym.agents.lm.agent import LMAgent
from textgym.agents.lm.checkpoints import find_checkpoint
from textgym.agents.lm.training import Trainer, TrainingConfig
from textgym.factory import EnvFactory

SFT_STEPS = 300  # for a model from scratch, which would otherwise write noise


class Learner(LMAgent):
    """The frame of PPO, GRPO and REINFORCE: warm start, reference, then :meth:`improve`."""

    config: TrainingConfig

    def train(self, envs: EnvFactory, total_steps: int) -> None:
        """Learns from demonstrations, keeps a copy as the reference, and goes on with the algorithm."""
        policy, task = self.ready_policy, envs.task()
        self.check_steps(envs, total_steps, self.config.texts)
        going_on = self.resumes and find_checkpoint(self.log.folder) is not None
        if self.resumes and not going_on:
            self.log.clear()  # of a run that died before its first checkpoint
        if going_on and self.reference is None:
            self.freeze_reference()  # its weights come from the checkpoint
        if self.reference is None:
            steps = self.config.sft_steps
            if steps is None:
                untaught = self.is_new and self.config.model is None
                steps = SFT_STEPS if untaught and task.make_demonstration is not None else 0
            if steps:
                sft.fit(policy, sft.demonstrations(task, envs, seed=self.seed), steps=steps, seed=self.seed)
            self.freeze_reference()
        run = Trainer(
            policy, self.reference, envs, config=self.config, seed=self.seed, log=self.log, total_steps=total_steps
        )
        try:
            if going_on:
                run.resume()
            self.improve(run)
        finally:
            run.close()

    @abstractmethod
    def improve(self, run: Trainer) -> None:
        """The algorithm."""
