"""Lets one of several consoles on one database do what only one may."""

import os
import socket

from sqlalchemy import Connection, select

from stream_scorer.console import schema
from stream_scorer.console.upserts import insert_new

# Milliseconds that a lease holds; who holds it renews it much sooner.
LEASE_MS = 10_000


def holder() -> str:
    """Return what tells this console from others."""
    return f"{socket.gethostname()}-{os.getpid()}"[:100]


def hold(connection: Connection, name: str, holder: str, now: int) -> bool:
    """Take a lease, or renew it; tell whether it is ours now."""
    insert_new(connection, schema.lease, {"name": name, "holder": "", "until": 0}, unique=["name"])
    row = connection.execute(
        select(schema.lease).where(schema.lease.c.name == name).with_for_update()
    ).one()
    if row.holder != holder and row.until > now:
        return False
    connection.execute(
        schema.lease.update()
        .where(schema.lease.c.name == name)
        .values(holder=holder, until=now + LEASE_MS)
    )
    return True


def let_go(connection: Connection, name: str, holder: str) -> None:
    """Give a lease back, if it is ours."""
    lease = schema.lease
    connection.execute(
        lease.update().where(lease.c.name == name, lease.c.holder == holder).values(until=0)
    )
