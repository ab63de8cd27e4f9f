"""The teacher's live page: how far the labelling is, how far people agree, and what a reward model makes of it.

The numbers are computed beside the requests, when somebody looks and something is new, at most every few seconds.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from textgym.comparisons import Comparison
from textgym.feedback.accuracy import LearningCurve
from textgym.feedback.agreement import Coefficient, measure_agreement
from textgym.feedback.desk import TheDesk, TheTeacher, own_form_token
from textgym.feedback.display import Piece, pieces
from textgym.feedback.joining import Joining
from textgym.feedback.projects import Progress
from textgym.feedback.quality import AnnotatorQuality, Share, binomial_p, measure_quality
from textgym.feedback.store import Store
from textgym.tokenizers import Tokenizer

router = APIRouter()

COLUMNS = ("name", "answers", "skips", "median time", "left", "repeats", "checks", "like others", "remarks")
PAUSE = 2.0
"""Seconds between two computations, at least."""
REPLICATES = 200
NONE = "\u2013"

Row = tuple[tuple[Piece, ...] | str, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the live page shows, as texts.

    Attributes:
        numbers: Name and value of each number.
        columns: The heads of the annotators' table.
        people: Its rows, the first column as pieces.
        curve: Decided labels, and the reward model's accuracy on unseen pairs and on unseen prompts.
        note: What there is to say about the curve.
    """

    numbers: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    people: tuple[Row, ...]
    curve: tuple[tuple[int, float, float], ...]
    note: str


class Live:
    """Computes reports in a thread of their own.

    Args:
        store: The open database.
        tokenizer: Of the labelled texts; None where it is not known.
        pause: Seconds between two computations, at least.
        rest: And how many times as long as the last computation took: that time belongs to the votes.
    """

    def __init__(
        self, store: Store, tokenizer: Tokenizer | None = None, *, pause: float = PAUSE, rest: float = 4.0
    ) -> None:
        self._store, self._pause, self._rest = store, pause, rest
        self._curve = LearningCurve(tokenizer)
        self._report: Report | None = None
        self._running: asyncio.Task[None] | None = None
        self._due = -math.inf

    async def report(self) -> Report:
        """The latest report; a newer one is begun if it is time. Only the first has to be waited for."""
        if self._running is None and time.monotonic() >= self._due:
            self._running = asyncio.create_task(self._renew())
        if self._report is None and self._running is not None:
            await asyncio.shield(self._running)
        if self._report is None:
            raise HTTPException(503, "the numbers are not ready; try again in a moment")
        return self._report

    async def _renew(self) -> None:
        begin = time.monotonic()
        try:
            self._report = await asyncio.to_thread(self.compute)
        finally:
            self._running = None
            end = time.monotonic()
            self._due = end + max(self._pause, self._rest * (end - begin))

    def compute(self) -> Report:
        """A report on what is in the database now."""
        progress, comparisons = self._store.progress(), self._store.comparisons()
        qualities = measure_quality(comparisons)
        curve, note = self._curve.points(comparisons)
        return Report(
            numbers=(*_progress_numbers(progress), *_agreement_numbers(comparisons), *_side_numbers(qualities)),
            columns=COLUMNS,
            people=_rows(progress, qualities),
            curve=tuple(curve),
            note=note,
        )


def _progress_numbers(progress: Progress) -> list[tuple[str, str]]:
    return [
        ("Answers", f"{progress.answers}"),
        ("Places filled", f"{progress.filled} of {progress.places}"),
        ("Pairs complete", f"{progress.complete} of {progress.pairs}"),
        ("Open just now", f"{progress.open}"),
        ("Answers a minute", f"{progress.per_minute:.1f}"),
    ]


def _agreement_numbers(comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    found = measure_agreement(comparisons, replicates=REPLICATES)
    return [
        ("Pairs judged by several", f"{found.pairs}"),
        ("Agreement", _coefficient(found.percent, percent=True)),
        ("Cohen's kappa", _coefficient(found.cohen)),
        ("Fleiss' kappa", _coefficient(found.fleiss)),
        ("Krippendorff's alpha, nominal", _coefficient(found.nominal)),
        ("Krippendorff's alpha, ordinal", _coefficient(found.ordinal)),
    ]


def _coefficient(found: Coefficient, *, percent: bool = False) -> str:
    if math.isnan(found.value):
        return NONE
    form = "{:.0%}" if percent else "{:.2f}"
    interval = "" if math.isnan(found.low) else f" ({form.format(found.low)} to {form.format(found.high)})"
    return form.format(found.value) + interval


def _side_numbers(qualities: Sequence[AnnotatorQuality]) -> list[tuple[str, str]]:
    left = Share(sum(one.left.count for one in qualities), sum(one.left.total for one in qualities))
    same = Share(sum(one.consistent.count for one in qualities), sum(one.consistent.total for one in qualities))
    chance = f" (p = {binomial_p(left.count, left.total):.3f})" if left.total else ""
    return [("Chose the left text", _share(left) + chance), ("Repeats answered as before", _share(same))]


def _share(share: Share) -> str:
    return f"{share.value:.0%} of {share.total}" if share.total else NONE


def _rows(progress: Progress, qualities: Sequence[AnnotatorQuality]) -> tuple[Row, ...]:
    known = {one.annotator: one for one in qualities}
    rows: list[Row] = []
    for share in progress.shares:
        if share.annotator.role != "annotator":
            continue
        median = NONE if share.median_seconds is None else f"{share.median_seconds:.1f} s"
        row: Row = (pieces(share.annotator.name), f"{share.done}", f"{share.skipped}", median)
        if (quality := known.get(share.annotator.name)) is None:
            rows.append((*row, NONE, NONE, NONE, NONE, ""))
            continue
        shares = (quality.left, quality.consistent, quality.checks, quality.agreeing)
        rows.append((*row, *map(_share, shares), "; ".join(quality.remarks)))
    return tuple(rows)


@router.get("/live")
async def live_page(desk: TheDesk, request: Request, teacher: TheTeacher) -> Response:
    """The page for the teacher, and for the wall."""
    live: Live = request.app.state.live
    shared = desk.addresses.is_shared
    return desk.page(
        "live.html",
        report=await live.report(),
        env_id=pieces(desk.store.project.env_id),
        public=desk.addresses.public if shared else "",
        code=await desk.ask(Joining(desk.store).code) if shared else "",
        form_token=own_form_token(request, "teacher"),
    )


@router.get("/live/numbers")
async def live_numbers(request: Request, teacher: TheTeacher) -> Response:
    """The same numbers for the script."""
    live: Live = request.app.state.live
    report: dict[str, Any] = asdict(await live.report())
    return JSONResponse(report)
