"""How many jobs have ended, kept count of, and an index of those that have not: nobody has to count them all.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Begin the count with the jobs that are there."""
    where = sa.text("status NOT IN ('cancelled', 'failed', 'succeeded')")
    op.create_index("ix_jobs_not_ended", "jobs", ["status"], sqlite_where=where, postgresql_where=where)
    op.create_table(
        "ended_jobs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.execute(
        "INSERT INTO ended_jobs (status, number) SELECT status, count(*) FROM jobs "
        "WHERE status IN ('cancelled', 'failed', 'succeeded') GROUP BY status"
    )


def downgrade() -> None:
    """Forget the count."""
    op.drop_table("ended_jobs")
    op.drop_index("ix_jobs_not_ended", "jobs")
