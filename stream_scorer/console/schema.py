"""The tables of the console's database; a change here needs a migration beside it.

Times are integers, milliseconds since 1970 in UTC. `audit` and `label` only grow: the database
itself refuses to change or delete a row of them.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

# Names of constraints, so that a later migration can tell them on both databases.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# SQLite counts up only a column of this type.
Id = BigInteger().with_variant(Integer, "sqlite")


def moment(name: str, *, nullable: bool = False) -> Column[int]:
    """Return a column that holds a time."""
    return Column(name, BigInteger, nullable=nullable)


user = Table(
    "user_account",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),  # as typed, folded: names.py
    Column("password", String(200), nullable=False),  # Argon2; empty: signs in by OpenID Connect
    Column("subject", String(500), unique=True),  # the provider's name for the person
    Column("role", String(20), nullable=False),
    Column("state", String(20), nullable=False),  # waiting, active, closed
    moment("created_at"),
)

session = Table(
    "session",
    metadata,
    Column("id", String(64), primary_key=True),  # sha256 of the cookie's value
    Column("user_id", ForeignKey("user_account.id"), nullable=False, index=True),
    Column("form_token", String(64), nullable=False),  # against forged forms
    Column("address", String(100), nullable=False),
    moment("created_at"),
    moment("used_at"),  # by a person: what pushes itself is no use
)

attempt = Table(  # of signing in; what is older than a minute goes
    "attempt",
    metadata,
    Column("id", Id, primary_key=True),
    Column("who", String(64), nullable=False),  # sha256 of a name or an address
    moment("at"),
    Index(None, "who", "at"),
)

handshake = Table(  # of signing in by OpenID Connect: what was sent with a person to the provider
    "handshake",
    metadata,
    Column("id", String(64), primary_key=True),  # sha256 of the state
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),
    Column("onwards", String(500), nullable=False),
    moment("at"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    moment("at"),
    Column("actor", String(100), nullable=False),
    Column("address", String(100), nullable=False),
    Column("action", String(50), nullable=False),
    Column("target", String(500), nullable=False),
)

alert = Table(
    "alert",
    metadata,
    Column("id", Id, primary_key=True),
    Column("alert_id", String(100), nullable=False, unique=True),
    Column("transaction_id", String(500), nullable=False, index=True),
    Column("topic", String(249), nullable=False),  # the transaction's place
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    moment("timestamp_ms"),  # the transaction's
    moment("alerted_at"),  # the alert's record
    Column("probability", Double, nullable=False),
    Column("amount", Double),
    Column("reason", String(500), nullable=False),  # the first, in words
    Column("model_name", String(200), nullable=False),
    Column("model_version", String(200), nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("state", String(20), nullable=False),  # open, fraud, genuine, unsure
    Column("version", Integer, nullable=False),  # counts the labels
    Column("assignee", String(100)),
    moment("assigned_at", nullable=True),
    Column("body", Text, nullable=False),  # JSON, as on the topic
)
for _order in ("probability", "timestamp_ms", "amount"):
    Index(None, alert.c.state, alert.c[_order].desc(), alert.c.id.desc())
    Index(None, alert.c[_order].desc(), alert.c.id.desc())
Index(None, alert.c.assignee, alert.c.state)

label = Table(
    "label",
    metadata,
    Column("id", Id, primary_key=True),
    Column("label_id", String(36), nullable=False),
    Column("alert_id", String(100), nullable=False, index=True),
    Column("transaction_id", String(500), nullable=False),
    Column("verdict", String(20), nullable=False),  # fraud, genuine, unsure, withdrawn
    Column("note", String(2000), nullable=False),
    Column("actor", String(100), nullable=False),
    moment("at"),
    UniqueConstraint("label_id", "alert_id"),  # one that came by the topic may be of several
)

truth = Table(  # the newest label of each transaction on the labels' topic, alerted or not
    "truth",
    metadata,
    Column("transaction_id", String(500), primary_key=True),
    Column("label", Integer, nullable=False),  # 1 fraud, 0 genuine, -1 withdrawn or unsure
    Column("label_id", String(36), nullable=False),
    Column("actor", String(100), nullable=False),
    moment("at"),
    Index(None, "at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("label_id", String(36), nullable=False, unique=True),
    Column("key", String(500), nullable=False),
    Column("value", Text, nullable=False),
    moment("sent_at", nullable=True),  # acknowledged by Kafka
    Index("ix_outbox_waiting", "sent_at", "id"),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", Id, primary_key=True),
    Column("topic", String(249), nullable=False),  # where the dead letter itself stands
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("source", String(300), nullable=False),  # topic/partition/offset of the record
    Column("code", String(50), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("key", LargeBinary),  # its first bytes
    Column("size", BigInteger, nullable=False),  # bytes of the value
    moment("failed_at"),
    UniqueConstraint("topic", "partition", "offset"),
    Index(None, "code", "id"),
)

quality = Table(
    "quality",
    metadata,
    Column("key", String(300), primary_key=True),  # of the record on the compacted topic
    Column("window", String(20), nullable=False),
    moment("begins_at"),
    Column("body", Text, nullable=False),  # JSON, as on the topic
    moment("seen_at"),
)

upload = Table(
    "upload",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(100), nullable=False, index=True),
    Column("name", String(300), nullable=False),  # of the file, as it was called
    Column("state", String(20), nullable=False),  # waiting, scoring, done, failed, cancelled
    Column("problem", String(1000), nullable=False),
    Column("progress", Double, nullable=False),  # share of the file, 0 to 1
    Column("summary", Text, nullable=False),  # JSON; empty until it is done
    Column("holder", String(50), nullable=False),  # lease of the console that scores it
    moment("created_at"),
)

upload_row = Table(
    "upload_row",
    metadata,
    Column("upload_id", ForeignKey("upload.id", ondelete="CASCADE"), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("transaction_id", String(500), nullable=False),
    Column("probability", Double),  # null: it could not be scored
    Column("decision", String(20), nullable=False),
    Column("reasons", String(1000), nullable=False),
    Index(None, "upload_id", "probability", "line"),
)

ingest = Table(  # how far each partition is in this database
    "ingest",
    metadata,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    # The cluster's id of the topic: one made anew has the old one's name, and its own offsets.
    Column("topic_id", String(40), nullable=False, server_default=""),
)

ingest_error = Table(
    "ingest_error",
    metadata,
    Column("id", Id, primary_key=True),
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("problem", String(300), nullable=False),
    UniqueConstraint("topic", "partition", "offset"),
)

lease = Table(  # which of several consoles does what only one may
    "lease",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("holder", String(100), nullable=False),
    moment("until"),
)

presence = Table(  # who has an alert open; ends by itself
    "presence",
    metadata,
    Column("alert_id", String(100), primary_key=True),
    Column("name", String(100), primary_key=True),
    moment("seen_at"),
)

GROWING = ("audit", "label")
