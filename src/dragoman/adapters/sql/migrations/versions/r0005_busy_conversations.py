"""What a message does to a busy conversation: runs and branches that another run has superseded, messages still to enter."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UNSAID = sa.text("unsaid = 1")


def upgrade() -> None:
    op.add_column("runs", sa.Column("supersedes", ID, nullable=True))
    op.add_column("runs", sa.Column("superseded_by", ID, nullable=True))
    op.add_column("runs", sa.Column("unsaid", sa.Integer(), nullable=True))
    op.create_index("ix_runs_unsaid", "runs", ["conversation_id"], sqlite_where=UNSAID, postgresql_where=UNSAID)
    op.add_column("branches", sa.Column("superseded_by", ID, nullable=True))


def downgrade() -> None:
    op.drop_column("branches", "superseded_by")
    op.drop_index("ix_runs_unsaid", "runs")
    for column in ("unsaid", "superseded_by", "supersedes"):
        op.drop_column("runs", column)
