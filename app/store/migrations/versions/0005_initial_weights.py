"""The weights that a job starts with, and models that were uploaded: without metrics.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JOBS = sa.table("jobs", sa.column("id", sa.String()), sa.column("resolved", sa.JSON(none_as_null=True)))


def upgrade() -> None:
    """Make the table; a model may have no metrics; the jobs that are there drew their weights."""
    op.create_table(
        "initial_weights",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id"),
    )
    with op.batch_alter_table("models") as models:
        models.alter_column("metrics", existing_type=sa.JSON(none_as_null=True), nullable=True)
    connection = op.get_bind()
    for job_id, resolved in connection.execute(sa.select(JOBS.c.id, JOBS.c.resolved)).all():
        changed = {"initial_weights": None, **resolved}
        connection.execute(sa.update(JOBS).where(JOBS.c.id == job_id).values(resolved=changed))


def downgrade() -> None:
    """Drop the table, and the models that have no metrics."""
    models = sa.table("models", sa.column("metrics", sa.JSON(none_as_null=True)))
    op.execute(sa.delete(models).where(models.c.metrics.is_(sa.null())))
    with op.batch_alter_table("models") as changed:
        changed.alter_column("metrics", existing_type=sa.JSON(none_as_null=True), nullable=False)
    op.drop_table("initial_weights")
