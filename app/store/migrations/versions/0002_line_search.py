"""What a line search did in each epoch, and whether the loss of a model never rose.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("epochs", sa.Column("line_search", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("models", sa.Column("monotone", sa.Boolean(), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("models", "monotone")
    op.drop_column("epochs", "line_search")
