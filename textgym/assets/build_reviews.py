"""Rebuilds everything that ships for the task Reviews: the learned rewards and the facts about each level.

Run as ``python textgym/assets/build_reviews.py`` (a minute or two); writes ``reviews-<level>.safetensors`` and
``reviews.json`` beside itself. Everything follows from the grammar and one seed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from textgym.annotators import BoltzmannAnnotator
from textgym.characters import list_kinds
from textgym.episodes import EpisodeBatch, Score
from textgym.grammars import read_words
from textgym.ngrams import NGramModel, fit_ngrams
from textgym.rewards.preference import PreferenceReward
from textgym.task import Task
from textgym.tasks import get

Floats = NDArray[np.float64]
Texts = NDArray[np.int32]

COMPARISONS = 30_000
SHARES = (0.5, 0.4)  # of demonstrations and of their mutations among the texts compared; the rest is random play
TEMPERATURE = {"tiny": 0.5, "easy": 0.5, "medium": 0.3, "hard": 0.3, "chinese": 0.3}  # a slip in a long text costs less
PENALTY = {"tiny": 40.0, "easy": 40.0, "medium": 10.0, "hard": 10.0, "chinese": 10.0}  # more words, fewer judgements


def generator(task: Task, purpose: str) -> np.random.Generator:
    """Independent chance for each level and purpose."""
    return np.random.default_rng(np.random.SeedSequence(2026, spawn_key=(crc32(f"{task.level} {purpose}".encode()),)))


def batch_of(task: Task, texts: Texts, prompt_indices: NDArray[np.int64]) -> EpisodeBatch:
    """Episodes from padded ids ``(N, T)``, one prompt each."""
    tokens = np.hstack([task.prompts.ids[prompt_indices], texts])
    lengths = (texts != task.tokenizer.vocab_size).sum(axis=1)
    codes = np.where((texts == task.tokenizer.eos_ids[0]).any(axis=1), 1, 3).astype(np.uint8)
    keys = np.arange(len(texts), dtype=np.uint64)
    return EpisodeBatch(tokens, lengths, codes, keys, prompt_indices, task.prompts, task.tokenizer)


def score_all(task: Task, score: Score, texts: Texts, prompt: int, chunk: int = 200_000) -> Floats:
    """Scores ``(N,)`` texts as answers to one prompt, some at a time to spare memory."""
    parts = [texts[start : start + chunk] for start in range(0, len(texts), chunk)]
    return np.concatenate([score(batch_of(task, part, np.full(len(part), prompt))) for part in parts])


def pad(task: Task, texts: Sequence[Sequence[int]]) -> Texts:
    """Ids of uneven length as ``(N, T)``, padded with V."""
    padded = np.full((len(texts), task.budget), task.tokenizer.vocab_size, dtype=np.int32)
    for row, ids in enumerate(texts):
        padded[row, : len(ids)] = ids
    return padded


def count_words(task: Task) -> int:
    """How many words may be written; they are the first ids."""
    return len(task.constraints[0].words)  # type: ignore[attr-defined]


def enumerate_texts(task: Task) -> tuple[Texts, Floats]:
    """All texts of a level ``(N, T)`` and the probability that random play writes each."""
    words, budget, end = count_words(task), task.budget, task.tokenizer.eos_ids[0]
    groups, chances = [], []
    for length in range(budget + 1):
        count = words**length
        group = np.full((count, budget), task.tokenizer.vocab_size, dtype=np.int32)
        for place in range(length):
            group[:, place] = np.arange(count) // words ** (length - 1 - place) % words
        if length < budget:
            group[:, length] = end
        groups.append(group)
        chances.append(np.full(count, float(words + 1) ** -min(length + 1, budget)))
    return np.concatenate(groups), np.concatenate(chances)


def random_texts(task: Task, count: int, rng: np.random.Generator) -> Texts:
    """Texts of random play: every legal id is equally likely at every step."""
    words, end, padding = count_words(task), task.tokenizer.eos_ids[0], task.tokenizer.vocab_size
    texts = (rng.random((count, task.budget)) * (words + 1)).astype(np.int32)
    ended = texts == words
    texts[ended] = end
    texts[np.cumsum(ended, axis=1) - ended > 0] = padding
    return texts


def demonstrations(task: Task, prompt_indices: NDArray[np.int64], rng: np.random.Generator) -> Texts:
    """One demonstration for each prompt index."""
    prompts = task.prompts.prompts
    return pad(
        task, [task.encode_completion(task.demonstrate(prompts[index], rng)) for index in prompt_indices.tolist()]
    )


def mutations(task: Task, texts: Texts, rng: np.random.Generator) -> Texts:
    """The texts with one of their words replaced by any word, and another with probability one half."""
    texts, rows = texts.copy(), np.arange(len(texts))
    for share in (1.0, 0.5):
        length = (texts < count_words(task)).sum(axis=1)
        place = (rng.random(len(texts)) * length).astype(np.int64)
        word = (rng.random(len(texts)) * count_words(task)).astype(np.int32)
        changed = (rng.random(len(texts)) < share) & (length > 0)
        texts[rows[changed], place[changed]] = word[changed]
    return texts


def mixed_texts(task: Task, prompt_indices: NDArray[np.int64], rng: np.random.Generator) -> Texts:
    """Texts for judges: demonstrations, mutations of them and random play, in random order."""
    count = len(prompt_indices)
    texts = demonstrations(task, prompt_indices, rng)
    which = rng.random(count)
    changed, random = (which >= SHARES[0]) & (which < sum(SHARES)), which >= sum(SHARES)
    texts[changed] = mutations(task, texts[changed], rng)
    texts[random] = random_texts(task, int(random.sum()), rng)
    return texts


def build_model(task: Task) -> NGramModel:
    """Collects comparisons, fits, and puts the scores on their scale."""
    assert task.gold is not None
    rng = generator(task, "comparisons")
    prompts = (rng.random(COMPARISONS) * len(task.prompts)).astype(np.int64)
    left, right = (batch_of(task, mixed_texts(task, prompts, rng), prompts) for _ in range(2))
    comparisons = BoltzmannAnnotator(task.gold, TEMPERATURE[task.level]).compare(left, right, rng)
    fitted = fit_ngrams(comparisons, task.tokenizer, penalty=PENALTY[task.level], minimum_count=10)
    typical = np.arange(6_000) % len(task.prompts)
    demos = batch_of(task, demonstrations(task, typical, generator(task, "scale")), typical)
    raw = PreferenceReward.from_model(fitted)(demos)
    model = fitted.rescaled(center=float(raw.mean()), spread=float(raw.std()))
    random = batch_of(task, random_texts(task, len(typical), generator(task, "floor")), typical)
    highest = max(best_text(task, model, [words])[1] for words in prompt_words(task))
    low = float(np.floor(np.percentile(PreferenceReward.from_model(model)(random), 1.0) * 10) / 10)
    model = replace(model, range=(low, float(np.ceil(highest * 10) / 10)))
    return replace(model, description=describe(task, model, demos))


def describe(task: Task, model: NGramModel, demos: EpisodeBatch) -> dict[str, Any]:
    """What stands on the model's card."""
    assert task.gold is not None
    prompts = np.arange(6_000) % len(task.prompts)
    fresh = batch_of(task, mixed_texts(task, prompts, generator(task, "check")), prompts)
    pairs = [(PreferenceReward.from_model(model)(batch), task.gold(batch)) for batch in (fresh, demos)]
    mixed, typical = (round(float(np.corrcoef(*pair)[0, 1]), 3) for pair in pairs)
    return {
        "task": f"Reviews, level {task.level}",
        "comparisons": COMPARISONS,
        "judge": f"Boltzmann-rational on the gold score, temperature {TEMPERATURE[task.level]}, all prompts",
        "texts": "demonstrations 50 %, their mutations 40 %, random play 10 %",
        "scale": "demonstrations have mean 0 and standard deviation 1; the floor is the 1st percentile of random play",
        "correlation with gold": {"texts as compared": mixed, "demonstrations": typical},
    }


def prompt_words(task: Task) -> list[frozenset[int]]:
    """The ids of each prompt."""
    return [frozenset(row) - {task.tokenizer.vocab_size} for row in task.prompts.ids.tolist()]


def best_text(task: Task, model: NGramModel, prompts: Sequence[frozenset[int]]) -> tuple[list[int], float]:
    """The best text that may be written to all of these prompts, and its score before clipping."""
    return model.best_text(prompts, range(count_words(task)), task.budget)


def search(task: Task, score: Callable[[Texts], Floats], width: int = 60) -> tuple[list[int], float]:
    """The best text that a beam search and single changes of words can find.

    The beam keeps the best ``width`` texts for each kind of last word: half a sentence scores badly, and would
    otherwise never be finished.
    """
    words, end, padding = count_words(task), task.tokenizer.eos_ids[0], task.tokenizer.vocab_size
    names = list_kinds(read_words(task.settings.words), characters=task.settings.characters)
    kinds = np.unique(names, return_inverse=True)[1]
    beam = np.full((1, task.budget), padding, dtype=np.int32)
    found, highest = beam[0], float(score(beam)[0])
    for place in range(task.budget):
        beam = np.repeat(beam, words, axis=0)
        beam[:, place] = np.tile(np.arange(words, dtype=np.int32), len(beam) // words)
        scores = score(beam)
        order = np.argsort(-scores, kind="stable")
        if scores[order[0]] > highest:
            found, highest = beam[order[0]], float(scores[order[0]])
        kind = kinds[beam[order, place]]
        likely = np.concatenate([order[kind == one][: 10 * width] for one in range(kinds.max() + 1)])
        signature = np.column_stack([np.sort(beam[likely, : place + 1], axis=1), kinds[beam[likely, place]]])
        likely = likely[np.sort(np.unique(signature, axis=0, return_index=True)[1])]  # one order of the words will do
        kind = kinds[beam[likely, place]]
        beam = beam[np.concatenate([likely[kind == one][:width] for one in range(kinds.max() + 1)])]
    while True:
        near = np.repeat(found[None], task.budget * words, axis=0)
        near[np.arange(len(near)), np.repeat(np.arange(task.budget), words)] = np.tile(np.arange(words), task.budget)
        near = near[: int((found != padding).sum()) * words]
        scores = score(near)
        if scores.max() <= highest:
            ids = found[found != padding].tolist()
            return [*ids, end][: task.budget], highest
        found, highest = near[scores.argmax()], float(scores.max())


def find_facts(task: Task, reward: PreferenceReward) -> dict[str, Any]:
    """Random, blind and best returns of every split, and the best texts."""
    if sum(count_words(task) ** length for length in range(task.budget + 1)) <= 1_000_000:
        return _by_enumeration(task, {"reward": reward, "gold": task.gold})
    return _by_search(task, reward)


def splits(task: Task) -> dict[str, NDArray[np.int64]]:
    """Rows of every split."""
    names = ("train", "test", "all") if task.prompts.has_splits else ("all",)
    return {name: task.prompts.rows(name) for name in names}


def _by_enumeration(task: Task, scores: dict[str, Any]) -> dict[str, Any]:
    texts, chances = enumerate_texts(task)
    facts, blind = ({split: dict[str, Any]() for split in splits(task)} for _ in range(2))
    best = {}
    for kind, score in scores.items():
        table = np.array([score_all(task, score, texts, prompt) for prompt in range(len(task.prompts))])
        best[kind] = by_prompt(task, texts[table.argmax(axis=1)].tolist())
        for split, rows in splits(task).items():
            together = np.add.reduce(table[rows], axis=0) / len(rows)
            facts[split][kind] = {
                "random": float((together * chances).sum()),
                "blind": float(together.max()),
                "best": float(table[rows].max(axis=1).mean()),
                "inexact": [],
            }
            blind[split][kind] = task.tokenizer.decode(texts[together.argmax()].tolist())
    return {"facts": facts, "best": best, "blind": blind}


def _by_search(task: Task, reward: PreferenceReward) -> dict[str, Any]:
    assert task.gold is not None
    gold = task.gold
    all_words = prompt_words(task)
    found = {"reward": [best_text(task, reward.model, [words])[0] for words in all_words]}
    alike = [(prompt.metadata["sentiment"], prompt.metadata["plural"]) for prompt in task.prompts.prompts]
    first = {kind: alike.index(kind) for kind in dict.fromkeys(alike)}  # gold asks no more of a prompt than this
    answers = {kind: search(task, partial(mean_score, task, gold, {row: 1.0}))[0] for kind, row in first.items()}
    found["gold"] = [answers[kind] for kind in alike]
    random = random_texts(task, 20_000, generator(task, "random"))
    facts, blind = ({split: dict[str, Any]() for split in splits(task)} for _ in range(2))
    for split, rows in splits(task).items():
        kinds = [alike[row] for row in rows.tolist()]
        shares = {row: kinds.count(kind) / len(kinds) for kind, row in first.items()}
        fixed = {
            "reward": best_text(task, reward.model, [all_words[row] for row in rows.tolist()])[0],
            "gold": search(task, partial(mean_score, task, gold, shares))[0],
        }
        for kind, score in (("reward", reward), ("gold", gold)):
            facts[split][kind] = {
                "random": float(np.mean([score_all(task, score, random, row).mean() for row in rows.tolist()])),
                "blind": float(score(batch_of(task, pad(task, [fixed[kind]] * len(rows)), rows)).mean()),
                "best": float(score(batch_of(task, pad(task, found[kind])[rows], rows)).mean()),
                "inexact": ["random", "blind", *(["best"] if kind == "gold" else [])],  # best_text() is exact
            }
            blind[split][kind] = task.tokenizer.decode(fixed[kind])
    best = {kind: by_prompt(task, texts) for kind, texts in found.items()}
    return {"facts": facts, "best": best, "blind": blind}


def mean_score(task: Task, score: Score, shares: dict[int, float], texts: Texts) -> Floats:
    """Scores of texts, averaged over prompts (row -> share)."""
    scores = np.array([share * score_all(task, score, texts, row) for row, share in shares.items()])
    return np.asarray(np.add.reduce(scores, axis=0))


def by_prompt(task: Task, texts: Sequence[Sequence[int]]) -> dict[str, str]:
    """Prompt -> text."""
    return {prompt: task.tokenizer.decode(ids) for prompt, ids in zip(task.prompts.texts, texts, strict=True)}


def main() -> None:
    """Builds the levels named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("levels", nargs="*", default=["tiny", "easy", "medium", "hard", "chinese"])
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    path = arguments.folder / "reviews.json"
    findings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for level in arguments.levels:
        task = get("Reviews", level)
        model_path = arguments.folder / f"reviews-{level}.safetensors"
        build_model(task).save(model_path)
        findings[level] = find_facts(task, PreferenceReward(str(model_path)))
    path.write_text(json.dumps(findings, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
