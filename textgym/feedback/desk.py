"""What every page of the label server needs: the store, who is asking, and how an answer is written."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar, cast
from urllib.parse import parse_qs

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from textgym.errors import ConfigurationError
from textgym.feedback.display import Spell, pieces
from textgym.feedback.projects import (
    Annotator,
    AnsweredError,
    ForeignTaskError,
    Role,
    StoreError,
    TaskGoneError,
    UnknownTaskError,
)
from textgym.feedback.security import FORM, Addresses, RateLimit, form_token, is_same
from textgym.feedback.store import Store
from textgym.feedback.writer import Writer

HERE = Path(__file__).parent
MOST_FIELDS = 20  # of a form
DAYS = 30  # for which a browser stays known
TITLES = {400: "That cannot be", 401: "Who are you?", 403: "Not yours", 404: "There is no such page"}
NO_TOKEN = "open your personal link; whoever runs this server has it"

P = ParamSpec("P")
T = TypeVar("T")


class Desk:
    """Everything that the routes share.

    Args:
        store: The open database.
        addresses: Under which names the server is spoken to.
        spell: The text of each token id, for token boundaries; None where the tokenizer is not known.
        burst: Requests that one annotator may make at once.
        per_second: Requests a second after that.
    """

    def __init__(
        self,
        store: Store,
        addresses: Addresses,
        *,
        spell: Spell | None = None,
        burst: int = 60,
        per_second: float = 5.0,
    ) -> None:
        self.store = store
        self.addresses = addresses
        self.spell = spell
        self.pace = RateLimit(burst, per_second)
        self._writer = Writer(store)
        loader = FileSystemLoader(HERE / "templates")
        self._templates = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, auto_reload=False
        )

    async def ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Asks something of the store, without keeping others waiting; what it wrote is on the disk afterwards."""
        return await self._writer.ask(functools.partial(function, *args, **kwargs))

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page from a template, which writes all values as text."""
        return HTMLResponse(self._templates.get_template(template).render(**values), status)

    def cookie(self, role: Role) -> str:
        """The name of a role's cookie. Browsers do not keep the ports of a host apart, so the port is part of it."""
        return f"textgym_{role}_{self.addresses.port}"

    def let_in(self, response: Response, role: Role, token: str) -> None:
        """Puts the token into a cookie that scripts cannot read and other sites cannot send."""
        response.set_cookie(
            self.cookie(role),
            token,
            max_age=DAYS * 86_400,
            path="/",
            httponly=True,
            samesite="strict",
            secure=self.addresses.is_encrypted,
        )

    def who(self, request: Request, role: Role) -> Annotator | None:
        """Whose cookie a request brings, if it is somebody's of that role."""
        token = request.cookies.get(self.cookie(role), "")
        # Not through the writer: reading one row takes less time than waiting for others' rows to be on the disk.
        found = self.store.annotator_of(token) if token else None
        return found if found is not None and found.role == role else None

    def close(self) -> None:
        """Waits for what is being written."""
        self._writer.close()


def desk_of(request: Request) -> Desk:
    """The desk of the application that a request came to."""
    return cast("Desk", request.app.state.desk)


# FastAPI calls a dependency that is no coroutine in a thread, and waiting for the thread takes longer than all of this.
async def _desk(request: Request) -> Desk:
    return desk_of(request)


async def _annotator(request: Request) -> Annotator:
    return _known(request, "annotator")


async def _teacher(request: Request) -> Annotator:
    return _known(request, "teacher")


def _known(request: Request, role: Role) -> Annotator:
    desk = desk_of(request)
    found = desk.who(request, role)
    if found is None:
        raise HTTPException(401, NO_TOKEN)
    wait = desk.pace.wait(found.id)
    if wait:
        raise HTTPException(429, "too many requests; wait a moment", {"Retry-After": str(int(wait) + 1)})
    return found


TheDesk = Annotated[Desk, Depends(_desk)]
TheAnnotator = Annotated[Annotator, Depends(_annotator)]
TheTeacher = Annotated[Annotator, Depends(_teacher)]


def is_form(request: Request) -> bool:
    """Whether a plain form was sent, by a browser without scripts."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


async def read_form(request: Request, role: Role | None) -> Mapping[str, str]:
    """The fields of a plain form.

    Args:
        request: The request.
        role: Whose page the form was on: its token must be in the form. None for a page that anybody may see.

    Raises:
        HTTPException: 403 if the form did not come from such a page, 415 and 422 for what is no such form.
    """
    if not is_form(request):
        raise HTTPException(415, f"expected {FORM}")
    body = (await request.body()).decode("utf-8", "replace")
    try:
        found = parse_qs(body, max_num_fields=MOST_FIELDS, keep_blank_values=True)
    except ValueError:
        raise HTTPException(422, f"expected a form of at most {MOST_FIELDS} fields") from None
    fields = {name: values[0] for name, values in found.items()}
    if role is not None:
        token = request.cookies.get(desk_of(request).cookie(role), "")
        if not is_same(fields.pop("form_token", None), form_token(token)):
            raise HTTPException(403, "this form is not from a page of yours; reload the page")
    return fields


def own_form_token(request: Request, role: Role) -> str:
    """What the forms of a page must hold."""
    return form_token(request.cookies[desk_of(request).cookie(role)])


async def explain(request: Request, error: Exception) -> Response:
    """Any error as an answer: a page for a browser, JSON for a script.

    Somebody without a token learns nothing about which pages there are.
    """
    status, detail, headers = _read_error(error)
    desk = desk_of(request)
    if status in (404, 405) and not [role for role in ("annotator", "teacher") if desk.who(request, role)]:
        status, detail = 401, NO_TOKEN
    if "text/html" in request.headers.get("accept", ""):
        title = TITLES.get(status, "That did not work")
        response: Response = desk.page("message.html", status, title=title, text=detail, onward="")
    else:
        response = JSONResponse({"detail": detail}, status)
    response.headers.update(headers)
    return response


def _read_error(error: Exception) -> tuple[int, str, Mapping[str, str]]:
    if isinstance(error, HTTPException):
        return error.status_code, error.detail, error.headers or {}
    kinds: Sequence[tuple[type[Exception], int]] = (
        (UnknownTaskError, 404),
        (ForeignTaskError, 403),
        (AnsweredError, 409),
        (TaskGoneError, 410),
        (ConfigurationError, 422),
        (StoreError, 503),
    )
    return next(status for kind, status in kinds if isinstance(error, kind)), str(error), {}


def show_name(name: str) -> Any:
    """A name for a template, with whatever would be invisible made visible."""
    return pieces(name)
