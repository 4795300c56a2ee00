"""Labels: what people say of an alert; each is a new row, and goes to Kafka by the outbox."""

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Row, select

from stream_scorer.console import audit, schema
from stream_scorer.console.people import Person, Role
from stream_scorer.errors import BadInput

FRAUD, GENUINE, UNSURE, WITHDRAWN, OPEN = "fraud", "genuine", "unsure", "withdrawn", "open"
VERDICTS = (FRAUD, GENUINE, UNSURE)  # what a person can say
# What each says of the transaction on the labels' topic; null takes back what was said before.
LABEL_OF = {FRAUD: 1, GENUINE: 0, UNSURE: None, WITHDRAWN: None}
LONGEST_NOTE = 2000


class ConflictError(BadInput):
    """The alert is not as it was looked at: somebody has labelled it since, or it is gone."""

    def __init__(self, alert_id: str, said: str) -> None:
        """Say so of an alert."""
        super().__init__(said)
        self.alert_id = alert_id


@dataclass(frozen=True, slots=True)
class Said:
    """One label, as it is shown."""

    label_id: str
    verdict: str
    note: str
    actor: str
    at: int
    sent: str  # saved, sent; elsewhere: it came by the topic


def mark(  # noqa: PLR0913 - what is said, and of which version
    connection: Connection,
    by: Person,
    *,
    alert_id: str,
    verdict: str,
    version: int,
    now: int,
    note: str = "",
) -> int:
    """Label an alert; return its new version.

    Raises ConflictError if its version is not the one that was looked at, BadInput for what cannot
    be said, or by whom.
    """
    if not by.may(Role.ANALYST):
        raise BadInput("only an analyst labels alerts")
    if verdict not in LABEL_OF:
        raise BadInput(f"verdict {verdict!r}: want {', '.join(LABEL_OF)}")
    if "\0" in note:
        raise BadInput("the note holds a NUL, which a database cannot keep")
    if len(note) > LONGEST_NOTE:
        raise BadInput(f"the note has {len(note)} characters: want {LONGEST_NOTE} at most")
    alert = locked(connection, alert_id)
    if alert.version != version:
        raise ConflictError(alert_id, conflict(connection, alert, now))
    label_id = str(uuid.uuid4())
    connection.execute(
        schema.label.insert().values(
            label_id=label_id,
            alert_id=alert_id,
            transaction_id=alert.transaction_id,
            verdict=verdict,
            note=note,
            actor=by.name,
            at=now,
        )
    )
    connection.execute(
        schema.outbox.insert().values(
            label_id=label_id,
            key=alert.transaction_id,
            value=json.dumps(
                {
                    "transaction_id": alert.transaction_id,
                    "label": LABEL_OF[verdict],
                    "verdict": verdict,
                    "label_id": label_id,
                    "alert_id": alert_id,
                    "actor": by.name,
                    "labelled_at_ms": now,
                }
            ),
        )
    )
    audit.act(connection, by, at=now, action=verdict, target=alert_id)
    return move(connection, alert, verdict)


def mark_several(
    connection: Connection,
    by: Person,
    *,
    alerts: Iterable[tuple[str, int]],
    verdict: str,
    now: int,
) -> int:
    """Label alerts, each of the version that was looked at; return how many were as looked at.

    The others are left as they are. Raises BadInput for what cannot be said, or by whom.
    """
    done = 0
    for alert_id, version in alerts:
        try:
            mark(connection, by, alert_id=alert_id, verdict=verdict, version=version, now=now)
        except ConflictError:
            continue
        done += 1
    return done


def undo(connection: Connection, by: Person, *, alert_id: str, version: int, now: int) -> int:
    """Say again what was said before the last label, or withdraw it; return the new version."""
    last = list(history(connection, alert_id))[:2]
    if not last or last[0].verdict == WITHDRAWN:
        raise BadInput("there is nothing to undo")
    verdict = last[1].verdict if len(last) > 1 else WITHDRAWN
    return mark(
        connection, by, alert_id=alert_id, verdict=verdict, version=version, now=now, note="undone"
    )


def history(connection: Connection, alert_id: str) -> list[Said]:
    """Return what was said of an alert, the newest first."""
    label, outbox = schema.label, schema.outbox
    rows = connection.execute(
        select(label, outbox.c.sent_at, outbox.c.id.label("outbox_id"))
        .outerjoin(outbox, outbox.c.label_id == label.c.label_id)
        .where(label.c.alert_id == alert_id)
        .order_by(label.c.id.desc())
        .limit(100)
    )
    return [
        Said(
            row.label_id,
            row.verdict,
            row.note,
            row.actor,
            row.at,
            "elsewhere" if row.outbox_id is None else "sent" if row.sent_at else "saved",
        )
        for row in rows
    ]


def locked(connection: Connection, alert_id: str) -> Row[tuple[object, ...]]:
    """Return an alert's row, which nobody else changes until the transaction ends."""
    row = connection.execute(
        select(schema.alert).where(schema.alert.c.alert_id == alert_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise ConflictError(alert_id, f"there is no alert {alert_id[:100]!r}")
    return row


def move(connection: Connection, alert: Row[tuple[object, ...]], verdict: str) -> int:
    """Give an alert the state of a verdict; return its new version."""
    version: int = alert.version + 1
    state = OPEN if verdict == WITHDRAWN else verdict
    connection.execute(
        schema.alert.update()
        .where(schema.alert.c.id == alert.id)
        .values(state=state, version=version)
    )
    return version


def conflict(connection: Connection, alert: Row[tuple[object, ...]], now: int) -> str:
    """Say who was faster."""
    last = history(connection, alert.alert_id)
    if not last:
        return "This alert has changed. Look again."
    age_s = max(0, now - last[0].at) // 1000
    return (
        f"{last[0].actor} labelled this {last[0].verdict} {age_s} s ago. Press again to change it."
    )
