"""The annotator's pages: the personal link, the two texts, the vote and its undo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from textgym.comparisons import Choice
from textgym.feedback.desk import (
    HERE,
    NO_TOKEN,
    Desk,
    TheAnnotator,
    TheDesk,
    is_form,
    own_form_token,
    read_form,
    show_name,
)
from textgym.feedback.display import Shown, pieces
from textgym.feedback.projects import Annotator, AnsweredError, Question, TaskGoneError

router = APIRouter()

_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_STATIC = {path.name: (path.read_bytes(), _KINDS[path.suffix]) for path in sorted((HERE / "static").iterdir())}
_NOTHING = Shown(())
_HOMES = {"annotator": "/", "teacher": "/live"}


class Vote(BaseModel):
    """What ``POST /judgements`` takes.

    Attributes:
        task: Which task is answered.
        choice: The answer, in terms of what was shown.
        strength: How much better, if the project asks for it.
        seconds: Time taken.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    task: str = Field(min_length=1, max_length=200)
    choice: Choice
    strength: int | None = Field(default=None, ge=1, le=3)
    seconds: float | None = Field(default=None, ge=0, le=86_400, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class Card:
    """What an annotator sees. Neither sides, nor pair, nor repeats, nor writers can be told from it.

    Attributes:
        task: The task's id; None where there is nothing to judge.
        prompt: The prompt.
        left: The left text.
        right: The right text.
        done: Tasks answered.
        total: About how many there will be.
    """

    task: str | None = None
    prompt: Shown = _NOTHING
    left: Shown = _NOTHING
    right: Shown = _NOTHING
    done: int = 0
    total: int = 0

    def as_json(self) -> dict[str, Any]:
        """In values that JSON knows."""
        texts = {name: getattr(self, name).as_json() for name in ("prompt", "left", "right")}
        return {"task": self.task, **texts, "done": self.done, "total": self.total}


def make_card(desk: Desk, annotator: Annotator, task: Question | None) -> Card:
    """The card of a task, or of nothing to do. Reads the database."""
    if task is None:
        shares = [share for share in desk.store.progress().shares if share.annotator.id == annotator.id]
        done = sum(share.done for share in shares)
        return Card(done=done, total=done)
    return Card(
        task=task.id,
        prompt=Shown.of(task.prompt),
        left=Shown.of(task.left, task.left_ids, desk.spell),
        right=Shown.of(task.right, task.right_ids, desk.spell),
        done=task.done,
        total=task.total,
    )


def _next_card(desk: Desk, annotator: Annotator) -> Card:
    return make_card(desk, annotator, desk.store.next_task(annotator.id))


@router.get("/")
async def judging_page(desk: TheDesk, request: Request, annotator: TheAnnotator) -> Response:
    """The page with two texts."""
    return await _show_page(desk, request, annotator)


@router.get("/task")
async def current_task(desk: TheDesk, annotator: TheAnnotator) -> Response:
    """The same for the script."""
    return JSONResponse({"card": (await desk.ask(_next_card, desk, annotator)).as_json()})


@router.post("/judgements")
async def judge(desk: TheDesk, request: Request, annotator: TheAnnotator) -> Response:
    """Takes a vote, as JSON from the script or as a plain form, and answers with the next task."""
    vote = await _read_vote(request)

    def save() -> tuple[str, Card]:
        saved = desk.store.judge(annotator.id, vote.task, vote.choice, strength=vote.strength, seconds=vote.seconds)
        return saved.id, _next_card(desk, annotator)

    try:
        judgement, card = await desk.ask(save)
    except (AnsweredError, TaskGoneError) as error:
        status = 409 if isinstance(error, AnsweredError) else 410
        if is_form(request):
            return await _show_page(desk, request, annotator, problem=str(error), status=status)
        card = await desk.ask(_next_card, desk, annotator)
        return JSONResponse({"detail": str(error), "card": card.as_json()}, status)
    if is_form(request):
        return RedirectResponse("/", 303)
    return JSONResponse({"judgement": judgement, "card": card.as_json()})


@router.post("/undo")
async def undo(desk: TheDesk, request: Request, annotator: TheAnnotator) -> Response:
    """Takes the last answer back, and shows its task again."""
    if is_form(request):
        await read_form(request, "annotator")
    else:
        _check_json(request)
    task = await desk.ask(desk.store.undo, annotator.id)
    problem = "" if task else "there is nothing to undo"
    if is_form(request):
        return await _show_page(desk, request, annotator, problem=problem, status=200 if task else 409)
    card = await desk.ask(make_card, desk, annotator, task) if task else await desk.ask(_next_card, desk, annotator)
    return JSONResponse({"card": card.as_json(), **({"detail": problem} if problem else {})}, 200 if task else 409)


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Style, scripts and the icon; anybody may have them."""
    if name not in _STATIC:
        raise HTTPException(404, "there is no such file")
    content, kind = _STATIC[name]
    return Response(content, media_type=kind)


@router.get("/a/{token}")
async def enter(desk: TheDesk, request: Request, token: str) -> Response:
    """A personal link: the token goes into a cookie and out of the address."""
    annotator = desk.store.annotator_of(token)
    if annotator is None:
        raise HTTPException(401, f"this link is not, or no longer, valid; {NO_TOKEN}")
    home = _HOMES[annotator.role]
    # A browser that was sent here by another site, such as a mailbox, would not send the new cookie along with a
    # redirect; it does when our own page goes on.
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        text = "Your browser will remember you on this page."
        response: Response = desk.page("message.html", title="Welcome", text=text, onward=home)
    else:
        response = RedirectResponse(home, 303)
    desk.let_in(response, annotator.role, token)
    return response


async def _read_vote(request: Request) -> Vote:
    try:
        if not is_form(request):
            _check_json(request)
            return Vote.model_validate_json(await request.body())
        fields = dict(await read_form(request, "annotator"))
        strength = fields.pop("strength", "")
        asked = int(strength) if strength in ("1", "2", "3") and fields.get("choice") in ("left", "right") else None
        return Vote.model_validate({**fields, "strength": asked})
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors())
        raise HTTPException(422, found) from None


def _check_json(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "expected application/json")


async def _show_page(
    desk: Desk, request: Request, annotator: Annotator, *, problem: str = "", status: int = 200
) -> Response:
    card = await desk.ask(_next_card, desk, annotator)
    project = desk.store.project
    return desk.page(
        "judge.html",
        status,
        card=card,
        name=show_name(annotator.name),
        guidelines=pieces(project.guidelines),
        ask_strength=project.ask_strength,
        form_token=own_form_token(request, "annotator"),
        problem=problem,
        said="" if card.task else "Nothing more to judge.",
    )
