"""The stag: a text that praises the movie is improved by duels. A challenger that wins takes the champion's place.

Twenty judges compare the two. To those who see no difference it is a tie.
"""

from __future__ import annotations

import numpy as np

from textgym.course.zoo.bug import Bug, Chart, Findings, Tell
from textgym.course.zoo.tools import Ints, all_texts, smooth

ROUNDS, JUDGES, NOISE, NOTICED = 200, 20, 0.3, 0.4
WIN, TIE, LOSS = 1, 0, -1


def duel(challenger: float, champion: float, judges: int, rng: np.random.Generator) -> Ints:
    """What the judges say of the challenger."""
    felt = challenger - champion + NOISE * rng.normal(size=judges)
    return np.where(np.abs(felt) < NOTICED, TIE, np.where(felt > 0.0, WIN, LOSS))


def win_rate(verdicts: Ints) -> float:
    """How well the challenger did, from 0 to 1; with one half it is as good as the champion."""
    return float((verdicts == WIN).mean())


def train(seed: int) -> tuple[float, list[float], float]:
    """Holds duels; returns the champion's reward at last, all win rates, and its win rate against itself."""
    _, rewards = all_texts()
    rng = np.random.default_rng(seed)
    champion = float(np.sort(rewards)[len(rewards) // 2])
    rates = []
    for challenger in rng.choice(rewards, size=ROUNDS):
        rates.append(win_rate(duel(challenger, champion, JUDGES, rng)))
        if rates[-1] > 0.5:
            champion = float(challenger)
    return champion, rates, win_rate(duel(champion, champion, 2000, rng))


def run(seed: int) -> Findings:
    """Trains once and measures."""
    champion, rates, itself = train(seed)
    return {
        "win rate against itself": itself,
        "champion's reward": champion,
        "rise": champion - float(np.median(all_texts()[1])),
        "win rates": smooth(rates, 20),
    }


# ---- Spoiler ---------------------------------------------------------------------------------------------------------


def mended(verdicts: Ints) -> float:
    """A tie is half a win."""
    return float((verdicts == WIN).mean() + 0.5 * (verdicts == TIE).mean())


BUG = Bug(
    symptom="The champion improves, then hardly anybody beats it. Its win rates look low, even against its equals.",
    tell=Tell(
        number="win rate against itself",
        sound=(0.45, 0.55),
        side="below",
        meaning="the champion's win rate in 2,000 duels with itself",
    ),
    healthy={"rise": (1.0, 5.0)},
    chart=Chart(series="win rates", across="duels / 10", up="win rate of the challenger"),
    name="ties as losses",
    faulty="win_rate",
    mended=mended,
    explanation=(
        "Only wins are counted, so that every tie is a loss for whoever is named first. The win rate of A over B and "
        "that of B over A no longer add up to one, and a challenger must win outright to be taken. Large differences "
        "are judged rightly all the same, which is why the champion improves. What gives it away is a duel with "
        "itself, or the same pair in both orders: together they must make one. Count a tie as half, or leave it out."
    ),
)
