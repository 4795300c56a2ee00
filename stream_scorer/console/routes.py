"""Signing in, up and out: plain forms, before and beside the pages."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.concurrency import run_in_threadpool

from stream_scorer.console import audit, sessions
from stream_scorer.console.cookies import Cookie
from stream_scorer.console.database import Database
from stream_scorer.console.doors import Address
from stream_scorer.console.guard import PERSON
from stream_scorer.console.people import Person
from stream_scorer.console.signing import WAITS, Desk
from stream_scorer.errors import BadInput

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
)
HOME = "/live"
FormText = Annotated[str, Form(max_length=2000)]


def page(template: str, title: str, *, status: int = 200, **values: str) -> HTMLResponse:
    """Return a form as HTML; every value is escaped."""
    text = TEMPLATES.get_template(f"{template}.html.j2").render(title=title, **values)
    return HTMLResponse(text, status)


def local(path: str) -> str:
    """Return a path to go on to if it is one of ours, the first page if it is not."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if ours and "\\" not in path else HOME


def ip(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else ""


def routes(database: Database, desk: Desk, address: Address, clock: Callable[[], int]) -> APIRouter:
    """Return what signing in, up and out goes through."""
    router = APIRouter(include_in_schema=False)
    cookie = Cookie(address.cookie, address.secure)

    @router.get("/sign-in")
    def show_sign_in(next: str = HOME) -> Response:  # noqa: A002 - its name in the address
        return page("sign-in", "Sign in", next=local(next))

    @router.post("/sign-in")
    async def sign_in(
        request: Request,
        name: FormText,
        password: FormText,
        next: FormText = HOME,  # noqa: A002
    ) -> Response:
        try:
            token = await run_in_threadpool(desk.sign_in, name, password, address=ip(request))
        except BadInput as exc:
            values = {"problem": str(exc), "name": name, "next": local(next)}
            return page("sign-in", "Sign in", status=401, **values)
        return cookie.give(RedirectResponse(local(next), 303), token, ms=sessions.LONGEST_MS)

    @router.get("/sign-up")
    def show_sign_up() -> Response:
        return page("sign-up", "Sign up")

    @router.post("/sign-up")
    async def sign_up(request: Request, name: FormText, password: FormText) -> Response:
        try:
            await run_in_threadpool(desk.sign_up, name, password, address=ip(request))
        except BadInput as exc:
            return page("sign-up", "Sign up", status=400, problem=str(exc), name=name)
        return page("sign-in", "Sign in", said=WAITS, next=HOME)

    @router.post("/sign-out")
    def sign_out(request: Request, form_token: FormText) -> Response:
        person: Person = getattr(request.state, PERSON)
        if form_token != person.form_token:
            return Response("another page's form", 403)
        with database.writing() as connection:
            sessions.end(connection, person.session_id)
            audit.note(
                connection, at=clock(), actor=person.name, address=ip(request), action="sign out"
            )
        return cookie.take(RedirectResponse("/sign-in", 303))

    return router
