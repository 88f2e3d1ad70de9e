"""Which weights a model keeps, what the check of each of its files found, and how it was trained.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    for name in ("versions", "exports", "training"):
        op.add_column("models", sa.Column(name, sa.JSON(none_as_null=True), nullable=True))
    op.add_column("models", sa.Column("dataset_sha256", sa.String(), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for name in ("dataset_sha256", "training", "exports", "versions"):
        op.drop_column("models", name)
