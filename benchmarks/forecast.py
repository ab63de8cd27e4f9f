"""How much time a comparison will take from here, by the runs that have finished since it was started."""

from __future__ import annotations

import time
from collections.abc import Callable

from .costs import START_SECONDS, duration, guess
from .ledger import Ledger
from .records import RunResult, RunSpec

_ENOUGH = 0.02  # of the work, before anything is said


class Forecast:
    """Tells the time left of a comparison; made when it starts, and asked when a run finishes.

    What a run will take is judged by finished runs of the same agent, and of others where there is none yet, each
    against what is typical in its environment. How much work is done in a second, by however many processes, is
    what was done so far in this session.

    Args:
        ledger: Of the comparison, before it starts.
        clock: Tells seconds.
    """

    def __init__(self, ledger: Ledger, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._ledger, self._clock, self._start = ledger, clock, clock()
        self._usual = {spec.key: guess(spec) for spec in ledger.specs if spec.key not in ledger.results}
        self._total = sum(self._usual.values())

    def __call__(self) -> str:
        """``about 40 min left``; empty while too little is finished, and when nothing is left."""
        seconds = self.seconds()
        return "" if seconds is None else f"about {duration(seconds)} left"

    def seconds(self) -> float | None:
        """Seconds that are left; None while too little is finished, and when nothing is left."""
        done = [self._ledger.results[key] for key in self._usual if key in self._ledger.results]
        left = [spec for spec in self._ledger.specs if spec.key not in self._ledger.results]
        usual = sum(self._usual[run.spec.key] for run in done)
        if not left or not done or usual < _ENOUGH * self._total:
            return None
        factors = self._factors(done)
        shares = self._ledger.shares
        work = sum(map(_spent, done))
        rest = 0.0
        for spec in left:
            seconds, share = self._seconds(spec, factors), shares.get(spec.key, 0.0)
            work, rest = work + share * seconds, rest + (1.0 - share) * seconds
        return rest * (self._clock() - self._start) / work

    def _seconds(self, spec: RunSpec, factors: dict[str, float]) -> float:
        return self._usual[spec.key] * factors.get(spec.label, factors[""])

    def _factors(self, done: list[RunResult]) -> dict[str, float]:
        """Agent -> how many times longer than usual its runs took; under the empty name, those of all agents."""
        spent: dict[str, float] = {}
        usual: dict[str, float] = {}
        for run in [run for run in done if run.status == "ok"] or done:
            for name in (run.spec.label, ""):
                spent[name] = spent.get(name, 0.0) + _spent(run)
                usual[name] = usual.get(name, 0.0) + self._usual[run.spec.key]
        return {name: spent[name] / usual[name] for name in spent}


def _spent(run: RunResult) -> float:
    return START_SECONDS + run.train_seconds + run.evaluation_seconds
