"""Pauses, forks, kept checkpoints, priorities and receipts.

Revision ID: 0006
Revises: 0005
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _new_columns() -> dict[str, list[sa.Column[Any]]]:
    jobs: list[sa.Column[Any]] = [
        sa.Column("kind", sa.String(), nullable=False, server_default="training"),
        sa.Column("priority", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False, server_default="1970-01-01 00:00:00"),
        sa.Column("hand_over", sa.BigInteger(), nullable=False, server_default="1"),
        sa.Column("lost_because", sa.String(), nullable=True),
        sa.Column("trained_s", sa.Double(), nullable=False, server_default="0"),
        sa.Column("parent_epoch", sa.BigInteger(), nullable=True),
        sa.Column("verification", sa.JSON(none_as_null=True), nullable=True),
    ]
    checkpoints: list[sa.Column[Any]] = [
        # What a checkpoint of an earlier version weighs is not known until it is written again.
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("sha256", sa.String(), nullable=False, server_default=""),
        sa.Column("origin", sa.String(), nullable=True),
        sa.Column("receipt", sa.JSON(none_as_null=True), nullable=True),
    ]
    models: list[sa.Column[Any]] = [sa.Column("receipt", sa.JSON(none_as_null=True), nullable=True)]
    return {"jobs": jobs, "checkpoints": checkpoints, "models": models}


def upgrade() -> None:
    """Add columns, indexes and the table of kept checkpoints."""
    for table, columns in _new_columns().items():
        for column in columns:
            op.add_column(table, column)
    op.execute("UPDATE jobs SET queued_at = created_at")
    op.create_index("ix_jobs_parent_job_id", "jobs", ["parent_job_id"])
    op.create_index("ix_jobs_queue", "jobs", ["owner", "status", "priority", "queued_at", "id"])
    op.create_table(
        "kept_checkpoints",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=True),
        sa.Column("best", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "kind", "epoch"),
    )


def downgrade() -> None:
    """Drop what was added."""
    op.drop_table("kept_checkpoints")
    op.drop_index("ix_jobs_queue", "jobs")
    op.drop_index("ix_jobs_parent_job_id", "jobs")
    for table, columns in _new_columns().items():
        for column in columns:
            op.drop_column(table, column.name)
