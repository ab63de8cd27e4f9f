"""Rebuilds the learned rewards of the task Neutral: what biased annotators taught them.

Run as ``python textgym/assets/build_neutral.py`` (half a minute); writes ``neutral-<level>.safetensors`` beside itself.
Afterwards run ``python textgym/assets/build_facts.py Neutral``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from textgym.annotators import BoltzmannAnnotator
from textgym.episodes import EpisodeBatch
from textgym.ngrams import NGramModel, fit_ngrams
from textgym.rewards.preference import PreferenceReward
from textgym.task import Task
from textgym.tasks import get
from textgym.tasks.neutral import BIAS, Editor

COMPARISONS = 20_000
TEMPERATURE = 0.3
PENALTY = 10.0
SHARES = (0.5, 0.35, 0.15)  # of demonstrations, of their mutations and of random play among the texts compared


def write(task: Task, prompts: NDArray[np.int64], rng: np.random.Generator) -> EpisodeBatch:
    """Texts of every quality, one to each prompt."""
    kinds = rng.choice(3, size=len(prompts), p=SHARES).tolist()
    texts = [_write_one(task, row, kind, rng) for row, kind in zip(prompts.tolist(), kinds, strict=True)]
    return EpisodeBatch.from_ids(task.prompts, task.tokenizer, prompts.tolist(), texts, max_new_tokens=task.budget)


def _write_one(task: Task, row: int, kind: int, rng: np.random.Generator) -> list[int]:
    words = len(task.constraints[0].words)  # type: ignore[attr-defined]
    if kind == 2:
        drawn = rng.integers(words + 1, size=task.budget).tolist()
        drawn = drawn[: drawn.index(words)] if words in drawn else drawn
    else:
        drawn = task.tokenizer.encode(task.demonstrate(task.prompts.prompts[row], rng))
        for place in rng.integers(len(drawn), size=1 + rng.integers(2)).tolist() if kind and drawn else ():
            drawn[place] = int(rng.integers(words))
    return [*drawn, task.tokenizer.eos_ids[0]][: task.budget]


def build_model(task: Task) -> NGramModel:
    """Collects comparisons, fits, and puts the scores on their scale: typical texts have mean 0 and deviation 1."""
    rng = np.random.default_rng(np.random.SeedSequence(2026, spawn_key=(crc32(f"Neutral {task.level}".encode()),)))
    prompts = rng.integers(len(task.prompts), size=COMPARISONS)
    left, right = (write(task, prompts, rng) for _ in range(2))
    judge = BoltzmannAnnotator(Editor(task.settings, bias=BIAS), TEMPERATURE, name="biased")
    fitted = fit_ngrams(judge.compare(left, right, rng), task.tokenizer, penalty=PENALTY, minimum_count=10)
    typical = write(task, np.arange(6_000) % len(task.prompts), rng)
    raw = PreferenceReward.from_model(fitted)(typical)
    model = fitted.rescaled(center=float(raw.mean()), spread=float(raw.std()))
    scores = PreferenceReward.from_model(model)(typical)
    low = float(np.floor(np.percentile(scores, 1.0) * 10) / 10)
    description = {
        "task": f"Neutral, level {task.level}",
        "comparisons": COMPARISONS,
        "judge": f"Boltzmann-rational, temperature {TEMPERATURE}, with a bias of {BIAS} for loaded words of its side",
        "texts": f"demonstrations {SHARES[0]:.0%}, their mutations {SHARES[1]:.0%}, random play {SHARES[2]:.0%}",
        "scale": "such texts have mean 0 and standard deviation 1; the floor is their 1st percentile",
        "correlation with gold": round(float(np.corrcoef(scores, Editor(task.settings)(typical))[0, 1]), 3),
    }
    return replace(model, range=(low, _highest(task, model)), description=description)


def _highest(task: Task, model: NGramModel) -> float:
    """What the model's favourite text earns, rounded up."""
    words = range(len(task.constraints[0].words))  # type: ignore[attr-defined]
    contexts = [frozenset(row) - {task.tokenizer.vocab_size} for row in task.prompts.ids.tolist()]
    return float(np.ceil(max(model.best_text([ids], words, task.budget)[1] for ids in contexts) * 10) / 10)


def main() -> None:
    """Builds the levels named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("levels", nargs="*", default=["easy", "medium", "hard"])
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    for level in arguments.levels:
        build_model(get("Neutral", level)).save(arguments.folder / f"neutral-{level}.safetensors")


if __name__ == "__main__":
    main()
