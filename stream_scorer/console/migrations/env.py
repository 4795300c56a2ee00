"""Runs the migrations on the connection that `database.upgrade` hands over."""

from alembic import context

from stream_scorer.console.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
)
context.run_migrations()
