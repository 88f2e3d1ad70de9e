"""How the bytes of a dataset were understood, and what its sender should know of that.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NOTHING_KNOWN = '{"encoding": null, "separator": null, "has_header": null, "compression": null}'


def upgrade() -> None:
    """Add the columns; of the datasets that are there nothing of it is known."""
    how = sa.Column("read", sa.JSON(none_as_null=True), nullable=False, server_default=NOTHING_KNOWN)
    op.add_column("datasets", how)
    op.add_column("datasets", sa.Column("warnings", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("datasets", "warnings")
    op.drop_column("datasets", "read")
