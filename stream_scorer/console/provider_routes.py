"""The way to an OpenID Connect provider, and back."""

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import delete, select

from stream_scorer.console import accounts, audit, schema, sessions
from stream_scorer.console.cookies import Cookie
from stream_scorer.console.database import Database
from stream_scorer.console.doors import Address
from stream_scorer.console.provider import REFUSED, Journey, Provider
from stream_scorer.console.routes import HOME, ip, local, page
from stream_scorer.console.signing import WAITS
from stream_scorer.errors import BadInput

# Milliseconds that a person may take at the provider.
AWAY_MS = 600_000


def routes(
    provider: Provider, database: Database, address: Address, clock: Callable[[], int]
) -> APIRouter:
    """Return the two routes."""
    router = APIRouter(include_in_schema=False)
    cookie = Cookie(address.cookie, address.secure)
    journeys = Cookie(f"{address.cookie}-state", address.secure)

    @router.get("/sign-in/oidc")
    def go(next: str = HOME) -> Response:  # noqa: A002 - its name in the address
        try:
            journey = provider.begin()
        except BadInput as exc:
            return page("sign-in", "Sign in", status=502, problem=str(exc), next=local(next))
        remember(database, journey, local(next), clock())
        return journeys.give(RedirectResponse(journey.url, 303), journey.state, ms=AWAY_MS)

    @router.get("/sign-in/oidc/back")
    def back(request: Request) -> Response:
        state = request.cookies.get(journeys.name, "")
        found = recall(database, state, clock())
        if found is None or request.query_params.get("state") != state:
            return page("sign-in", "Sign in", status=400, problem=REFUSED, next=HOME)
        journey, onwards = found
        try:
            known = provider.finish(
                f"{address.shown}{request.url.path}?{request.url.query}", journey
            )
        except BadInput as exc:
            return page("sign-in", "Sign in", status=401, problem=str(exc), next=onwards)
        now, token = clock(), ""
        with database.writing() as connection:
            account = accounts.of_subject(
                connection, subject=known.subject, name=known.name, now=now
            )
            if account.state == accounts.ACTIVE:
                token = sessions.begin(connection, user_id=account.id, address=ip(request), now=now)
            action = "sign in" if token else "sign in refused"
            audit.note(connection, at=now, actor=account.name, address=ip(request), action=action)
        if not token:
            return page("sign-in", "Sign in", status=403, said=WAITS, next=onwards)
        answer = cookie.give(RedirectResponse(onwards, 303), token, ms=sessions.LONGEST_MS)
        return journeys.take(answer)

    return router


def remember(database: Database, journey: Journey, onwards: str, now: int) -> None:
    """Keep what must come back with a person."""
    table = schema.handshake
    with database.writing() as connection:
        connection.execute(delete(table).where(table.c.at <= now - AWAY_MS))
        connection.execute(
            table.insert().values(
                id=sessions.hash_of(journey.state),
                nonce=journey.nonce,
                verifier=journey.verifier,
                onwards=onwards[:500],
                at=now,
            )
        )


def recall(database: Database, state: str, now: int) -> tuple[Journey, str] | None:
    """Return what was kept, once, and where the person goes on to; None if nothing was."""
    table = schema.handshake
    with database.writing() as connection:
        row = connection.execute(
            select(table).where(table.c.id == sessions.hash_of(state), table.c.at > now - AWAY_MS)
        ).one_or_none()
        connection.execute(delete(table).where(table.c.id == sessions.hash_of(state)))
    if row is None:
        return None
    return Journey("", state, row.nonce, row.verifier), row.onwards
