"""The frame of every page: its name, the other pages, and who is signed in."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from weakref import WeakSet

from nicegui import Client, run, ui

from stream_scorer.console import doors
from stream_scorer.console.context import Context
from stream_scorer.console.guard import of_session
from stream_scorer.console.pages.elements import Words, heading
from stream_scorer.console.people import Person

PAGES = {
    "/live": ("Live", "l"),
    "/alerts": ("Alerts", "a"),
    "/upload": ("Upload", "u"),
    "/model": ("Model", "m"),
    "/quality": ("Quality", "q"),
    "/dead-letters": ("Dead letters", "d"),
    "/administration": ("Administration", "s"),
}
# Pages of one session that may wait for their socket; for their socket to come back.
MOST_UNSEEN, MOST_LEFT = 10, 50
# Pages that a browser has opened a socket for.
SEEN: WeakSet[Client] = WeakSet()
# Seconds between two looks whether a page's session goes on.
SESSION_S = 5.0
# Quasar's own blue is too pale for white text on it.
COLOURS = {"primary": "#0b57a4", "negative": "#a3160f", "positive": "#14602c", "warning": "#8a5300"}


@contextmanager
def frame(context: Context, title: str, path: str) -> Iterator[Person]:
    """Draw the frame and give who is signed in; the block draws the page's own part."""
    person = context.person()
    here = ui.context.client
    here.on_connect(lambda: SEEN.add(here))
    forget_unseen(person)
    ui.page_title(f"{title} - stream-scorer")
    ui.colors(**COLOURS)
    ui.add_head_html('<link rel="stylesheet" href="/static/pages.css">')
    for script in ("keys", "times"):
        ui.add_head_html(f'<script src="/static/{script}.js" defer></script>')
    with ui.header().classes("frame"):
        ui.link("Skip to the page", "#page").classes("skip")
        Words("span", "stream-scorer").classes("name")
        with ui.element("nav").props('aria-label="Pages"'):
            for place, (name, key) in PAGES.items():
                role = doors.wanted(place)
                if role is not None and person.may(role):
                    link = ui.link(name, place).props(f"data-go={key}")
                    if place == path:
                        link.props('aria-current="page"')
        ui.space()
        Words("span", f"{person.name}, {person.role.word}").classes("who")
        with ui.element("form").props('method="post" action="/sign-out"'):
            token = ui.element("input").props('type="hidden" name="form_token"')
            token.props["value"] = person.form_token
            Words("button", "Sign out").classes("plain").props('type="submit"')
    ui.timer(SESSION_S, partial(end_with_session, context, person, ui.context.client))
    with ui.element("div").props('id="page" tabindex="-1"').classes("page"):
        heading(title)
        yield person


async def end_with_session(context: Context, person: Person, client: Client) -> None:
    """Send a page to the sign-in once its session has ended, and push nothing more to it."""

    def goes_on() -> bool:
        return context.identity.of_session(person.session_id) is not None

    # Neither: the server stops.
    if await run.io_bound(goes_on) is False and not client.is_deleted:
        ui.navigate.to("/sign-in")
        await asyncio.sleep(1)  # for that to be sent
        if client.has_socket_connection:  # a browser that does not go
            client.delete()


def forget_unseen(person: Person) -> None:
    """Let go of pages of a session that have no socket, but for the newest.

    NiceGUI keeps each for a minute: 0.4 MB for every request of who only asks and asks. What a
    browser had open it lets go of by itself, if that does not come back: more of those may wait.
    """
    alone = [
        each
        for each in Client.instances.values()
        if not each.has_socket_connection
        and each is not ui.context.client
        and of_session(each.id, person)
    ]
    alone.sort(key=lambda client: client.created)
    left = [each for each in alone if each in SEEN]
    unseen = [each for each in alone if each not in SEEN]
    for each in (*unseen[:-MOST_UNSEEN], *left[:-MOST_LEFT]):
        each.delete()
