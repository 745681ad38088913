"""Runs whose messages were taken by another run."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("runs", sa.Column("steered_into", ID, nullable=True))


def downgrade() -> None:
    op.drop_column("runs", "steered_into")
