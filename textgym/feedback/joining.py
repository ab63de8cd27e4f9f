"""The join page: with the class code, which the teacher shows, a class hands out personal links to itself."""

from __future__ import annotations

import io
import secrets
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from textgym.errors import ConfigurationError, missing_dependency
from textgym.feedback.desk import Desk, TheDesk, TheTeacher, read_form
from textgym.feedback.projects import Invitation
from textgym.feedback.security import RateLimit, is_same
from textgym.feedback.store import Store

router = APIRouter()

LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Of class codes: none looks like another."""
CODE_LENGTH = 6
LONGEST_NAME = 40
MOST_ANNOTATORS = 500
_SETTING = "class_code"
_CLOSED = "closed"


class WrongCodeError(ConfigurationError):
    """The class code is wrong, or the join page is closed."""


@dataclass(frozen=True)
class Joining:
    """Who may come in without a personal link. The code is in the database, so that it survives a restart.

    Attributes:
        store: The open database.
    """

    store: Store

    def code(self) -> str:
        """The class code; "" where nobody may join."""
        return self.store.setting(_SETTING).replace(_CLOSED, "")

    def begin(self) -> str:
        """Lets people join, with a new code."""
        code = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
        self.store.set_setting(_SETTING, code)
        return code

    def open_unless_closed(self) -> str:
        """What a server does when it starts: what the teacher has closed stays closed."""
        return self.code() or ("" if self.store.setting(_SETTING) == _CLOSED else self.begin())

    def end(self) -> None:
        """Lets nobody join any more."""
        self.store.set_setting(_SETTING, _CLOSED)

    def join(self, code: str, name: str) -> Invitation:
        """Makes a new annotator.

        Raises:
            WrongCodeError: for another code.
            ConfigurationError: for a name that is taken, or no name; or where too many have come.
        """
        expected = self.code()
        given = "".join(letter for letter in code.upper() if letter.isalnum())
        if not is_same(given, expected) or not expected:
            raise WrongCodeError("the class code is not right, or joining is closed")
        name = " ".join(name.split())
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise ConfigurationError(f"expected a name of 1 to {LONGEST_NAME} letters")
        if len(self.store.annotators()) >= MOST_ANNOTATORS:
            raise ConfigurationError(f"{MOST_ANNOTATORS} people have joined, which is as many as can")
        return self.store.add_annotator(name)


class Attempts:
    """Counts wrong codes: of one address, and of all, so that codes cannot be tried one by one."""

    def __init__(self) -> None:
        self._each = RateLimit(10, 1 / 6)
        self._all = RateLimit(60, 1.0)

    def check(self, address: str) -> None:
        """Refuses who has been wrong too often.

        Raises:
            HTTPException: 429.
        """
        if self._each.is_spent(address) or self._all.is_spent(""):
            raise HTTPException(429, "too many wrong class codes; wait a minute", {"Retry-After": "60"})

    def count(self, address: str) -> None:
        """Notes a wrong code."""
        self._each.wait(address)
        self._all.wait("")


def draw_qr(text: str) -> bytes:
    """A QR picture as SVG.

    Raises:
        MissingDependencyError: if segno is not installed.
    """
    try:
        import segno
    except ImportError:
        raise missing_dependency("segno", "label", "the picture of the join page's address") from None
    picture = io.BytesIO()
    segno.make(text, error="m", micro=False).save(picture, kind="svg", scale=8, border=4, light="#ffffff")
    return picture.getvalue()


@router.get("/join")
async def join_page(desk: TheDesk, code: str = "") -> Response:
    """Asks for the class code and a name."""
    _check_shared(desk)
    return desk.page("join.html", link="", code=code[:20], problem="", longest=LONGEST_NAME)


@router.post("/join")
async def join(desk: TheDesk, request: Request) -> Response:
    """Lets somebody in who knows the class code."""
    _check_shared(desk)
    address = request.client.host if request.client else ""
    attempts: Attempts = request.app.state.attempts
    attempts.check(address)
    fields = await read_form(request, None)
    code = fields.get("code", "")
    try:
        invitation = await desk.ask(Joining(desk.store).join, code, fields.get("name", ""))
    except ConfigurationError as error:
        if isinstance(error, WrongCodeError):
            attempts.count(address)
        status = 403 if isinstance(error, WrongCodeError) else 422
        return desk.page("join.html", status, link="", code=code[:20], problem=str(error), longest=LONGEST_NAME)
    link = f"{desk.addresses.public}/a/{invitation.token}"
    response = desk.page("join.html", link=link, code="", problem="", longest=LONGEST_NAME)
    desk.let_in(response, "annotator", invitation.token)
    return response


@router.get("/live/qr.svg")
async def qr_picture(desk: TheDesk, teacher: TheTeacher) -> Response:
    """The join page's address with the class code, for telephones."""
    code = await desk.ask(Joining(desk.store).code)
    if not code or not desk.addresses.is_shared:
        raise HTTPException(404, "the join page is closed")
    return Response(draw_qr(f"{desk.addresses.public}/join?code={quote(code)}"), media_type="image/svg+xml")


@router.post("/live/joining")
async def set_joining(desk: TheDesk, request: Request, teacher: TheTeacher) -> Response:
    """Closes the join page, or opens it with a new code."""
    wanted = (await read_form(request, "teacher")).get("joining")
    if wanted not in ("open", "close"):
        raise HTTPException(422, "joining: expected open or close")
    joining = Joining(desk.store)
    await desk.ask(joining.begin if wanted == "open" else joining.end)
    return RedirectResponse("/live", 303)


def _check_shared(desk: Desk) -> None:
    if not desk.addresses.is_shared:
        raise HTTPException(404, "there is no join page: the server was started without --public-url")
