"""Alembic's entry: run the revisions on the connection that `app.store.schema` hands over."""

from alembic import context

from app.store.tables import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
