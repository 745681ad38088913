"""Whose turn it is, who is limited, and what may be spent."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
QUEUED = sa.text("status = 'queued'")


def upgrade() -> None:
    op.add_column("runs", sa.Column("key", sa.Text(), nullable=True))
    op.drop_index("ix_runs_queued", "runs")
    op.create_index(
        "ix_runs_queued", "runs", ["tenant", "created_at", "id"], sqlite_where=QUEUED, postgresql_where=QUEUED
    )
    op.create_index("ix_conversations_idle", "conversations", ["status", "last_message_at"])
    op.create_table(
        "request_counts",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "kind", "name", name=op.f("pk_request_counts")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "accounts",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("span", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint(
            "tenant", "payer", "name", "span", "since", name=op.f("uq_accounts_tenant_payer_name_span_since")
        ),
    )
    op.create_table(
        "reservations",
        sa.Column("id", ID, nullable=False),
        sa.Column("account", ID, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name=op.f("fk_reservations_account"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_reservations_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", "account", name=op.f("pk_reservations")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_reservations_account", "reservations", ["account"])
    op.create_index("ix_reservations_run", "reservations", ["run_id"])


def downgrade() -> None:
    for table in ("reservations", "accounts", "request_counts"):
        op.drop_table(table)
    op.drop_index("ix_conversations_idle", "conversations")
    op.drop_index("ix_runs_queued", "runs")
    op.create_index("ix_runs_queued", "runs", ["created_at", "id"], sqlite_where=QUEUED, postgresql_where=QUEUED)
    op.drop_column("runs", "key")
