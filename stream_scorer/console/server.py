"""Builds the web application and serves it."""

import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from fastapi.responses import RedirectResponse, Response
from nicegui import app as nicegui_app
from nicegui import ui
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from stream_scorer.config import Settings
from stream_scorer.console import provider_routes, upload_routes
from stream_scorer.console.context import Context
from stream_scorer.console.database import Database
from stream_scorer.console.doors import Address
from stream_scorer.console.guard import Guard
from stream_scorer.console.identity import Identity
from stream_scorer.console.jobs import Jobs
from stream_scorer.console.pages import (
    administration,
    alerts,
    dead_letters,
    live,
    model,
    quality,
    upload,
)
from stream_scorer.console.provider import Provider
from stream_scorer.console.pulse import Pulse
from stream_scorer.console.routes import HOME, TEMPLATES, routes
from stream_scorer.console.shelf import Shelf
from stream_scorer.console.signing import Desk
from stream_scorer.console.sockets import guard_messages

STATIC = Path(__file__).parent / "static"
# Seconds. How long a page is kept whose browser does not answer: a busy machine, a bad network.
# Beyond it the page is loaded anew, and a note that was being typed is gone. (With the framework's
# own 3 s, a browser that takes 2 s for an answer counts as gone.)
RECONNECT_S = 30.0
PAGES = (live, alerts, upload, model, quality, dead_letters, administration)


def now_ms() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def build(  # noqa: PLR0913 - the rooms that meet here
    settings: Settings,
    database: Database,
    pulse: Pulse,
    jobs: Jobs,
    *,
    address: Address,
    ready: Callable[[], None],
    clock: Callable[[], int] = now_ms,
) -> ASGIApp:
    """Return the application behind its guard; once in a process, as NiceGUI is one.

    `ready` is called when it has started.
    """
    identity = Identity(database, clock)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(upload_routes.routes(database, jobs, clock))
    app.include_router(routes(database, Desk(database, clock), address, clock))

    if settings.console_oidc_issuer:
        TEMPLATES.globals["provider"] = urlsplit(settings.console_oidc_issuer).netloc
        provider = Provider(
            settings.console_oidc_issuer,
            settings.console_oidc_client_id,
            settings.console_oidc_client_secret,
            back=f"{address.shown}/sign-in/oidc/back",
        )
        app.include_router(provider_routes.routes(provider, database, address, clock))

    @app.get("/")
    def first() -> Response:
        return RedirectResponse(HOME, 303)

    @app.get("/healthz")
    def health() -> Response:
        with database.reading() as connection:
            connection.exec_driver_sql("SELECT 1")
        return Response("ok\n", media_type="text/plain")

    shelf = Shelf(settings.model, settings.model_sha256)
    context = Context(settings, database, identity, pulse, jobs, shelf, clock, address.shown)
    for page in PAGES:
        page.register(context)
    # No bar over the page at each request: it has no name, and nobody waits for it.
    nicegui_app.config.quasar_config["loadingBar"]["skipHijack"] = True
    nicegui_app.on_startup(ready)
    ui.run_with(
        app,
        title="stream-scorer",
        dark=None,
        language="en-GB",
        show_welcome_message=False,
        reconnect_timeout=RECONNECT_S,
    )
    guard_messages(address, identity)
    return Guard(app, address=address, identity=identity)


def serve(app: ASGIApp, settings: Settings, listening: socket.socket) -> None:
    """Serve what comes to a socket until a signal; then return."""
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn hands it on once it has ended
        signal.signal(number, lambda _, __: None)
    certificate = settings.console_certificate
    uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # addresses of pages are keys to them
            proxy_headers=bool(settings.console_origin),
            server_header=False,
            ssl_certfile=certificate,
            ssl_keyfile=certificate,
            ws_max_size=1_000_000,
            timeout_graceful_shutdown=3,
        )
    ).run([listening])
