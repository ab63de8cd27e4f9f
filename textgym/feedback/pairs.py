"""Pairs of texts to be compared: two different completions of one prompt each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import ILLEGAL, LENGTH, STOP, EpisodeBatch
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.feedback.text_sources import TextSource
from textgym.keys import spawn_seed
from textgym.task import Task

ROUNDS = 30  # in which texts that cannot be used are written anew


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two completions of one prompt. Which of them stands on the left is decided for each annotator.

    Attributes:
        id: Names the pair; the same pair of the same environment has the same name everywhere.
        prompt: The prompt's original string.
        first: One completion, as text.
        second: The other.
        prompt_index: The prompt's row in the task's table; -1 where there is no task.
        first_ids: One completion as token ids, an end id included if it was written.
        second_ids: The other completion as token ids.
        env_id: The environment in which they were written.
        policy: Who wrote them.
        gold: The better text, where that is known for certain: an attention check.
    """

    id: str
    prompt: str
    first: str
    second: str
    prompt_index: int = -1
    first_ids: tuple[int, ...] = ()
    second_ids: tuple[int, ...] = ()
    env_id: str = ""
    policy: str = ""
    gold: Literal["", "first", "second"] = ""


def is_swapped(seed: int, annotator: str, pair: str) -> bool:
    """Whether an annotator sees a pair's second text on the left: a coin, always the same for the same three.

    Args:
        seed: The project's.
        annotator: Who looks.
        pair: The pair's name.

    Example:
        >>> is_swapped(0, "ann", "pair 7") == is_swapped(0, "ann", "pair 7")
        True
    """
    return bool(sha256(repr((seed, annotator, pair)).encode()).digest()[0] & 1)


def sample_pairs(envs: EnvFactory, policy: Any, count: int, *, seed: int = 0, other: Any = None) -> list[Pair]:
    """Lets somebody write two different texts to each of ``count`` prompts.

    The training prompts take turns, in random order. No pair comes twice, in whichever order of its texts, unless the
    policy writes too few different ones. Illegal texts are left out.

    Args:
        envs: Makes the environments. Their reward is not asked, but by agents that ask it themselves.
        policy: An agent that samples, or one of :data:`textgym.feedback.text_sources.POLICIES`.
        count: How many pairs.
        seed: Decides all that is random.
        other: Who writes the second texts; by default the same.

    Raises:
        UnknownNameError: for the name of no policy.
        ConfigurationError: for what is no policy, a task without the demonstrations that were asked for, a
            conversation, and a policy that writes always the same text to a prompt.

    Example:
        >>> pairs = sample_pairs(EnvFactory("TextGen-v0"), "mixed", 3)
        >>> [pair.first != pair.second for pair in pairs]
        [True, True, True]
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise ConfigurationError(f"count={count!r}: expected a whole number of at least 1")
    sources = [TextSource.of(one, envs) for one in (policy, policy if other is None else other)]
    task = sources[0].task
    _refuse_conversations(task)
    rng = np.random.default_rng(spawn_seed(seed, "pairs", "prompts"))
    known = task.prompts.rows(envs.kwargs.get("split") or task.default_split)
    rows = np.concatenate([rng.permutation(known) for _ in range(-(-count // len(known)))])[:count]
    drafts = _write_different(sources, rows, seed)
    policies = " and ".join(dict.fromkeys(source.name for source in sources))
    return [
        Pair(
            id=name,
            prompt=task.prompts.texts[draft.row],
            first=draft.first,
            second=draft.second,
            prompt_index=draft.row,
            first_ids=draft.first_ids,
            second_ids=draft.second_ids,
            env_id=envs.env_id,
            policy=policies,
        )
        for name, draft in zip(_names(envs.env_id, task, drafts), drafts, strict=True)
    ]


def mark_best(task: Task, pairs: Sequence[Pair], count: int) -> list[Pair]:
    """The pairs, with the better text noted in those ``count`` whose gold scores differ most: attention checks.

    Raises:
        ConfigurationError: for a task without a gold score.

    Example:
        >>> envs = EnvFactory("TextGen-v0")
        >>> sum(pair.gold != "" for pair in mark_best(envs.task(), sample_pairs(envs, "mixed", 20), 2))
        2
    """
    first, second = (batch.gold() for batch in to_batches(task, pairs))
    if first is None or second is None:
        raise ConfigurationError(f"the task {task.name} has no gold score, so nobody knows the better text of a pair")
    margins = first - second
    marked = list(pairs)
    for row in np.argsort(-np.abs(margins), kind="stable")[: max(count, 0)].tolist():
        if margins[row]:
            marked[row] = replace(pairs[row], gold="first" if margins[row] > 0 else "second")
    return marked


def to_batches(task: Task, pairs: Sequence[Pair]) -> tuple[EpisodeBatch, EpisodeBatch]:
    """The first and the second texts of pairs, for rewards and for the gold score.

    Both texts of a pair have the same key, which its name decides, so that they meet the same chance.

    Args:
        task: The task in which they were written, with all overrides.
        pairs: With token ids, or else with texts of the task's vocabulary.

    Raises:
        PromptError: for a prompt that the task has not.
        ConfigurationError: for a conversation, whose turns the ids alone do not tell.
    """
    _refuse_conversations(task)
    found: dict[str, int] = {}
    rows = [_row(task, pair, found) for pair in pairs]
    keys = np.array([_hash(pair.id) for pair in pairs], dtype=np.uint64)
    firsts = [pair.first_ids or task.encode_completion(pair.first) for pair in pairs]
    seconds = [pair.second_ids or task.encode_completion(pair.second) for pair in pairs]
    return _batch(task, rows, firsts, keys), _batch(task, rows, seconds, keys)


class _Draft(NamedTuple):
    """Two texts to the prompt of a row."""

    row: int
    first: str
    second: str
    first_ids: tuple[int, ...]
    second_ids: tuple[int, ...]

    @property
    def content(self) -> tuple[int, frozenset[tuple[int, ...]]]:
        """What is the same in two drafts of the same pair."""
        return self.row, frozenset((self.first_ids, self.second_ids))


def _write_different(sources: Sequence[TextSource], rows: NDArray[np.int64], seed: int) -> list[_Draft]:
    """Two different texts to each prompt, new ones as long as there are any."""
    kept: list[_Draft | None] = [None] * len(rows)
    seen: set[Any] = set()
    waiting = list(range(len(rows)))
    for turn in range(ROUNDS):
        for place, draft in zip(waiting, _write(sources, rows[waiting], seed, turn), strict=True):
            if draft is not None:
                kept[place] = draft
        waiting = _unsettled(kept, waiting, seen)
        if not waiting:
            break
    drafts = [draft for draft in kept if draft is not None]
    if len(drafts) < len(rows):
        prompt = sources[0].task.prompts.texts[int(rows[kept.index(None)])]
        raise ConfigurationError(
            f"the policy wrote no two different legal texts to the prompt {prompt!r} in {ROUNDS} attempts; give an "
            "agent that samples, other=, or the policy 'mixed'"
        )
    return drafts


def _unsettled(kept: Sequence[_Draft | None], waiting: Sequence[int], seen: set[Any]) -> list[int]:
    """The places that have no draft yet, or one that another place has too."""
    left = []
    for place in waiting:
        draft = kept[place]
        if draft is None or draft.content in seen:
            left.append(place)
        else:
            seen.add(draft.content)
    return left


def _write(sources: Sequence[TextSource], rows: NDArray[np.int64], seed: int, turn: int) -> list[_Draft | None]:
    """A draft for each prompt, None where a text is illegal or both are the same."""
    seeds = [spawn_seed(seed, "pairs", side, str(turn)) % 2**31 for side in ("first", "second")]
    one, two = (source.write(rows, number) for source, number in zip(sources, seeds, strict=True))
    legal = (one.stop_codes != ILLEGAL) & (two.stop_codes != ILLEGAL)
    drafts: list[_Draft | None] = []
    for place, (row, first, second) in enumerate(zip(rows.tolist(), one.completions, two.completions, strict=True)):
        usable = legal[place] and first != second
        ids = tuple(one.ids(place)), tuple(two.ids(place))
        drafts.append(_Draft(row, first, second, *ids) if usable else None)
    return drafts


def _names(env_id: str, task: Task, drafts: Sequence[_Draft]) -> list[str]:
    """A name for each pair, which its content decides; a pair that comes again gets another."""
    times: Counter[_Draft] = Counter()
    names = []
    for draft in drafts:
        content = (env_id, task.prompts.texts[draft.row], draft.first_ids, draft.second_ids, times[draft])
        names.append(sha256(repr(content).encode()).hexdigest()[:16])
        times[draft] += 1
    return names


def _refuse_conversations(task: Task) -> None:
    if task.partner is not None:
        raise ConfigurationError(
            f"{task.name} is a conversation; pairs are of texts of one writer, so take a task without a partner"
        )


def _row(task: Task, pair: Pair, found: dict[str, int]) -> int:
    """The prompt's row; its text counts where that is not what stands there."""
    index, texts = pair.prompt_index, task.prompts.texts
    if 0 <= index < len(texts) and texts[index] == pair.prompt:
        return index
    if pair.prompt not in found:
        found[pair.prompt] = task.prompts.index_of(pair.prompt)
    return found[pair.prompt]


def _hash(name: str) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:8])


def _batch(
    task: Task, rows: Sequence[int], completions: Sequence[Sequence[int]], keys: NDArray[np.uint64]
) -> EpisodeBatch:
    batch = EpisodeBatch.from_ids(
        task.prompts,
        task.tokenizer,
        rows,
        completions,
        max_new_tokens=task.budget,
        keys=keys,
        gold=task.gold,
        success=task.success,
    )
    if task.stop is not None and len(batch):
        codes = batch.stop_codes.copy()
        stopped = task.stop(batch.completion_ids, batch.lengths) & (codes == LENGTH)
        codes[stopped] = STOP
        codes.flags.writeable = False
        batch.stop_codes = codes
    return batch
