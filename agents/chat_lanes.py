"""One lane of an environment as a chat model sees it: which text or turn it is in, and what is still to be written."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from textgym.agents.chat_briefing import Briefing


@dataclass
class Lane:
    """One text on its way.

    Attributes:
        written: The completion so far as it must be seen next, the agent's latest token included.
        begin: Where in it the present turn began.
        plan: Ids that are still to be written.
        turns: What was said before this turn.
        is_over: Whether the latest token ended the turn.
        is_illegal: Whether a token of the plan was illegal.
    """

    written: list[int]
    begin: int = 0
    plan: list[int] = field(default_factory=list)
    turns: list[tuple[str, str]] = field(default_factory=list)
    is_over: bool = False
    is_illegal: bool = False

    def follows(self, written: list[int]) -> bool:
        """Whether a completion is this one, or this one with a reply."""
        return written[: len(self.written)] == self.written

    def next_turn(self, written: list[int], briefing: Briefing) -> Lane:
        """The lane in its next turn, which begins after this completion."""
        reply = written[len(self.written) :]
        said = [("agent", self.written[self.begin :]), *([("partner", reply)] if reply else [])]
        turns = [*self.turns, *((side, briefing.decode(ids)) for side, ids in said)]
        return Lane(written, len(written), turns=turns)

    def room(self, briefing: Briefing) -> int:
        """How many tokens the present turn has left."""
        return max(1, briefing.task.turn_tokens - (len(self.written) - self.begin))

    def write(self, mask: NDArray[np.bool_], briefing: Briefing) -> int:
        """The next id of the plan; where it is illegal, the end, else the plan's next legal id, else the first one."""
        ends = briefing.task.tokenizer.eos_ids
        chosen = self.plan.pop(0) if self.plan else ends[0]
        if not mask[chosen]:
            self.is_illegal = True
            chosen = self._stand_in(mask, ends[0])
        self.written.append(chosen)
        self.is_over = chosen in ends or len(self.written) - self.begin >= briefing.task.turn_tokens
        return chosen

    def _stand_in(self, mask: NDArray[np.bool_], end: int) -> int:
        if mask[end]:
            self.plan.clear()
            return end
        while self.plan:
            chosen = self.plan.pop(0)
            if mask[chosen]:
                return chosen
        return int(mask.argmax())


def see(
    lane: Lane | None, completion: NDArray[np.int32], *, starts: bool, briefing: Briefing
) -> tuple[Lane | None, bool]:
    """What an observation makes of a lane.

    Args:
        lane: As the agent left it; None where it has seen nothing yet.
        completion: ``(T,)`` ids, padded with V.
        starts: Whether the environment says that a text begins.
        briefing: What is known of the task.

    Returns:
        The lane, None for a text that has just ended and is shown once more; and whether there is something to ask.
    """
    written: list[int] = completion[completion < briefing.task.tokenizer.vocab_size].tolist()
    if starts and written:
        return None, False
    if starts or lane is None or not lane.follows(written):
        return Lane(written), True
    return (lane.next_turn(written, briefing), True) if lane.is_over else (lane, False)
