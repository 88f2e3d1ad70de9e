"""Which run's files a model has, where each run's have keys of their own: null where they have not.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the files of the models that are there have no run in their keys."""
    op.add_column("models", sa.Column("files_of_run", sa.BigInteger))


def downgrade() -> None:
    """Drop it, and with it the knowledge where the weights are that a bucket took since."""
    op.drop_column("models", "files_of_run")
