"""The log of a training run, and alarms in plain words when a signal dies."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from textgym.agents.lm.rollout import Rollout
from textgym.atomic import write_whole
from textgym.episodes import STOP_REASONS
from textgym.errors import missing_dependency

FILE = "training.jsonl"

Row = dict[str, Any]


class HealthWarning(UserWarning):
    """Something in a training run has probably gone wrong."""


ALARMS: Mapping[str, tuple[Callable[[Row], bool], str]] = {
    "entropy": (
        lambda row: row.get("entropy", 1.0) < 0.01,
        "the policy has almost no entropy left ({entropy:.4f} nats a token), so it writes the same text every time and "
        "learns nothing new; raise entropy_coefficient or kl_coefficient, or lower learning_rate",
    ),
    "rewards": (
        lambda row: row.get("reward_deviation", 1.0) == 0.0,
        "all {texts} texts of an update earned the same ({reward:.4g}), so there is nothing to learn from; look at the "
        "reward, or write more texts an update",
    ),
    "length": (
        lambda row: row.get("stopped_length", 0.0) == 1.0 and row.get("may_end", True),
        "every text of an update was cut off at the token limit; raise max_new_tokens, or reward texts that end",
    ),
    "kl": (
        lambda row: row.get("kl", 0.0) > row.get("kl_bound", np.inf),
        "the policy is {kl:.2f} nats a text away from its reference, above the bound of {kl_bound:g}; raise "
        "kl_coefficient or lower learning_rate",
    ),
    "clipping": (
        lambda row: row.get("clip_fraction", 0.0) > 0.5,
        "{clip_fraction:.0%} of the probability ratios were clipped: the steps are too large; lower learning_rate or "
        "epochs",
    ),
}


class Log:
    """One row of numbers an update; kept in memory and, where there is a folder, in ``training.jsonl``.

    Args:
        folder: Where the file goes.
        tensorboard: Also write TensorBoard's files there.

    Attributes:
        rows: All rows so far.
        known: What alarms need to know besides: ``kl_bound``, and ``may_end``, whether texts can end before the limit.
        checkpoint: The last checkpoint's folder, None before the first.
    """

    def __init__(self, folder: Path | None = None, *, tensorboard: bool = False) -> None:
        self.folder, self.rows = folder, list[Row]()
        self.known: Row = {}
        self.checkpoint: Path | None = None
        self._sounded: set[str] = set()
        self._board = _summary_writer(folder) if tensorboard and folder is not None else None

    def note(self, row: Row) -> None:
        """Keeps a row and sounds each alarm the first time that its condition holds."""
        alarms = [name for name, (holds, _) in ALARMS.items() if holds({**self.known, **row})]
        row = {**row, "alarms": alarms} if alarms else row
        self.rows.append(row)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        if self._board is not None:
            for name, value in row.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(name, value, row["steps"])
        for name in alarms:
            if name not in self._sounded:
                self._sounded.add(name)
                text = ALARMS[name][1].format(**{**self.known, **row})
                warnings.warn(f"update {row['update']}: {text}", HealthWarning, stacklevel=2)

    def clear(self) -> None:
        """Forgets all rows, and removes what an earlier run left in the folder."""
        self.rows = []
        if self.folder is not None:
            (self.folder / FILE).unlink(missing_ok=True)

    def rewind(self, update: int) -> None:
        """Forgets what was noted from this update on; the file is read where another process wrote it."""
        if self.folder is not None and (self.folder / FILE).is_file():
            lines = (self.folder / FILE).read_text(encoding="utf-8").splitlines()
            self.rows = [row for row in map(_parse, lines) if row is not None and row["update"] < update]
            write_whole(self.folder / FILE, "".join(json.dumps(row) + "\n" for row in self.rows))

    def write_into(self, folder: Path) -> None:
        """Writes all rows into another folder than the run's."""
        if self.rows and folder != self.folder:
            write_whole(folder / FILE, "".join(json.dumps(row) + "\n" for row in self.rows))

    def close(self) -> None:
        """Closes TensorBoard's files."""
        if self._board is not None:
            self._board.close()

    def last_good(self) -> str:
        """Where the weights before the present update are."""
        return f"the last good checkpoint is {str(self.checkpoint)!r}" if self.checkpoint else "there is no checkpoint"


def describe(rollout: Rollout) -> Row:
    """What every log row says of the texts of an update."""
    codes = rollout.episodes.stop_codes
    golds = rollout.episodes.gold()
    row: Row = {
        "texts": len(rollout),
        "reward": float(rollout.returns.mean()),
        "reward_deviation": float(rollout.returns.std()),
        "length": float(rollout.wrote.sum(axis=1).mean()),
        "rollout_tokens_per_second": rollout.steps / max(rollout.seconds, 1e-9),
    }
    if golds is not None:
        row["gold"] = float(golds.mean())
    for code, reason in enumerate(STOP_REASONS):
        if reason is not None:
            row[f"stopped_{reason}"] = float((codes == code).mean())
    return row


def _parse(line: str) -> Row | None:
    """A row of the file; None for the last one of a process that was killed while it wrote."""
    try:
        row: Row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise missing_dependency("tensorboard", "tensorboard", "tensorboard=True") from error
    return SummaryWriter(str(folder / "tensorboard"))
