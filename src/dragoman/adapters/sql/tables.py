"""The tables. Migrations are compared with these; what runs often is raw SQL beside its script.

Times are microseconds since 1970 in UTC, JSON is text: the same on every database.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

Id = Text().with_variant(Text(collation="C"), "postgresql")  # ids sort by byte, in every database
Time = BigInteger
Json = Text

QUEUED = text("status = 'queued'")
RUNNING = text("status IN ('in_progress', 'requires_action')")
UNFINISHED = text("status IN ('queued', 'in_progress', 'requires_action')")

conversations = Table(
    "conversations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("key", Text),  # the session_id of requests; unique per owner
    Column("title", String(200), nullable=False),
    Column("agent", Text, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("status", Text, nullable=False),  # active | inactive
    Column("head", Id),  # the newest item of the current branch
    Column("last_seq", BigInteger, nullable=False),
    Column("provider_conversation_id", Text),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("last_message_at", Time, nullable=False),
    Column("expires_at", Time),
    UniqueConstraint("tenant", "owner", "key"),
)

items = Table(
    "items",
    metadata,
    Column("id", Id, primary_key=True),
    Column("conversation_id", Id, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("seq", BigInteger, nullable=False),  # the order in which items came, whatever clocks said
    Column("parent", Id),
    Column("run_id", Id),
    Column("kind", Text, nullable=False),
    Column("role", Text),
    Column("status", Text, nullable=False),  # completed | incomplete
    Column("content", Json, nullable=False),
    Column("created_at", Time, nullable=False),
    UniqueConstraint("conversation_id", "seq"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("conversation_id", Id, ForeignKey("conversations.id", ondelete="CASCADE")),
    Column("session_id", Text),
    Column("input", Json, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("status", Text, nullable=False),
    Column("options", Json, nullable=False),
    Column("context", Json, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("base_item", Id),
    Column("trace", Text),
    Column("usage", Json, nullable=False),
    Column("error", Json),
    Column("final_output", Json),
    Column("response_id", Text),
    Column("ended_at", Time),
    Column("player", Text),  # who plays it
    Column("lease_until", Time),
    Column("cancel", Text),  # how its player was asked to stop
    Index("ix_runs_owner", "tenant", "owner", "id"),
    Index("ix_runs_conversation", "conversation_id"),
    Index("ix_runs_queued", "created_at", "id", sqlite_where=QUEUED, postgresql_where=QUEUED),
    Index(
        "ix_runs_unfinished",
        "conversation_id",
        "created_at",
        "id",
        sqlite_where=UNFINISHED,
        postgresql_where=UNFINISHED,
    ),
    Index("uq_runs_running", "conversation_id", unique=True, sqlite_where=RUNNING, postgresql_where=RUNNING),
)

events = Table(
    "events",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("content", Json, nullable=False),
    sqlite_with_rowid=False,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    # Deferred: the key is taken before its run is written, so that of two equal requests one waits for the other.
    Column(
        "run_id",
        Id,
        ForeignKey("runs.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
    Column("expires_at", Time, nullable=False),
    Index("ix_idempotency_keys_run_id", "run_id"),
    sqlite_with_rowid=False,
)
