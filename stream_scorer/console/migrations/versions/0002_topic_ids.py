"""Which topic of a name was read; who has which alerts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Rows that are there get the id of their topic with the next record."""
    op.add_column(
        "ingest", sa.Column("topic_id", sa.String(length=40), server_default="", nullable=False)
    )
    op.create_index(op.f("ix_alert_assignee_state"), "alert", ["assignee", "state"], unique=False)
