"""What comes first in dates that are numbers alone, so that a prediction reads them as the table was read.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DATASETS = sa.table("datasets", sa.column("id", sa.String()), sa.column("columns", sa.JSON()))


def upgrade() -> None:
    """Of the datasets that are there nothing of it is known."""
    connection = op.get_bind()
    for dataset_id, columns in connection.execute(sa.select(DATASETS.c.id, DATASETS.c.columns)).all():
        changed = [{"date_order": None, **column} for column in columns]
        connection.execute(sa.update(DATASETS).where(DATASETS.c.id == dataset_id).values(columns=changed))


def downgrade() -> None:
    """Take it out again."""
    connection = op.get_bind()
    for dataset_id, columns in connection.execute(sa.select(DATASETS.c.id, DATASETS.c.columns)).all():
        changed = [{name: value for name, value in column.items() if name != "date_order"} for column in columns]
        connection.execute(sa.update(DATASETS).where(DATASETS.c.id == dataset_id).values(columns=changed))
