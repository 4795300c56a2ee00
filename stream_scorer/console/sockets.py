"""The guard at each message: a socket drives only pages of the session whose cookie it carries."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

from nicegui import core
from starlette.datastructures import Headers

from stream_scorer.console.doors import Address
from stream_scorer.console.guard import cookie, of_session
from stream_scorer.console.identity import Identity
from stream_scorer.errors import Unfit

Handler = Callable[[str, dict[str, Any]], Any]
# What NiceGUI hears from a browser, and what each names its page by.
HEARD = ("handshake", "event", "javascript_response", "ack", "log")


def guard_messages(address: Address, identity: Identity) -> None:
    """Wrap what NiceGUI does with a browser's messages.

    Raises Unfit if it listens to anything else than what is wrapped: then a later release has
    changed, and this must be looked at before anybody is let in.
    """
    handlers: dict[str, Handler] = core.sio.handlers["/"]
    known = {*HEARD, "connect", "disconnect"}
    if set(handlers) != known:
        raise Unfit(
            f"NiceGUI hears {sorted(set(handlers) ^ known)} otherwise than this console knows: "
            "want the release in its lock file"
        )
    for name in HEARD:
        handlers[name] = guarded(
            handlers[name], address, identity, joins=name == "handshake", acts=name == "event"
        )


def guarded(
    handler: Handler, address: Address, identity: Identity, *, joins: bool, acts: bool
) -> Callable[[str, dict[str, Any]], Awaitable[Any]]:
    """Return a handler that does nothing for a message about another's page, or after the end.

    `joins`: the message asks for a page; any other must be about a page that it was given. `acts`:
    it is what a person does, and keeps the session from its end.
    """
    # A socket's messages are handled as they came, though the database is asked about each.
    in_order: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def handle(sid: str, message: dict[str, Any]) -> Any:  # noqa: ANN401 - NiceGUI's answer
        client_id = message.get("client_id") if isinstance(message, dict) else None
        if not isinstance(client_id, str):
            return False
        if not joins and client_id not in core.sio.rooms(sid):
            return False
        environ = core.sio.get_environ(sid)
        scope = environ.get("asgi.scope") if environ else None
        token = cookie(Headers(scope=scope), address.cookie) if scope else ""
        lock = in_order.setdefault(sid, asyncio.Lock())
        async with lock:
            person = await asyncio.to_thread(identity.person, token) if token else None
            if person is None or not of_session(client_id, person):
                return False
            answer = handler(sid, message)
        if acts:
            await asyncio.to_thread(identity.touch, person)
        return await answer if isinstance(answer, Awaitable) else answer

    return handle
