"""The guard at the door: every request and every socket is of a person who may, or goes no further.

NiceGUI knows no sessions: who knows the id of a page on the server can drive it. So a socket and
each of its messages must belong to the session that loaded the page (`sockets.py` does the latter).
"""

import asyncio
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from nicegui import Client, __version__
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream_scorer.console import doors
from stream_scorer.console.doors import Address
from stream_scorer.console.identity import Identity
from stream_scorer.console.people import Person

ASSETS = f"/_nicegui/{__version__}/"  # scripts and styles: the same for everybody
SOCKETS = "/_nicegui_ws/"
PERSON = "person"  # its place in a request's scope
# Websocket close code for "policy violation".
POLICY = 1008
# 'unsafe-eval' is for Vue's templates, 'unsafe-inline' for NiceGUI's own start.
POLICY_OF_CONTENT = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'self'; frame-ancestors 'none'; "
    "form-action 'self'"
)
HEADERS = {
    b"content-security-policy": POLICY_OF_CONTENT.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
}


class Guard:
    """ASGI middleware around the whole application; nothing is read before it has decided."""

    def __init__(self, app: ASGIApp, *, address: Address, identity: Identity) -> None:
        """Stand before `app`."""
        self._app = app
        self._address = address
        self._identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, send to the sign-in, or refuse."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._request(scope, receive, with_headers(scope["path"], send))

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, headers = scope["path"], Headers(scope=scope)
        if not self._address.serves(headers.get("host", "")):
            await PlainTextResponse("unknown host", 421)(scope, receive, send)
            return
        if "\0" in path or "\0" in unquote(scope["query_string"].decode("latin-1")):
            await PlainTextResponse("no address holds a NUL", 400)(scope, receive, send)
            return
        changes = scope["method"] not in {"GET", "HEAD"}
        if changes and headers.get("origin", "").lower() not in self._address.origins:
            await PlainTextResponse("another page's form", 403)(scope, receive, send)
            return
        if path.startswith((ASSETS, doors.STATIC)) and not changes:
            await self._app(scope, receive, send)
            return
        person = await self.person(headers)
        scope.setdefault("state", {})[PERSON] = person
        if path in doors.OPEN:
            await self._app(scope, receive, send)
            return
        polls = path.startswith(SOCKETS)  # socket.io begins with a request where it cannot upgrade
        role = doors.wanted(path)
        if person is None:
            await unknown(path, changes=changes)(scope, receive, send)
        elif polls or role is None:
            await PlainTextResponse("there is no such page", 404)(scope, receive, send)
        elif not person.may(role):
            text = f"this wants the role {role.word}: ask an administrator"
            await PlainTextResponse(text, 403)(scope, receive, send)
        else:
            await asyncio.to_thread(self._identity.touch, person)
            await self._app(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        ours = (
            scope["path"].startswith(SOCKETS)
            and self._address.serves(headers.get("host", ""))
            and headers.get("origin", "").lower() in self._address.origins
        )
        person = await self.person(headers) if ours else None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        clients = query.get("client_id", [])
        if person is None or not all(of_session(client, person) for client in clients):
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": POLICY})
            return
        scope.setdefault("state", {})[PERSON] = person
        await self._app(scope, receive, send)

    async def person(self, headers: Headers) -> Person | None:
        """Return who a request or a socket is of."""
        token = cookie(headers, self._address.cookie)
        return await asyncio.to_thread(self._identity.person, token) if token else None


def cookie(headers: Headers, name: str) -> str:
    """Return a cookie's value, empty if there is none; of several of one name, none counts."""
    found = []
    for each in headers.getlist("cookie"):
        jar: SimpleCookie = SimpleCookie()
        for part in each.split(";"):
            try:
                jar.load(part.strip())
            except CookieError:
                continue
            if name in jar:
                found.append(jar.pop(name).value)
    return found[0] if len(found) == 1 else ""


def of_session(client_id: str, person: Person) -> bool:
    """Tell whether a page is of a person's session; one that is gone is nobody's.

    NiceGUI refuses a page that it does not know and lets the browser load it anew, as it must
    after the server has started again.
    """
    client = Client.instances.get(client_id)
    if client is None:
        return True
    owner: Person | None = client.request.scope.get("state", {}).get(PERSON)
    return owner is not None and owner.session_id == person.session_id


def unknown(path: str, *, changes: bool) -> Any:  # noqa: ANN401 - one of starlette's responses
    """Return the answer to who is not signed in."""
    if changes or path.startswith((SOCKETS, "/_nicegui")) or doors.wanted(path) is None:
        return PlainTextResponse("sign in first", 401)
    return RedirectResponse(f"/sign-in?next={quote(path)}", 303)


def with_headers(path: str, send: Send) -> Send:
    """Return a `send` that adds the headers which every answer carries."""
    extra = dict(HEADERS)
    if not path.startswith((ASSETS, doors.STATIC)):
        extra[b"cache-control"] = b"no-store"

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [each for each in message.get("headers", []) if each[0].lower() not in extra]
            message["headers"] = [*kept, *extra.items()]
        await send(message)

    return sending
