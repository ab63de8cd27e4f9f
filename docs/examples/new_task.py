"""A task of one's own in one file: prompts, words, a reward and the best text; solved, then learned by a table."""

from __future__ import annotations

from functools import partial

import gymnasium as gym

import textgym
from textgym.agents.registry import make_agent
from textgym.constraints import Lexicon
from textgym.episodes import Prompt
from textgym.exact import solve
from textgym.rewards import PerText
from textgym.task import Task
from textgym.tokenizers import WordTokenizer

RHYMES = {"cat": ("hat", "mat"), "dog": ("fog", "log"), "bee": ("tree", "knee")}
ANSWERS = tuple(word for rhymes in RHYMES.values() for word in rhymes)


def make_prompts(words: int) -> list[Prompt]:
    """One prompt for each word that something rhymes with."""
    return [Prompt(f"rhyme with {word}", references=(" ".join(RHYMES[word][:words]),)) for word in RHYMES]


def make_tokenizer(words: int) -> WordTokenizer:
    """All words of prompts and answers; each is an action."""
    return WordTokenizer(["rhyme", "with", *RHYMES, *ANSWERS])


def make_constraints(words: int) -> tuple[Lexicon, ...]:
    """Only rhymes may be written."""
    return (Lexicon(ANSWERS),)


def rhyming(words: int, prompt: str, completion: str) -> float:
    """The share of the wanted words that rhyme, each counted once; 0 for a text with one that does not."""
    written, right = completion.split(), RHYMES[prompt.split()[-1]]
    return min(len(set(written)) / words, 1.0) if set(written) <= set(right) else 0.0


def make_reward(words: int) -> PerText:
    """The reward of a level, for one text at a time."""
    return PerText(partial(rhyming, words), range=(0.0, 1.0))


def best_text(prompt: Prompt) -> str:
    """The reference."""
    return prompt.references[0]


TASK = Task(
    name="Rhyme",
    summary="Write words that rhyme with the prompt's.",
    levels={"easy": 1, "hard": 2},  # a level is whatever the functions above are given: here how many words
    level="easy",
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_constraints=make_constraints,
    make_reward=make_reward,
    make_oracle=lambda words: best_text,
    max_new_tokens=lambda words: words + 1,
)


def main() -> None:
    """Makes the environment, solves it, trains on it."""
    env = gym.make("TextGen-v0", task=TASK, level="hard")
    print(env.action_space, env.reset(seed=0)[1]["action_mask"].sum(), "may be written")
    envs = textgym.EnvFactory("TextGen-v0", {"task": TASK, "level": "hard"})
    print("best texts:", solve(envs).optimal_texts["rhyme with cat"])
    agent = make_agent("q_learning", seed=0)
    agent.learn(envs, 20_000)
    evaluation = textgym.evaluate(agent, envs, episodes=30, seed=1)
    print(f"mean return {evaluation.mean_return:.2f}")


if __name__ == "__main__":
    main()
