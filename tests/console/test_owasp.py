"""OWASP's Top Ten (2021), item by item, against the running console.

Where another file holds the tests of an item, its name stands in the item's section.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import socketio
from playwright.sync_api import Browser
from sqlalchemy import func, select

from stream_scorer.console import ingest, schema
from stream_scorer.console.people import Role
from stream_scorer.console.queue import Filter
from tests.console.browser import visit
from tests.console.running import Console, running
from tests.console.test_flow import SETTINGS, TAKES, alert, alerts
from tests.console.test_guard import COOKIE, page_of, shake, with_socket
from tests.integration.stream import wait_for

pytestmark = pytest.mark.integration
EVIL = "<img src=x onerror=\"document.title='owned'\">{{7*7}}';--"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("owasp")
    with running(folder, f"sqlite:///{folder}/console.db") as each:
        for role in Role:
            each.add(role.word, role)
        each.add("ana", Role.ANALYST)
        evil = alert(2, transaction=EVIL)
        evil["model"] = {"name": EVIL, "version": EVIL, "sha256": "0" * 64}
        evil["reasons"] = [
            {"feature": EVIL, "value": 1, "baseline": 0, "effect": 1.0, "text": EVIL}
        ]
        evil["features"] = {EVIL: 1.0}
        with each.database.writing() as connection:
            ingest.store(connection, alerts(alert(1), evil), TAKES)
        yield each


def labels_of(console: Console) -> int:
    with console.database.reading() as connection:
        return connection.scalars(select(func.count()).select_from(schema.label)).one()


# A01 Broken access control: roles by route, pages by session, forms by origin and token: all of
# test_guard.py; uploads by owner: test_uploads.py.


# What the page would send from now on.
HELD_BACK = """() => {
    window.held = [];
    window.emit = window.socket.emit.bind(window.socket);
    window.socket.emit = (name, message) => { if (name === "event") held.push(message); };
}"""


def test_a01_message_about_anothers_page_does_nothing(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with visit(browser, console.origin, tmp_path) as window:
        window.sign_in("ana")
        window.page.goto(f"{console.origin}/alerts?open=a1")
        window.page.get_by_role("heading", name="Why").wait_for()
        window.ready()
        window.settled()
        window.page.evaluate(HELD_BACK)
        window.page.keyboard.press("1")
        messages = window.page.evaluate("held")
        assert messages
        before = labels_of(console)

        async def forge(client: socketio.AsyncClient) -> bool:
            given = await shake(own_page)(client)
            for message in messages:
                await client.emit("event", message)
            await client.sleep(1)  # the real page took a fraction of it
            return given

        eve = console.signed_in("analyst")
        own_page = page_of(eve)
        assert with_socket(console, forge, cookie=eve.cookies[COOKIE])
        assert labels_of(console) == before
        for message in messages:  # the same from its own socket is heard
            window.page.evaluate("m => emit('event', m)", message)
        wait_for("the label", lambda: labels_of(console) == before + 1)


# A02 Cryptographic failures.


def test_a02_passwords_and_sessions_are_stored_as_hashes(console: Console) -> None:
    cookie = console.signed_in("ana").cookies[COOKIE]
    with console.database.reading() as connection:
        hashed = list(connection.scalars(select(schema.user.c.password)))
        stored = list(connection.scalars(select(schema.session.c.id)))
    assert all(each.startswith("$argon2id$") for each in hashed)
    assert cookie not in stored


# A03 Injection: records are text on every page; what people type is a value, never a query.


@pytest.mark.parametrize("path", ["/live", "/alerts?open=a2", "/alerts?state=all&order=newest"])
def test_a03_text_of_a_record_is_never_run(
    console: Console, browser: Browser, tmp_path: Path, path: str
) -> None:
    with visit(browser, console.origin, tmp_path) as window:
        window.sign_in("ana")
        window.page.goto(f"{console.origin}{path}")
        window.page.get_by_text(EVIL).first.wait_for()
        assert window.page.title() != "owned"
        assert window.page.locator("img[src=x]").count() == 0
        assert "{{7*7}}" in window.page.content()


@pytest.mark.parametrize("text", ["' OR '1'='1", '" OR 1=1 --', "%", "a1'; DROP TABLE alert; --"])
def test_a03_search_is_a_value(console: Console, text: str) -> None:
    from stream_scorer.console.queue import page

    with console.database.reading() as connection:
        assert page(connection, Filter(text=text)).rows == []
        assert len(page(connection, Filter(state="all")).rows) == 2


# A04 Insecure design: guessing and enumeration are slowed and told apart by nothing:
# test_signing.py; uploads are bounded: test_uploads.py.


# A05 Security misconfiguration.


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/.git/config", "/console.db"]
)
def test_a05_nothing_is_served_that_is_no_page(console: Console, path: str) -> None:
    assert console.visitor().get(path).status_code == 401
    assert console.signed_in("administrator").get(path).status_code == 404


def test_a05_files_beside_the_static_ones_cannot_be_had(console: Console) -> None:
    for path in ("/static/../command.py", "/static/%2e%2e/command.py", "/static/..%2fcommand.py"):
        assert console.visitor().get(path).status_code in {401, 404}


def test_a05_an_error_tells_nothing_of_the_inside(console: Console) -> None:
    answer = console.signed_in("ana").post("/sign-out", content=b"\xff" * 100)
    assert answer.status_code == 422
    assert "Traceback" not in answer.text
    assert "stream_scorer" not in answer.text


# A06 Vulnerable and outdated components: every one is locked by its hash.


def test_a06_every_component_is_locked_by_its_hash() -> None:
    text = (ROOT / "requirements" / "dev.txt").read_text()
    names = re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==", text, re.MULTILINE)
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)
    locked = [block for block in blocks if "--hash=sha256:" in block]
    assert {"nicegui", "starlette", "sqlalchemy", "argon2-cffi"} <= set(names)
    assert len(locked) == len(names)


# A07 Identification and authentication failures: test_signing.py, test_guard.py, test_provider.py.


def test_a07_session_of_another_browser_ends_at_its_own_sign_out(console: Console) -> None:
    one, two = console.signed_in("viewer"), console.signed_in("viewer")
    with console.database.reading() as connection:
        tokens = list(connection.scalars(select(schema.session.c.form_token)))
    codes = {one.post("/sign-out", data={"form_token": token}).status_code for token in tokens}
    assert 303 in codes
    assert one.get("/live").status_code == 303
    assert two.get("/live").status_code == 200


# A08 Software and data integrity failures: the audit trail and labels cannot be edited:
# test_database.py; no pickle is read: test_models_pickled.py.


# A09 Security logging and monitoring failures.


def test_a09_what_people_do_is_in_the_trail(console: Console) -> None:
    console.visitor().post("/sign-in", data={"name": "ana", "password": "wrong"})
    with console.database.reading() as connection:
        actions = set(connection.scalars(select(schema.audit.c.action)))
    assert {"sign in", "sign in refused", "sign out", "fraud"} <= actions


# A10 Server-side request forgery: no address that a person types is ever asked; those of the
# settings are the operator's. The provider's own answer may not lead elsewhere: `allow_redirects`.


def test_a10_no_route_takes_an_address(console: Console) -> None:
    for name in ("url", "next", "open", "text"):
        answer: Any = console.signed_in("ana").get("/live", params={name: "http://127.0.0.1:1/"})
        assert answer.status_code == 200


def test_settings_of_the_tests_are_the_defaults() -> None:
    assert SETTINGS.console_host == "127.0.0.1"


def test_a02_no_secret_of_the_settings_is_on_any_page(tmp_path: Path, browser: Browser) -> None:
    secret = "canary-7f3a"  # noqa: S105 - opens nothing
    settings = {
        "SCORER_KAFKA_SASL_PASSWORD": secret,
        "SCORER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "SCORER_KAFKA_SASL_MECHANISM": "PLAIN",
        "SCORER_KAFKA_SASL_USERNAME": "console",
        "SCORER_CONSOLE_OIDC_ISSUER": "http://127.0.0.1:1",
        "SCORER_CONSOLE_OIDC_CLIENT_ID": "console",
        "SCORER_CONSOLE_OIDC_CLIENT_SECRET": secret,
    }
    with running(tmp_path, f"sqlite:///{tmp_path}/console.db", settings) as other:
        other.add("administrator", Role.ADMINISTRATOR)
        with visit(browser, other.origin, tmp_path) as window:
            window.sign_in("administrator")
            window.page.goto(f"{other.origin}/administration")
            window.ready()
            window.page.get_by_text("Settings in force").click()
            window.page.get_by_text("console_oidc_client_secret").wait_for()
            assert secret not in window.page.content()
        assert secret not in other.log.read_text()
