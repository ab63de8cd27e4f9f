"""A meter that also keeps every number, to compare with what the real one sums up."""

from typing import Any

import numpy as np

from textgym.benchmarks.meter import Meter


class LoggingMeter(Meter):
    """Every finished episode in the order in which they ended: ``log`` has a column for each of its numbers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rows: list[tuple[int, float, int, int]] = []

    def record(self, batch, returns) -> None:
        super().record(batch, returns)
        columns = (returns.tolist(), batch.lengths.tolist(), batch.stop_codes.tolist())
        self._rows += [(self.steps, *row) for row in zip(*columns, strict=True)]

    def record_one(self, episode, value, stop_code) -> None:
        super().record_one(episode, value, stop_code)
        self._rows.append((self.steps, value, int(episode().lengths[0]), stop_code))

    @property
    def log(self) -> dict[str, np.ndarray]:
        """``steps``, ``returns``, ``lengths`` and ``stop_codes``, each ``(N,)``."""
        columns = np.array(self._rows, dtype=float).reshape(-1, 4).T
        return dict(zip(("steps", "returns", "lengths", "stop_codes"), columns, strict=True))
