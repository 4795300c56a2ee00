"""`stream-scorer console`: the web pages, and accounts from the command line."""

import logging
import sys
from contextlib import AbstractContextManager
from typing import Any

import click

from stream_scorer import logs
from stream_scorer.config import Settings
from stream_scorer.errors import BadInput
from stream_scorer.extras import extra
from stream_scorer.flags import settings_options

EXTRA = {
    *("alembic", "argon2", "authlib", "fastapi", "jinja2", "joserfc", "multipart", "nicegui"),
    *("psycopg", "python_multipart", "requests", "sqlalchemy", "starlette", "uvicorn"),
    "xlsxwriter",
}
ROLES = ("viewer", "analyst", "operator", "administrator")


def console_extra() -> AbstractContextManager[None]:
    """Import the pages' parts inside of this."""
    return extra("console", EXTRA, what="the console")


@click.group(invoke_without_command=True)
@settings_options(
    "console_host",
    "console_port",
    "console_origin",
    "console_certificate",
    "console_metrics",
    "alerts_topic",
    "labels_topic",
    "dead_letters_topic",
    "quality_topic",
    "model",
)
@click.pass_context
def console(ctx: click.Context, settings: Settings) -> None:
    """Serve the analysts' web pages, until SIGTERM or Ctrl-C.

    \b
    Example: stream-scorer console user add ana --role administrator
             stream-scorer console --console-port 9110

    Live transactions and alerts, a queue of alerts to label, the model's quality, dead letters.
    It reads the topics beside the scorer, never in its way, keeps what it shows in
    SCORER_CONSOLE_DATABASE (a file `console.db` here, or PostgreSQL), and writes labels to
    SCORER_LABELS_TOPIC. It needs the extra `console`.
    """
    ctx.obj = settings
    if ctx.invoked_subcommand is not None:
        return
    with console_extra():
        from stream_scorer.console import running
    logs.begin(settings.log_format)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    running.run(settings)


@console.group()
def user() -> None:
    """Accounts: the first administrator is made here."""


@user.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="What it may do."
)
@click.pass_obj
def add(settings: Settings, name: str, role: str) -> None:
    """Add an account NAME that may sign in at once; its password is asked for.

    \b
    Example: stream-scorer console user add ana --role administrator

    Where standard input is no terminal, the password is its first line.
    """
    with console_extra():
        from stream_scorer.console import accounts, audit
        from stream_scorer.console.database import Database
        from stream_scorer.console.people import Role
        from stream_scorer.console.server import now_ms
    folded = accounts.fold(name)
    hashed = accounts.hash_password(ask_password())
    database = Database(settings.console_database)
    with database.writing() as connection:
        made = accounts.create(
            connection,
            name=folded,
            hashed=hashed,
            role=Role.of(role),
            state=accounts.ACTIVE,
            now=now_ms(),
        )
        if made:
            target = f"{folded}: {role}"
            audit.note(
                connection,
                at=now_ms(),
                actor="command line",
                address="",
                action="account",
                target=target,
            )
    database.close()
    if not made:
        raise BadInput(f"there is an account {folded!r}: want another name")
    click.echo(f"{folded} may sign in as {role} to the console of {database.shown}")
    click.echo("Next: stream-scorer console")


@console.command()
@click.pass_obj
def rebuild(settings: Settings) -> None:
    """Forget what came from the topics, so that the next start reads it anew.

    \b
    Example: stream-scorer console rebuild

    Alerts, dead letters and figures come back from Kafka as far as it keeps them; accounts,
    sessions, labels, notes, uploads and the audit trail stay. No console may run meanwhile.
    """
    with console_extra():
        from stream_scorer.console import audit, keeping
        from stream_scorer.console.database import Database
        from stream_scorer.console.server import now_ms
    database = Database(settings.console_database)
    with database.writing() as connection:
        keeping.forget_topics(connection, now_ms())
        audit.note(connection, at=now_ms(), actor="command line", address="", action="rebuild")
    database.close()
    click.echo("Next: stream-scorer console   (it reads the topics from their beginning)")


def ask_password() -> str:
    """Return the password that a person types twice, or the first line of a pipe."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    typed: Any = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return str(typed)
