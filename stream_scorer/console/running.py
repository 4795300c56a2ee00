"""Puts the console's parts together and runs them until a signal."""

import logging
import socket

from stream_scorer.config import Settings
from stream_scorer.console import server
from stream_scorer.console.database import Database
from stream_scorer.console.doors import Address
from stream_scorer.errors import BadInput

logger = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Serve the pages; raise BadInput if the address or the database is not to be had."""
    database = Database(settings.console_database)
    listening = listen(settings)
    port = listening.getsockname()[1]
    address = Address.of(settings, port)
    app = server.build(settings, database, address=address)
    logger.info("Console on %s, data in %s", min(address.origins), database.shown)
    try:
        server.serve(app, settings, listening)
    finally:
        database.close()
    logger.info("Stopped")


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens where the settings say."""
    host, port = settings.console_host, settings.console_port
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as exc:
        raise BadInput(
            f"SCORER_CONSOLE_HOST and SCORER_CONSOLE_PORT are {host}:{port}: {exc.strerror}"
        ) from exc
