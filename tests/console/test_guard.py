"""Nobody gets further than their session and role allow: by request, by socket, by message."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import aiohttp
import httpx
import pytest
import socketio
from sqlalchemy import select

from stream_scorer.console import schema, sessions
from stream_scorer.console.doors import ROLES
from stream_scorer.console.pages.frame import MOST_UNSEEN
from stream_scorer.console.people import Role
from tests.console.running import Console, running
from tests.integration.stream import wait_for

COOKIE = "console"
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    with running(folder, f"sqlite:///{folder}/console.db") as each:
        for role in Role:
            each.add(role.word, role)
        each.add("ana", Role.ANALYST)
        yield each


@pytest.mark.parametrize("path", ["/", *(f"/{name}" for name in ROLES if name)])
def test_who_is_not_signed_in_is_sent_to_sign_in(console: Console, path: str) -> None:
    answer = console.visitor().get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?next={path}")


@pytest.mark.parametrize("role", Role)
def test_each_role_opens_what_it_may_and_nothing_else(console: Console, role: Role) -> None:
    client = console.signed_in(role.word)
    for name, wanted in ROLES.items():
        status = client.get(f"/{name}").status_code
        assert (status == 403) == (role < wanted), (name, status)


@pytest.mark.parametrize("path", ["/_nicegui/client/x/upload/1", "/upload/x", "/no-such-page"])
def test_nobody_sends_anything_without_a_session(console: Console, path: str) -> None:
    assert console.visitor().post(path, content=b"x").status_code == 401


def test_inner_paths_of_the_framework_are_closed(console: Console) -> None:
    client = console.signed_in("administrator")
    for path in ("/_nicegui/client/x/upload/1", "/_nicegui_ws/socket.io/?EIO=4&transport=polling"):
        assert client.get(path).status_code == 404, path


@pytest.mark.parametrize(
    "path",
    ["/alerts?text=a%00b", "/alerts?open=%00", "/model?alert=%00", "/live%00", "/upload/%00.csv"],
)
def test_address_that_no_database_could_look_for_is_refused(console: Console, path: str) -> None:
    assert console.signed_in("administrator").get(path).status_code == 400


@pytest.mark.parametrize(
    "query",
    ["partition=99999999999", "partition=-1", "least_risk=nan", "least_amount=inf", "state=x"],
)
def test_filter_that_is_none_shows_what_is_open(console: Console, query: str) -> None:
    assert console.signed_in("ana").get(f"/alerts?{query}").status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
def test_form_of_another_page_is_refused(console: Console, origin: str) -> None:
    client = console.signed_in("ana")
    answer = client.post("/sign-out", data={"form_token": ""}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert client.get("/live").status_code == 200


def test_sign_out_wants_the_token_of_the_session(console: Console) -> None:
    client = console.signed_in("ana")
    assert client.post("/sign-out", data={"form_token": "guessed"}).status_code == 403
    assert client.get("/live").status_code == 200


def test_name_that_was_rebound_to_this_machine_is_refused(console: Console) -> None:
    answer = console.visitor().get("/sign-in", headers={"Host": "evil.example"})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "place", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"]
)
def test_sign_in_goes_on_to_our_own_pages_only(console: Console, place: str) -> None:
    data = {"name": "ana", "password": "correct horse battery", "next": place}
    answer = console.visitor().post("/sign-in", data=data)
    assert answer.headers["location"] == "/live"


def test_session_given_before_signing_in_is_not_taken_over(console: Console) -> None:
    client = console.visitor()
    client.cookies.set(COOKIE, "fixed-by-somebody-else")
    answer = client.post("/sign-in", data={"name": "ana", "password": "correct horse battery"})
    cookie = answer.headers["set-cookie"]
    assert "fixed-by-somebody-else" not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


@pytest.mark.parametrize("path", ["/live", "/sign-in"])
def test_every_page_says_what_may_run_in_it(console: Console, path: str) -> None:
    headers = console.signed_in("ana").get(path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_name_with_markup_is_shown_as_text(console: Console) -> None:
    answer = console.visitor().post(
        "/sign-in", data={"name": "<script>alert(1)</script>", "password": "x"}
    )
    assert "<script>" not in answer.text


def page_of(client: httpx.Client) -> str:
    """Load a page; return the id that NiceGUI gave it."""
    found = re.search(r"'client_id': '([0-9a-f-]{36})'", client.get("/live").text)
    assert found
    return found[1]


Use = Callable[[socketio.AsyncClient], Awaitable[bool]]


def with_socket(
    console: Console, use: Use, *, cookie: str | None, origin: str | None = None, query: str = ""
) -> bool:
    """Open a socket and tell what `use` of it gives; False if the door stays shut."""

    async def run() -> bool:
        async with aiohttp.ClientSession() as session:
            return await opened_by(socketio.AsyncClient(reconnection=False, http_session=session))

    async def opened_by(client: socketio.AsyncClient) -> bool:
        headers = {"Origin": origin or console.origin}
        if cookie:
            headers["Cookie"] = f"{COOKIE}={cookie}"
        try:
            await client.connect(
                f"{console.origin}/?{query}",
                headers=headers,
                socketio_path="/_nicegui_ws/socket.io",
                transports=["websocket"],
            )
        except socketio.exceptions.ConnectionError:
            return False
        try:
            return await use(client)
        finally:
            await client.disconnect()

    with ThreadPoolExecutor(1) as pool:  # the browser's tool has a loop in this thread
        return pool.submit(asyncio.run, run()).result()


def shake(client_id: str) -> Use:
    """Return what asks for a page by its id, and tells whether it was given."""

    async def use(client: socketio.AsyncClient) -> bool:
        data = {"client_id": client_id, "tab_id": "t", "old_tab_id": None, "document_id": "d"}
        answer = await client.call("handshake", {**data, "next_message_id": 0}, timeout=10)
        return bool(answer)

    return use


def test_own_page_is_given_to_its_own_socket(console: Console) -> None:
    ana = console.signed_in("ana")
    assert with_socket(console, shake(page_of(ana)), cookie=ana.cookies[COOKIE])


@pytest.mark.parametrize("who", ["nobody", "a colleague", "a forged cookie"])
def test_page_is_not_given_to_anybody_else(console: Console, who: str) -> None:
    ana = console.signed_in("ana")
    others = {
        "nobody": None,
        "a colleague": console.signed_in("administrator").cookies[COOKIE],
        "a forged cookie": "x" * 43,
    }
    page = page_of(ana)
    assert not with_socket(console, shake(page), cookie=others[who])
    query = f"implicit_handshake=true&client_id={page}&tab_id=t&document_id=d&next_message_id=0"
    assert not with_socket(console, opened, cookie=others[who], query=query)


async def opened(_: socketio.AsyncClient) -> bool:
    return True


def test_socket_of_another_page_is_refused(console: Console) -> None:
    ana = console.signed_in("ana")
    cookie = ana.cookies[COOKIE]
    assert with_socket(console, opened, cookie=cookie)
    assert not with_socket(console, opened, cookie=cookie, origin="http://evil.example")


def test_socket_that_was_opened_first_gets_no_page_after_the_session_has_ended(
    console: Console,
) -> None:
    ana = console.signed_in("ana")
    page, cookie = page_of(ana), ana.cookies[COOKIE]

    async def use(client: socketio.AsyncClient) -> bool:
        with console.database.writing() as connection:
            sessions.end(connection, sessions.hash_of(cookie))
        return await shake(page)(client)

    assert not with_socket(console, use, cookie=cookie)


def test_every_try_to_sign_in_is_in_the_audit_trail(console: Console) -> None:
    console.visitor().post("/sign-in", data={"name": "mallory", "password": "x"})
    with console.database.reading() as connection:
        found = connection.execute(
            select(schema.audit).where(schema.audit.c.actor == "mallory")
        ).all()
    assert [(each.action, each.address) for each in found] == [("sign in refused", "127.0.0.1")]


def test_nothing_that_opens_a_door_is_in_the_log(console: Console) -> None:
    ana = console.signed_in("ana")
    page = page_of(ana)
    text = console.log.read_text()
    assert page not in text
    assert ana.cookies[COOKIE] not in text


def test_pages_that_nobody_looks_at_are_let_go_but_for_the_newest(console: Console) -> None:
    ana = console.signed_in("ana")
    pages = [page_of(ana) for _ in range(MOST_UNSEEN + 2)]
    cookie = ana.cookies[COOKIE]
    assert not with_socket(console, shake(pages[0]), cookie=cookie)
    assert with_socket(console, shake(pages[-1]), cookie=cookie)


def test_browser_that_takes_nothing_is_let_go(console: Console) -> None:
    ana = console.signed_in("ana")
    with ExitStack() as stack:
        for _ in range(2):
            lazy = lazy_socket(console, page_of(ana), ana.cookies[COOKIE])
            stack.callback(lazy.close)
            ours = lazy.getsockname()[1]
            assert is_open(console, ours)
            wait_for("its end", partial(lambda port: not is_open(console, port), ours))


def is_open(console: Console, port: int) -> bool:
    """Tell whether the console holds a connection from one of our ports."""
    served = int(console.origin.rpartition(":")[2])
    wanted = [f"0100007F:{served:04X}", f"0100007F:{port:04X}", "01"]
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1:4] == wanted for line in lines)


def lazy_socket(console: Console, page: str, cookie: str) -> socket.socket:
    """Open a page's websocket, and read nothing more from it."""
    host = console.origin.removeprefix("http://")
    lazy = socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2])), 10)
    query = f"implicit_handshake=true&client_id={page}&tab_id=t&document_id=d&next_message_id=0"
    lines = (
        f"GET /_nicegui_ws/socket.io/?EIO=4&transport=websocket&{query} HTTP/1.1",
        f"Host: {host}",
        f"Origin: {console.origin}",
        f"Cookie: {COOKIE}={cookie}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "\r\n",
    )
    lazy.sendall("\r\n".join(lines).encode())
    answer = lazy.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    lazy.sendall(b"\x81\x82\0\0\0\x0040")  # one masked frame: socket.io's "connect"
    return lazy
