"""The alerts as people work them: filtered, sorted, page by page; who has which open."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, or_, select

from stream_scorer.console import audit, schema
from stream_scorer.console.people import Person, Role
from stream_scorer.console.upserts import insert_or_update
from stream_scorer.errors import BadInput

ALERT = schema.alert.c
ORDERS = {"risk": ALERT.probability, "newest": ALERT.timestamp_ms, "amount": ALERT.amount}
STATES = ("open", "fraud", "genuine", "unsure", "all")
ROWS = 50
# Counting further takes as long as reading so many.
MOST_COUNTED = 10_000
# Alerts that are labelled together: each is a row, an audit line and a message of its own.
MOST_MARKED = 1000
# Milliseconds without a sign of life after which nobody looks at an alert any more.
PRESENT_MS = 120_000
SHOWN = (
    ALERT.id,
    ALERT.alert_id,
    ALERT.transaction_id,
    ALERT.timestamp_ms,
    ALERT.alerted_at,
    ALERT.probability,
    ALERT.amount,
    ALERT.reason,
    ALERT.model_version,
    ALERT.state,
    ALERT.version,
    ALERT.assignee,
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One alert as lists show it."""

    id: int
    alert_id: str
    transaction_id: str
    timestamp_ms: int
    alerted_at: int
    probability: float
    amount: float | None
    reason: str
    model_version: str
    state: str
    version: int
    assignee: str | None


def listed(connection: Connection, query: Select[Any]) -> list[Listed]:
    """Return what a query of SHOWN finds."""
    return [Listed(*row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which alerts, in which order."""

    state: str = "open"
    order: str = "risk"
    text: str = ""  # a transaction's or an alert's id, whole
    least_risk: float | None = None
    least_amount: float | None = None
    model_version: str = ""
    partition: int | None = None
    mine: str = ""  # assigned to this name
    since: str = ""  # the transaction at or after this moment, UTC: 2026-01-31T12:00
    until: str = ""  # and before this one

    def __post_init__(self) -> None:
        """Raise BadInput for a state or an order that there is not, or a number that is none."""
        if self.state not in STATES:
            raise BadInput(f"state {self.state!r}: want {', '.join(STATES)}")
        if self.order not in ORDERS:
            raise BadInput(f"order {self.order!r}: want {', '.join(ORDERS)}")
        if not all(math.isfinite(each) for each in (self.least_risk or 0, self.least_amount or 0)):
            raise BadInput("a risk and an amount are finite numbers")
        if self.partition is not None and not 0 <= self.partition < 2**31:
            raise BadInput(f"partition {self.partition}: Kafka has 0 to {2**31 - 1}")
        to_ms(self.since)
        to_ms(self.until)

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what a row must meet."""
        if self.text:  # by id, an alert is found whatever its state
            return [or_(ALERT.transaction_id == self.text, ALERT.alert_id == self.text)]
        asked = (
            (self.state != "all", ALERT.state == self.state),
            (self.least_risk is not None, ALERT.probability >= (self.least_risk or 0)),
            (self.least_amount is not None, ALERT.amount >= (self.least_amount or 0)),
            (self.model_version, ALERT.model_version == self.model_version),
            (self.partition is not None, ALERT.partition == self.partition),
            (self.since, ALERT.timestamp_ms >= to_ms(self.since)),
            (self.until, ALERT.timestamp_ms < to_ms(self.until)),
            (self.mine, ALERT.assignee == self.mine),
            (self.order == "amount", ALERT.amount.is_not(None)),
        )
        return [condition for wanted, condition in asked if wanted]


def to_ms(moment: str) -> int:
    """Return a moment as milliseconds since 1970, 0 for none; raise BadInput for what is none.

    It is UTC if it does not say.
    """
    if not moment:
        return 0
    try:
        parsed = datetime.fromisoformat(moment)
        in_utc = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return int(in_utc.timestamp() * 1000)
    except (ValueError, OverflowError) as exc:
        raise BadInput(f"time {moment[:40]!r}: want one such as 2026-01-31T12:00") from exc


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ends: the last row's value in the order, and its id."""

    value: float
    row_id: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some alerts, and where the next ones begin."""

    rows: Sequence[Listed]
    after: Cursor | None  # None: these are the last


def page(connection: Connection, wanted: Filter, *, after: Cursor | None = None) -> Page:
    """Return a page of alerts; the cost does not grow with how far it is."""
    order = ORDERS[wanted.order]
    query = select(*SHOWN).where(*wanted.conditions())
    if after is not None:
        query = query.where(
            or_(order < after.value, and_(order == after.value, ALERT.id < after.row_id))
        )
    query = query.order_by(order.desc(), ALERT.id.desc()).limit(ROWS + 1)
    rows = listed(connection, query)
    if len(rows) <= ROWS:
        return Page(rows, None)
    rows = rows[:ROWS]
    return Page(rows, Cursor(float(getattr(rows[-1], order.key)), rows[-1].id))


def count(connection: Connection, wanted: Filter, *, above: int = 0) -> int:
    """Return how many alerts there are, MOST_COUNTED + 1 for more; `above` a row id only."""
    conditions = wanted.conditions() + ([ALERT.id > above] if above else [])
    some = select(ALERT.id).where(*conditions).limit(MOST_COUNTED + 1).subquery()
    found: int = connection.scalars(select(func.count()).select_from(some)).one()
    return found


def newest(connection: Connection) -> int:
    """Return the row id of the newest alert, 0 if there is none; later ones have larger ones."""
    return connection.scalar(select(func.max(ALERT.id))) or 0


def matching(connection: Connection, wanted: Filter) -> list[tuple[str, int]]:
    """Return every alert's id and version, MOST_MARKED + 1 where there are more than that."""
    query = select(ALERT.alert_id, ALERT.version).where(*wanted.conditions())
    return [(row.alert_id, row.version) for row in connection.execute(query.limit(MOST_MARKED + 1))]


@dataclass(frozen=True, slots=True)
class Detail:
    """One alert with all that stands beside it."""

    row: Listed
    text: str  # JSON, as on the topic
    body: dict[str, Any]  # the same, read
    same: Sequence[Listed]  # other alerts of the transaction
    before: Sequence[Listed]  # neighbours in time, the nearest first
    after: Sequence[Listed]
    others: Sequence[str] = field(default=())  # who else has it open


def detail(connection: Connection, alert_id: str, *, by: Person, now: int) -> Detail | None:
    """Return one alert, None if there is none of that id."""
    found = listed(connection, select(*SHOWN).where(ALERT.alert_id == alert_id))
    if not found:
        return None
    (row,) = found
    body = connection.scalars(select(ALERT.body).where(ALERT.id == row.id)).one()
    same = select(*SHOWN).where(ALERT.transaction_id == row.transaction_id)
    return Detail(
        row,
        body,
        json.loads(body),
        listed(connection, same.where(ALERT.id != row.id).limit(10)),
        listed(connection, neighbours(row, earlier=True)),
        listed(connection, neighbours(row, earlier=False)),
        present(connection, alert_id, but=by.name, now=now),
    )


def neighbours(row: Listed, *, earlier: bool) -> Select[Any]:
    """Return the query for the three alerts next to one in time."""
    time, here = ALERT.timestamp_ms, row.timestamp_ms
    query = select(*SHOWN).limit(3)
    if earlier:
        query = query.where(or_(time < here, and_(time == here, ALERT.id < row.id)))
        return query.order_by(time.desc(), ALERT.id.desc())
    query = query.where(or_(time > here, and_(time == here, ALERT.id > row.id)))
    return query.order_by(time, ALERT.id)


def look(connection: Connection, alert_id: str, by: Person, now: int) -> None:
    """Note that a person has an alert open, and nothing else."""
    presence = schema.presence
    connection.execute(
        delete(presence).where(
            or_(
                presence.c.seen_at <= now - PRESENT_MS,
                and_(presence.c.name == by.name, presence.c.alert_id != alert_id),
            )
        )
    )
    row = {"alert_id": alert_id, "name": by.name, "seen_at": now}
    insert_or_update(connection, presence, row, unique=("alert_id", "name"))


def present(connection: Connection, alert_id: str, *, but: str, now: int) -> list[str]:
    """Return who else has an alert open."""
    presence = schema.presence.c
    return list(
        connection.scalars(
            select(presence.name)
            .where(presence.alert_id == alert_id)
            .where(presence.name != but)
            .where(presence.seen_at > now - PRESENT_MS)
            .order_by(presence.name)
        )
    )


def free(connection: Connection, wanted: Filter, *, by: Person, now: int) -> str | None:
    """Return the first open alert that nobody else has open or was assigned, None if none is."""
    presence = schema.presence.c
    taken = select(presence.alert_id).where(
        presence.seen_at > now - PRESENT_MS, presence.name != by.name
    )
    order = ORDERS[wanted.order]
    return connection.scalar(
        select(ALERT.alert_id)
        .where(*replace(wanted, state="open", text="").conditions())
        .where(or_(ALERT.assignee.is_(None), ALERT.assignee == by.name))
        .where(ALERT.alert_id.not_in(taken))
        .order_by(order.desc(), ALERT.id.desc())
        .limit(1)
    )


def assign(connection: Connection, by: Person, *, alert_id: str, name: str, now: int) -> None:
    """Give an alert to a person, or with an empty name to nobody."""
    if not by.may(Role.ANALYST):
        raise BadInput("only an analyst assigns alerts")
    known = schema.user.c.name == name
    if name and not connection.scalar(select(schema.user.c.id).where(known)):
        raise BadInput(f"there is no account {name!r}")
    done = connection.execute(
        schema.alert.update()
        .where(ALERT.alert_id == alert_id)
        .values(assignee=name or None, assigned_at=now if name else None)
        .returning(ALERT.id)
    ).first()
    if done is None:
        raise BadInput(f"there is no alert {alert_id[:100]!r}")
    target = f"{alert_id} to {name or 'nobody'}"
    audit.act(connection, by, at=now, action="assign", target=target)
