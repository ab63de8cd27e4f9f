"""Chain: forge a chain link by link; it may break, and one must know when to keep it.

The prompt names the material, the links that there are, and the piece that fits next ("iron 2 links ring"). Each turn
is one word. A piece that fits adds a link, unless the chain breaks: then none is left. A piece that does not fit
changes nothing. The partner replies with the number of links and the piece that fits next. *keep* ends the
conversation, and so does a finished chain. The last turn has no reply: nothing happens in it.

Breaks and pieces are drawn by chance, from the episode's key, so that this is planning under randomness: whether to go
on depends on the material, the links and the turns that are left.

**Reward.** The links at the end, as a share of those of a finished chain: 0 to 1. A finished chain is **success**. The
facts are exact, by dynamic programming. The best player has no better luck than others: the best return is below 1.

**Levels.**

======  =====  =====  =========  ======  =======
level   links  turns  materials  pieces  prompts
======  =====  =====  =========  ======  =======
easy        4      8          3       3       27
medium      6     14          4       4       64
hard       12     30          6       6      180
======  =====  =====  =========  ======  =======

A new link breaks the chain with a chance of 0.02 (steel), 0.05 (brass), 0.1 (iron), 0.2 (wood), 0.3 (rope) or 0.5
(glass). A quarter of the prompts is held out for testing.

**Example.** "iron 2 links ring": *ring* 3 hook, *hook* 4. That earns 1 at level easy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import Prompt
from textgym.keys import spawn_seed
from textgym.puzzles import TEST_SHARE
from textgym.returns import Facts, Returns
from textgym.smithy import BREAKS, PIECES, Level, Links, Smith, make_stop
from textgym.talk import Say, conversation
from textgym.tokenizers import WordTokenizer

LEVELS = (
    Level("easy", 4, 8, ("brass", "rope", "glass"), PIECES[:3], 3),
    Level("medium", 6, 14, ("steel", "iron", "rope", "glass"), PIECES[:4], 4),
    Level("hard", 12, 30, tuple(BREAKS), PIECES, 5),
)


def make_prompts(level: Level) -> list[Prompt]:
    """Every material with every number of links and every piece; every fourth, by chance, is held out for testing."""
    every = list(product(range(len(level.materials)), range(level.starts), range(len(level.pieces))))
    np.random.default_rng(spawn_seed(2026, "Chain", level.name)).shuffle(every)
    held_out = round(len(every) * TEST_SHARE)
    return [
        Prompt(
            f"{level.materials[material]} {start} links {level.pieces[piece]}",
            metadata={"state": (material, start, piece)},
            split="test" if number < held_out else "train",
        )
        for number, (material, start, piece) in enumerate(every)
    ]


def make_tokenizer(level: Level) -> WordTokenizer:
    """The numbers, of which n has the id n, the pieces, and the other words of both sides and of the prompt."""
    return WordTokenizer([*map(str, range(level.links + 1)), *level.pieces, "keep", "kept", *level.materials, "links"])


@cache
def best_value(links: int, moves: int, *, risk: float, top: int) -> float:
    """What the best player earns.

    Args:
        links: There are now.
        moves: Turns with a reply that are left.
        risk: That a new link breaks the chain.
        top: Links of a finished chain.

    Example:
        >>> round(best_value(2, 1, risk=0.1, top=4), 3), best_value(2, 1, risk=0.5, top=4)
        (0.675, 0.5)
    """
    if links == top or moves == 0:
        return links / top
    return max(links / top, adding_value(links, moves, risk=risk, top=top))


def adding_value(links: int, moves: int, *, risk: float, top: int) -> float:
    """What the piece that fits is worth, when the best play follows; arguments as in :func:`best_value`."""
    whole, broken = (best_value(after, moves - 1, risk=risk, top=top) for after in (links + 1, 0))
    return (1.0 - risk) * whole + risk * broken


def _play(level: Level, states: NDArray[np.int64], chances: Sequence[tuple[Sequence[float], float]]) -> float:
    """What play earns on average that heeds nothing; ``chances``: for each move that of each piece, and of keeping."""
    at = np.zeros((len(states), level.links + 1))
    at[np.arange(len(states)), states[:, 1]] = 1.0
    kept, risk = np.zeros_like(at), level.risks[states[:, 0], None]
    for move, (pieces, keep) in enumerate(chances):
        fit = np.array(pieces)[states[:, 2], None] if move == 0 else np.full((len(states), 1), np.mean(pieces))
        going = at[:, :-1].copy()
        kept[:, :-1] += going * keep
        at[:, :-1] = going * (1.0 - keep - fit)
        at[:, 1:] += going * fit * (1.0 - risk)
        at[:, 0] += (going * fit * risk).sum(axis=1)
    return float(((at + kept) * np.arange(level.links + 1) / level.links).sum(axis=1).mean())


def _returns(level: Level, states: NDArray[np.int64]) -> Returns:
    moves, kinds = level.turns - 1, len(level.pieces)
    anything = ((1.0 / (kinds + 1),) * kinds, 1.0 / (kinds + 1))
    plans = [[(tuple(row), 0.0)] * size for row in np.eye(kinds).tolist() for size in range(moves + 1)]
    risks = level.risks.tolist()
    best = [best_value(start, moves, risk=risks[material], top=level.links) for material, start, _ in states.tolist()]
    return Returns(
        random=_play(level, states, [anything] * moves),
        blind=max(_play(level, states, plan) for plan in plans),  # after the first piece, all pieces fit equally often
        best=float(np.mean(best)),
    )


def _make_facts(level: Level) -> Facts:
    facts = {}
    for split in ("train", "test", "all"):
        prompts = [prompt for prompt in make_prompts(level) if split in ("all", prompt.split)]
        facts[split] = {"reward": _returns(level, np.array([prompt.metadata["state"] for prompt in prompts]))}
    return facts


def _choose(level: Level, prompt: Prompt, turns: Sequence[tuple[str, str]]) -> str:
    """The piece that fits, as long as that is worth more than the chain."""
    material, start, _, piece = prompt.text.split()
    links, fitting = turns[-1][1].split() if turns else (start, piece)
    state, moves = int(links), level.turns - 1 - len(turns) // 2
    if moves and adding_value(state, moves, risk=BREAKS[material], top=level.links) > state / level.links:
        return fitting
    return "keep"


def _forge(level: Level, prompt: Prompt, rng: np.random.Generator) -> str:
    """A conversation with somebody who chooses well two times in three."""
    turns: list[tuple[str, str]] = []
    material, start, _, fitting = prompt.text.split()
    links = int(start)
    while len(turns) < 2 * (level.turns - 1) and links < level.links:
        word = _choose(level, prompt, turns) if rng.random() < 2 / 3 else str(rng.choice([*level.pieces, "keep"]))
        if word == "keep":
            return " ".join([*(text for _, text in turns), word, "kept"])
        if word == fitting:
            links = 0 if rng.random() < BREAKS[material] else links + 1
        fitting = str(rng.choice(level.pieces))
        turns += [("agent", word), ("partner", f"{links} {fitting}" if links < level.links else f"{links}")]
    return " ".join(text for _, text in turns)


def _make_constraints(level: Level) -> tuple[Say, ...]:
    return (Say((*level.pieces, "keep")),)


def _count_tokens(level: Level) -> int:
    return 1


TASK = conversation(
    "Chain",
    LEVELS,
    summary="Forge a chain that may break, and know when to keep it.",
    tags=("diagnostic", "conversation", "randomness", "planning"),
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_reward=Links,
    make_constraints=_make_constraints,
    make_stop=make_stop,
    make_partner=Smith,
    max_turns=attrgetter("turns"),
    choose=_choose,
    demonstrate=_forge,
    max_new_tokens=_count_tokens,
    make_facts=_make_facts,
    succeed_at=1.0,
)
