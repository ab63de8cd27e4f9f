"""Builds facts.json: random, blind and best returns of the tasks that do not state them by themselves.

Run it after a task has changed: ``python textgym/assets/build_facts.py Copy Sort``; without names, all tasks. Returns
are exact where :func:`textgym.exact.solve` can try all texts; elsewhere random play is simulated, blind is the best of
the oracle's answers as a fixed text, and best is what the oracle earns: exact where it is the end of the range.
Where the score offers an automaton (:mod:`textgym.automata`), best is exact by dynamic programming.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym import tasks
from textgym.atomic import write_whole
from textgym.episodes import EpisodeBatch, Prompt, Score
from textgym.errors import SolveError
from textgym.exact import ConversationSolution, TreeSolution, solve
from textgym.exact.expansion import Expected
from textgym.factory import EnvFactory
from textgym.playing import play, random_act, speak
from textgym.returns import Returns
from textgym.task import Task

RANDOM_TEXTS = 20_000
BLIND_TEXTS = 200
BLIND_TALKS = 20
SECONDS = 60.0
OWN = ("Reviews", "Chain")
"""Tasks that compute their facts themselves."""


def find_facts(name: str, level: str) -> dict[str, dict[str, Any]]:
    """Split -> kind -> returns as JSON, numbers rounded to 9 digits."""
    task = tasks.get(name, level)
    splits = ("train", "test", "all") if task.prompts.has_splits else ("all",)
    kinds = ("reward", "gold") if task.gold is not None else ("reward",)
    return {split: {kind: _rounded(_returns(task, split, kind)) for kind in kinds} for split in splits}


def _returns(task: Task, split: str, kind: str) -> Returns:
    factory = EnvFactory("TextGen-v0", {"task": task, "split": split})
    try:
        solution = solve(factory, kind=kind, engine="tree", max_seconds=SECONDS)
    except SolveError:
        return _estimate(task, factory, split, kind)
    if isinstance(solution, ConversationSolution):  # which knows all but the best fixed text
        rows = task.prompts.rows(split)
        blind = _blind_talk(task, factory, rows, speak(task.best_turn, factory, prompt_indices=rows)[0], kind)
        return Returns(solution.random_return, blind, solution.optimal_return, ("blind",))
    assert isinstance(solution, TreeSolution)
    return solution.returns


def _estimate(task: Task, factory: EnvFactory, split: str, kind: str) -> Returns:
    score = task.reward if kind == "reward" else task.gold
    assert score is not None
    rows = task.prompts.rows(split)
    batch, returns = play(random_act(0), factory, episodes=RANDOM_TEXTS, prompt_indices=np.resize(rows, RANDOM_TEXTS))
    played = returns if kind == "reward" else batch.gold()
    assert played is not None
    oracle, paid = speak(task.best_turn, factory, prompt_indices=rows)
    earned = paid if kind == "reward" else oracle.gold()
    assert earned is not None
    if hasattr(score, "outcomes"):  # the chance in the reward is averaged out
        score = Expected(score)
        played, earned = score(batch), score(oracle)
    best = _optimum(factory, score, kind)
    highest = float(getattr(score, "range", (-np.inf, np.inf))[1])
    blind = _blind_talk(task, factory, rows, oracle, kind) if task.partner else _blind_text(task, score, rows, oracle)
    exact = best is not None or (earned == highest).all()
    inexact = ("random", "blind") if exact else ("random", "blind", "best")
    return Returns(float(played.mean()), blind, float(earned.mean()) if best is None else best, inexact)


def _optimum(factory: EnvFactory, score: Score, kind: str) -> float | None:
    """The best return by dynamic programming, where the score offers an automaton."""
    if not hasattr(score, "automaton"):
        return None
    try:
        return float(solve(factory, kind=kind, engine="automaton").optimal_return)
    except SolveError:  # constraints that it does not know, for example
        return None


def _blind_text(task: Task, score: Score, rows: NDArray[np.int64], oracle: EpisodeBatch) -> float:
    """The best mean score of one of the oracle's answers, or of the empty text, as an answer to all prompts."""
    answers = dict.fromkeys(tuple(oracle.ids(row)) for row in range(len(oracle)))
    tried = [list(task.encode_completion("")), *map(list, answers)][: BLIND_TEXTS + 1]
    return max(
        float(score(EpisodeBatch.from_ids(task.prompts, task.tokenizer, rows.tolist(), [ids] * len(rows))).mean())
        for ids in tried
    )


def _blind_talk(task: Task, factory: EnvFactory, rows: NDArray[np.int64], oracle: EpisodeBatch, kind: str) -> float:
    """The same for conversations: the turns of one prompt's oracle, whatever the partner says."""
    means = []
    for row in range(min(len(oracle), BLIND_TALKS)):
        turns = [text for side, text in oracle.dialogue(row) if side == "agent"]

        def recite(prompt: Prompt, said: list[tuple[str, str]], turns: list[str] = turns) -> str:
            return turns[min(sum(side == "agent" for side, _ in said), len(turns) - 1)]

        batch, returns = speak(recite, factory, prompt_indices=rows)
        scores = returns if kind == "reward" else batch.gold()
        assert scores is not None
        means.append(float(scores.mean()))
    return max(means)


def _rounded(returns: Returns) -> dict[str, Any]:
    numbers = {name: round(value, 9) for name, value in asdict(returns).items() if name != "inexact"}
    return {**numbers, "inexact": list(returns.inexact)} if returns.inexact else numbers


def main() -> None:
    """Builds the tasks named on the command line, or all that have no facts of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[name for name in tasks.names() if name not in OWN])
    names = parser.parse_args().names
    for name in names:
        facts = {level: find_facts(name, level) for level in tasks.TASKS[name].levels}
        keep(name, facts)
        print(name, json.dumps(facts["easy"]))


def keep(name: str, facts: dict[str, Any]) -> None:
    """Puts a task's facts among those of the others."""
    path = Path(__file__).parent / "facts.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    write_whole(path, json.dumps(dict(sorted({**known, name: facts}.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
