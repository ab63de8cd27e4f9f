"""Judging at the terminal: two texts, one key."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from textgym.comparisons import Choice, Comparison
from textgym.feedback.display import pieces
from textgym.feedback.gathering import gather
from textgym.feedback.pairs import Pair, is_swapped

KEYS: dict[str, Choice] = {"1": "left", "2": "right", "t": "tie", "b": "both_bad", "s": "skip"}
UNDO, STOP = "u", "q"
HELP = "1 or 2 = the better text, t = as good, b = both bad, s = skip, u = undo, q = stop here"


@dataclass
class TerminalGatherer:
    """One person judges at the prompt, for a few dozen pairs.

    Attributes:
        ask: Prints a question and returns the answer, as :func:`input` does.
        tell: Prints a line.
        name: The annotator's.
        seed: Decides which text stands first.
        clock: Seconds, for the time taken.
    """

    ask: Callable[[str], str]
    tell: Callable[[str], None]
    name: str = "terminal"
    seed: int = 0
    clock: Callable[[], float] = time.monotonic
    _waiting: list[Pair] = field(default_factory=list, init=False, repr=False)
    _given: list[Comparison] = field(default_factory=list, init=False, repr=False)
    _stopped: bool = field(default=False, init=False, repr=False)

    def submit(self, pairs: Sequence[Pair]) -> None:
        """Puts pairs behind those that wait."""
        self._waiting += pairs
        self._stopped = False

    @property
    def pending(self) -> int:
        """How many pairs wait; 0 once the person has stopped."""
        return 0 if self._stopped else len(self._waiting)

    def poll(self) -> list[Comparison]:
        """Asks for all pairs that wait, until the person stops.

        Raises:
            KeyboardInterrupt: where the person presses Ctrl-C; the next poll has what was judged before.
        """
        while len(self._given) < len(self._waiting) and not self._stopped:
            pair = self._waiting[len(self._given)]
            answer = self._question(pair, len(self._given) + 1)
            if isinstance(answer, Comparison):
                self._given.append(answer)
            elif answer == UNDO:
                self._given = self._given[:-1]
            else:
                self._stopped = True
        given, self._given = self._given, []
        self._waiting = self._waiting[len(given) :]
        return given

    def gather(self, pairs: Sequence[Pair], *, timeout: float | None = None) -> list[Comparison]:
        """Asks for these pairs and those that waited; a person is not hurried, so ``timeout`` changes nothing."""
        return gather(self, pairs, timeout=timeout)

    def _question(self, pair: Pair, number: int) -> Comparison | str:
        swapped = is_swapped(self.seed, self.name, pair.id)
        left, right = (pair.second, pair.first) if swapped else (pair.first, pair.second)
        self.tell(f"\n{number} of {len(self._waiting)}: {_visible(pair.prompt)}")
        self.tell(f"  1  {_visible(left) or '(empty)'}\n  2  {_visible(right) or '(empty)'}")
        begin, answer = self.clock(), self._key()
        if answer not in KEYS:
            return answer
        left_ids, right_ids = (pair.second_ids, pair.first_ids) if swapped else (pair.first_ids, pair.second_ids)
        return Comparison(
            prompt=pair.prompt, left=left, right=right, choice=KEYS[answer], left_ids=left_ids, right_ids=right_ids,
            pair=pair.id, swapped=swapped, annotator=self.name, seconds=self.clock() - begin, env_id=pair.env_id,
            policy=pair.policy,
        )  # fmt: skip

    def _key(self) -> str:
        """A key that means something; the end of the input is the wish to stop."""
        while True:
            try:
                answer = self.ask("better (? for help): ").strip().lower()
            except EOFError:
                return STOP
            except KeyboardInterrupt:
                self._stopped = True
                raise
            if answer in (*KEYS, UNDO, STOP):
                return answer
            self.tell(HELP)


def _visible(text: str) -> str:
    """The text without what would drive the terminal or turn the reading direction."""
    return "".join(piece.text for piece in pieces(text))
