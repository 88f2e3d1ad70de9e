"""Indexes in the order of the lists of jobs, which are of one kind: without it, a list of a rare kind reads all jobs.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put the indexes with the kind in the place of those without."""
    op.create_index("ix_jobs_owner_kind_id", "jobs", ["owner", "kind", "id"])
    op.create_index("ix_jobs_owner_kind_status_id", "jobs", ["owner", "kind", "status", "id"])
    op.drop_index("ix_jobs_owner_id", "jobs")
    op.drop_index("ix_jobs_owner_status_id", "jobs")


def downgrade() -> None:
    """Put the old ones back."""
    op.create_index("ix_jobs_owner_id", "jobs", ["owner", "id"])
    op.create_index("ix_jobs_owner_status_id", "jobs", ["owner", "status", "id"])
    op.drop_index("ix_jobs_owner_kind_status_id", "jobs")
    op.drop_index("ix_jobs_owner_kind_id", "jobs")
