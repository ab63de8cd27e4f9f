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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import product
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch, Prompt
from textgym.keys import spawn_seed, uniform
from textgym.puzzles import TEST_SHARE
from textgym.returns import Facts, Returns
from textgym.talk import Earned, Hidden, Say, last_tokens
from textgym.task import StopRule, Task
from textgym.tokenizers import WordTokenizer

BREAKS: Mapping[str, float] = {"steel": 0.02, "brass": 0.05, "iron": 0.1, "wood": 0.2, "rope": 0.3, "glass": 0.5}
"""The chance that a new link breaks the chain."""
PIECES = ("ring", "hook", "bar", "bolt", "clasp", "knot")


@dataclass(frozen=True)
class Level:
    """Settings of one level.

    Attributes:
        name: Name of the level.
        links: Of a finished chain.
        turns: Of the agent; the last has no reply.
        materials: Which there are.
        pieces: Kinds of pieces.
        starts: The prompts' chains have fewer links than that.
    """

    name: str
    links: int
    turns: int
    materials: tuple[str, ...]
    pieces: tuple[str, ...]
    starts: int

    @property
    def risks(self) -> NDArray[np.float64]:
        """``(M,)`` the chance that a new link breaks the chain, for each material."""
        return np.array([BREAKS[name] for name in self.materials])


LEVELS = {
    level.name: level
    for level in (
        Level("easy", 4, 8, ("brass", "rope", "glass"), PIECES[:3], 3),
        Level("medium", 6, 14, ("steel", "iron", "rope", "glass"), PIECES[:4], 4),
        Level("hard", 12, 30, tuple(BREAKS), PIECES, 5),
    )
}


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


@dataclass(frozen=True)
class Smith:
    """The partner: adds the piece if it fits, and replies with the links that there are and the piece that fits next.

    Attributes:
        level: Settings.
    """

    level: Level
    max_reply_tokens: int = 2
    stochastic: bool = True
    _state: Hidden = field(default_factory=partial(Hidden, "state"), init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
        """``(B, 2)`` the replies."""
        material, start, piece = self._state(batch).T
        top, kinds, pad = self.level.links, len(self.level.pieces), batch.tokenizer.vocab_size
        number, before, said = last_tokens(batch.completion_ids, batch.lengths, 3).T
        fits = said == np.where(batch.lengths == 1, top + 1 + piece, before)
        breaks = uniform(batch.keys, "break", batch.lengths) < self.level.risks[material]
        links = np.where(batch.lengths == 1, start, number)
        if (links > top).any():  # turns of several words: look further back
            links = _count_links(batch, start, top)
        links = np.where(fits, np.where(breaks, 0, links + 1), links)
        following = top + 1 + (uniform(batch.keys, "piece", batch.lengths) * kinds).astype(np.int64)
        kept = said == top + 1 + kinds
        numbers, pieces = np.where(kept, said + 1, links), np.where(kept | (links == top), pad, following)
        return np.stack([numbers, pieces], axis=1).astype(np.int32)


def _count_links(batch: EpisodeBatch, start: NDArray[np.int64], top: int) -> NDArray[np.int64]:
    """``(B,)`` the last number up to ``top`` that was said, or that of ``start`` where none was."""
    ids = batch.completion_ids
    backward = (ids <= top)[:, ::-1]
    last = np.take_along_axis(ids, ids.shape[1] - 1 - backward.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(backward.any(axis=1), last, start)


@dataclass(frozen=True)
class Links:
    """The links at the end, as a share of a finished chain.

    Attributes:
        level: Settings.
    """

    level: Level
    range = (0.0, 1.0)
    _state: Hidden = field(default_factory=partial(Hidden, "state"), init=False, repr=False, compare=False)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Scores ``(B,)`` conversations."""
        return _count_links(batch, self._state(batch)[:, 1], self.level.links) / self.level.links


def _make_stop(level: Level) -> StopRule:
    return partial(_is_over, (level.links, level.links + len(level.pieces) + 2))


def _is_over(ends: tuple[int, int], completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    last = last_tokens(completions, lengths, 1)[:, 0]
    return (last == ends[0]) | (last == ends[1])


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


def _make_oracle(level: Level) -> Callable[[Prompt, Sequence[tuple[str, str]]], str]:
    return partial(_choose, level)


def _choose(level: Level, prompt: Prompt, turns: Sequence[tuple[str, str]]) -> str:
    """The piece that fits, as long as that is worth more than the chain."""
    material, start, _, piece = prompt.text.split()
    links, fitting = turns[-1][1].split() if turns else (start, piece)
    state, moves = int(links), level.turns - 1 - len(turns) // 2
    if moves and adding_value(state, moves, risk=BREAKS[material], top=level.links) > state / level.links:
        return fitting
    return "keep"


def _make_demonstration(level: Level) -> Callable[[Prompt, np.random.Generator], str]:
    return partial(_forge, level)


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


def _make_success(level: Level) -> Earned:
    return Earned(Links(level), at_least=1.0)


def _make_constraints(level: Level) -> tuple[Say, ...]:
    return (Say((*level.pieces, "keep")),)


def _count_tokens(level: Level) -> int:
    return 1


TASK = Task(
    name="Chain",
    summary="Forge a chain that may break, and know when to keep it.",
    levels=LEVELS,
    level="easy",
    tags=("diagnostic", "conversation", "randomness", "planning"),
    make_prompts=make_prompts,
    make_tokenizer=make_tokenizer,
    make_reward=Links,
    make_success=_make_success,
    make_constraints=_make_constraints,
    make_stop=_make_stop,
    make_partner=Smith,
    max_turns=attrgetter("turns"),
    make_oracle=_make_oracle,
    make_demonstration=_make_demonstration,
    make_facts=_make_facts,
    max_new_tokens=_count_tokens,
)
