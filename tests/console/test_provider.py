"""Signing in by OpenID Connect, at a small provider of our own, whose word must hold."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Form, Request
from fastapi.responses import RedirectResponse
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import select

from stream_scorer.console import accounts, schema
from stream_scorer.local_kafka import free_ports
from tests.console.running import Console, running

pytestmark = pytest.mark.integration
CLIENT, SECRET = "console", "of the tests only"
Field = Annotated[str, Form()]
KEY, OTHER_KEY = RSAKey.generate_key(2048), RSAKey.generate_key(2048)


@dataclass
class Issuer:
    """A provider that says what it is told to."""

    origin: str
    subject: str = "s-1"
    name: str = "nina"
    lies: dict[str, Any] = field(default_factory=dict)  # claims that replace the true ones
    key: RSAKey = field(default_factory=lambda: KEY)
    nonces: dict[str, str] = field(default_factory=dict)  # by code
    verified: list[bool] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        def configuration() -> dict[str, str]:
            return {
                "issuer": self.origin,
                "authorization_endpoint": f"{self.origin}/authorize",
                "token_endpoint": f"{self.origin}/token",
                "jwks_uri": f"{self.origin}/keys",
            }

        @app.get("/keys")
        def keys() -> dict[str, Any]:
            return {"keys": [KEY.as_dict(private=False)]}

        @app.get("/authorize")
        def authorize(request: Request) -> RedirectResponse:
            asked = request.query_params
            code = f"code-{len(self.nonces)}"
            self.nonces[code] = asked["nonce"]
            assert asked["code_challenge_method"] == "S256"
            back = asked["redirect_uri"]
            return RedirectResponse(f"{back}?code={code}&state={asked['state']}", 303)

        @app.post("/token")
        def token(code: Field, code_verifier: Field) -> dict[str, Any]:
            self.verified.append(len(code_verifier) >= 43)
            claims = {
                "iss": self.origin,
                "aud": CLIENT,
                "sub": self.subject,
                "exp": int(time.time()) + 300,
                "nonce": self.nonces[code],
                "preferred_username": self.name,
                **self.lies,
            }
            signed = jwt.encode({"alg": "RS256"}, claims, self.key)
            return {"access_token": "x", "token_type": "Bearer", "id_token": signed}

        return app


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    (port,) = free_ports(1)
    made = Issuer(f"http://127.0.0.1:{port}")
    server = uvicorn.Server(
        uvicorn.Config(made.app(), host="127.0.0.1", port=port, log_level="error")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield made
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def console(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("oidc")
    settings = {
        "SCORER_CONSOLE_OIDC_ISSUER": issuer.origin,
        "SCORER_CONSOLE_OIDC_CLIENT_ID": CLIENT,
        "SCORER_CONSOLE_OIDC_CLIENT_SECRET": SECRET,
    }
    with running(folder, f"sqlite:///{folder}/console.db", settings) as each:
        yield each
        assert SECRET not in each.log.read_text()


@pytest.fixture(autouse=True)
def honest(issuer: Issuer) -> None:
    issuer.lies, issuer.key, issuer.subject, issuer.name = {}, KEY, "s-1", "nina"


def go(client: httpx.Client, onwards: str = "/alerts") -> str:
    """Go to the provider; return the address to come back to."""
    sent = client.get("/sign-in/oidc", params={"next": onwards})
    assert sent.status_code == 303, sent.text
    return str(httpx.get(sent.headers["location"]).headers["location"])


def approve(console: Console, name: str) -> None:
    with console.database.writing() as connection:
        connection.execute(
            schema.user.update()
            .where(schema.user.c.name == name)
            .values(state=accounts.ACTIVE, role="analyst")
        )


def test_newcomer_waits_and_gets_in_once_approved(console: Console, issuer: Issuer) -> None:
    client = console.visitor()
    assert issuer.origin.partition("//")[2] in client.get("/sign-in").text
    answer = client.get(go(client))
    assert (answer.status_code, "waits for approval" in answer.text) == (403, True)
    approve(console, "nina")
    answer = client.get(go(client))
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts")
    assert client.get("/alerts").status_code == 200
    assert all(issuer.verified)


def test_same_name_at_the_provider_opens_nobodys_account(console: Console, issuer: Issuer) -> None:
    issuer.subject, issuer.name = "s-2", "nina"
    client = console.visitor()
    assert client.get(go(client)).status_code == 403
    with console.database.reading() as connection:
        names = set(connection.scalars(select(schema.user.c.name)))
    assert {"nina", "nina 2"} <= names


@pytest.mark.parametrize(
    "lies",
    [
        {"nonce": "another"},
        {"aud": "another"},
        {"iss": "http://evil.example"},
        {"exp": 1_000_000_000},
        {"sub": None},
    ],
    ids=lambda lies: next(iter(lies)),
)
def test_word_of_the_provider_that_does_not_hold_opens_nothing(
    console: Console, issuer: Issuer, lies: dict[str, Any]
) -> None:
    issuer.lies = lies
    client = console.visitor()
    answer = client.get(go(client))
    assert (answer.status_code, "did not let you in" in answer.text) == (401, True)


def test_word_that_is_signed_by_another_key_opens_nothing(console: Console, issuer: Issuer) -> None:
    issuer.key = OTHER_KEY
    client = console.visitor()
    assert client.get(go(client)).status_code == 401


def test_way_back_belongs_to_the_browser_that_went(console: Console) -> None:
    victim, attacker = console.visitor(), console.visitor()
    back = go(attacker)
    go(victim)
    assert victim.get(back).status_code == 400


def test_way_back_is_gone_once(console: Console) -> None:
    client = console.visitor()
    back = go(client)
    state = parse_qs(urlsplit(back).query)["state"][0]
    client.get(back)
    client.cookies.set("console-state", state)
    assert client.get(back).status_code == 400
