"""What has to be known of files in a bucket: whose they are, which run's a model has, and what uploads are made of.

Revision ID: 0011
Revises: 0010
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, which is null for the models that are there: their files have no run in their keys; and the tables."""
    op.add_column("models", sa.Column("files_of_run", sa.BigInteger))
    op.create_table(
        "upload_pieces",
        sa.Column("upload_id", sa.String(40), sa.ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
    )
    identity = op.create_table("identity", sa.Column("value", sa.String, primary_key=True))
    op.bulk_insert(identity, [{"value": secrets.token_hex(16)}])


def downgrade() -> None:
    """Drop them, and with them the knowledge where the weights are that a bucket took since."""
    op.drop_table("identity")
    op.drop_table("upload_pieces")
    op.drop_column("models", "files_of_run")
