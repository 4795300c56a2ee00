"""What is kept, for how long; and how what came from the topics is read anew."""

from sqlalchemy import Connection, delete, func, select

from stream_scorer.console import lease, outbox, schema
from stream_scorer.errors import BadInput

DAY_MS = 86_400_000
# Rows deleted at once: others write between.
AT_ONCE = 1_000
# Of the records that are none of ours the newest stay: they are looked at while they come.
ERRORS_KEPT = 1_000
# What the topics can give again; accounts, labels, uploads and the audit trail they cannot.
FROM_TOPICS = ("alert", "truth", "dead_letter", "quality", "ingest", "ingest_error")


def tidy(connection: Connection, *, now: int, days: int) -> bool:
    """Delete some of what is too old; tell whether there may be more.

    Alerts that somebody has labelled stay, and so do labels.
    """
    before = now - days * DAY_MS
    alert, truth, letter = schema.alert.c, schema.truth.c, schema.dead_letter.c
    error = schema.ingest_error.c
    newest = connection.scalar(select(func.max(error.id))) or 0
    old = (
        (
            schema.alert,
            select(alert.id).where(alert.state == "open", alert.timestamp_ms < before),
            alert.id,
        ),
        (
            schema.truth,
            select(truth.transaction_id).where(truth.at < before),
            truth.transaction_id,
        ),
        (schema.dead_letter, select(letter.id).where(letter.failed_at < before), letter.id),
        (
            schema.ingest_error,
            select(error.id).where(error.id <= newest - ERRORS_KEPT),
            error.id,
        ),
    )
    more = False
    for table, which, key in old:
        some = connection.scalars(which.limit(AT_ONCE)).all()
        if some:
            connection.execute(delete(table).where(key.in_(some)))
        more = more or len(some) == AT_ONCE
    return more


def forget_topics(connection: Connection, now: int) -> None:
    """Forget all that came from the topics, so that the next start reads it anew.

    Raises BadInput while a console works on the database.
    """
    held = select(schema.lease.c.holder).where(
        schema.lease.c.name == outbox.NAME, schema.lease.c.until > now
    )
    holder = connection.scalar(held)
    if holder is not None:
        raise BadInput(
            f"the console {holder} works on this database: stop it, wait "
            f"{lease.LEASE_MS // 1000} s, and try again"
        )
    for name in FROM_TOPICS:
        connection.execute(delete(schema.metadata.tables[name]))
