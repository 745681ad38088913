"""The tables. Migrations are compared with these; what runs often is raw SQL beside its script.

Times are microseconds since 1970 in UTC, JSON is text: the same on every database.
"""

from sqlalchemy import (
    DDL,
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
    event,
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
UNSAID = text("unsaid = 1")
PENDING = text("status = 'pending'")
UNFINISHED = text("status IN ('queued', 'in_progress', 'requires_action')")
STATELESS = text("conversation_id IS NULL")

conversations = Table(
    "conversations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("key", Text),  # the session_id of requests; unique per owner
    Column("title", String(200), nullable=False),
    Column("agent", Text, nullable=False),
    Column("tags", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("status", Text, nullable=False),  # active | inactive
    Column("branch", Id, nullable=False),  # the current one
    Column("last_seq", BigInteger, nullable=False),
    Column("provider_conversation_id", Text),
    Column("provider_run_id", Id),  # the run that wrote to it last
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("last_message_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("hold", Integer, server_default="0", nullable=False),  # 0 | 1: no retention removes it
    UniqueConstraint("tenant", "owner", "key"),
    Index("ix_conversations_idle", "status", "last_message_at"),
    Index("ix_conversations_recent", "tenant", "owner", "last_message_at", "id"),
)

branches = Table(
    "branches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("conversation_id", Id, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("head", Id),  # its newest item
    Column("created_at", Time, nullable=False),
    Column("superseded_by", Id),  # the run for which what it ends with was undone
    Index("ix_branches_conversation", "conversation_id", "id"),
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
    Column("status", Text, nullable=False),  # completed | incomplete | blocked | superseded
    Column("content", Json, nullable=False),
    Column("created_at", Time, nullable=False),
    UniqueConstraint("conversation_id", "seq"),
)

findable = Table(
    "findable",
    metadata,
    # A number made from the id of what is found: an item, or the conversation for its title. FTS5 knows rows by number.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("conversation_id", Id, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("words", Text, nullable=False),  # each once, blanks between them
    Index("ix_findable_conversation", "conversation_id"),
)

# The index of the words, as each database has it. FTS5 keeps its own tables, and triggers keep it true.
FULL_TEXT = {
    "sqlite": (
        """CREATE VIRTUAL TABLE findable_words USING fts5(
          words, content='findable', content_rowid='number', tokenize='ascii', detail='none', columnsize=0)""",
        """CREATE TRIGGER findable_added AFTER INSERT ON findable BEGIN
          INSERT INTO findable_words (rowid, words) VALUES (new.number, new.words); END""",
        """CREATE TRIGGER findable_removed AFTER DELETE ON findable BEGIN
          INSERT INTO findable_words (findable_words, rowid, words) VALUES ('delete', old.number, old.words); END""",
        """CREATE TRIGGER findable_changed AFTER UPDATE ON findable BEGIN
          INSERT INTO findable_words (findable_words, rowid, words) VALUES ('delete', old.number, old.words);
          INSERT INTO findable_words (rowid, words) VALUES (new.number, new.words); END""",
    ),
    "postgresql": (
        "CREATE INDEX findable_words ON findable USING gin (array_to_tsvector(string_to_array(words, ' ')))",
    ),
}
for dialect, statements in FULL_TEXT.items():
    for statement in statements:
        event.listen(findable, "after_create", DDL(statement).execute_if(dialect=dialect))  # type: ignore[no-untyped-call]


def comparable(name: str | None, kind: str, parents: object) -> bool:  # noqa: ARG001 - as Alembic asks
    """Whether Alembic may compare a thing of this name with what stands here. It knows nothing of the full-text index."""
    return not (name or "").startswith("findable_words")


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
    Column("branch", Id),
    Column("base_item", Id),
    Column("trace", Text),
    Column("usage", Json, nullable=False),
    Column("error", Json),
    Column("final_output", Json),
    Column("response_id", Text),
    Column("ended_at", Time),
    Column("player", Text),  # who plays it
    Column("lease_until", Time),
    Column("cancel", Text),  # what its player was asked
    Column("supersedes", Id),  # the run that was undone for it
    Column("superseded_by", Id),  # for which run it was undone
    Column("steered_into", Id),  # the run that took its message
    Column("unsaid", Integer),  # 1: it ended while it waited, and its message is still to enter the conversation
    Column("key", Text),  # the API key it was begun with
    Index("ix_runs_owner", "tenant", "owner", "id"),
    Index("ix_runs_conversation", "conversation_id"),
    Index("ix_runs_queued", "tenant", "created_at", "id", sqlite_where=QUEUED, postgresql_where=QUEUED),
    Index(
        "ix_runs_unfinished",
        "conversation_id",
        "created_at",
        "id",
        sqlite_where=UNFINISHED,
        postgresql_where=UNFINISHED,
    ),
    Index("ix_runs_stateless", "ended_at", sqlite_where=STATELESS, postgresql_where=STATELESS),
    Index("ix_runs_unsaid", "conversation_id", sqlite_where=UNSAID, postgresql_where=UNSAID),
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
    Index("ix_idempotency_keys_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)

# Without a foreign key to its run: what was used outlives what it was used for.
usage = Table(
    "usage",
    metadata,
    Column("run_id", Id, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("try", Integer, primary_key=True, autoincrement=False),
    Column("tenant", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("conversation_id", Id, ForeignKey("conversations.id", ondelete="SET NULL")),
    Column("agent", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("status", Text, nullable=False),  # answered | failed | cancelled
    Column("code", Text),  # of the failure
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("total_tokens", BigInteger, nullable=False),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("estimated", Integer, nullable=False),  # 0 | 1
    Column("cost", Text),  # exact, always with twelve decimals; null: unknown
    Column("currency", Text, nullable=False),
    Column("latency_ms", BigInteger, nullable=False),
    Column("created_at", Time, nullable=False),
    Index("ix_usage_owner", "tenant", "owner", "created_at"),
    Index("ix_usage_conversation", "conversation_id"),
    sqlite_with_rowid=False,
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("due_at", Time, nullable=False),
    Column("begun", BigInteger, nullable=False),  # how often
    Column("player", Text),  # who is at it
    Column("lease_until", Time),
    Column("ended_at", Time),  # the last time
    Column("failures", Integer, nullable=False),  # in a row
    Column("result", Text, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("digest", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Time),
    Column("last_used_at", Time),
    Column("revoked_at", Time),
    Index("ix_api_keys_owner", "tenant", "owner", "id"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Time, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("key", Id),  # the API key by which the actor came; it may be gone
    Column("action", Text, nullable=False),
    Column("target", Text),
    Column("detail", Json, nullable=False),
    Index("ix_audit_tenant", "tenant", "id"),
)

# Who is limited, and what was asked for in the last minute.
request_counts = Table(
    "request_counts",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("kind", Text, primary_key=True),  # tenant | user | key
    Column("name", Text, primary_key=True),  # of the user, or the id of the key
    Column("minute", BigInteger, nullable=False),  # since 1970
    Column("requests", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What somebody has spent in a day or a month, as far as a budget or a limit asks for it.
accounts = Table(
    "accounts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("payer", Text, nullable=False),  # tenant | user | agent | key
    Column("name", Text, nullable=False),  # of the user or the agent, or the id of the key
    Column("span", Text, nullable=False),  # day | month
    Column("since", Time, nullable=False),
    Column("spent", BigInteger, nullable=False),  # 10^-12 dollars
    Column("tokens", BigInteger, nullable=False),
    UniqueConstraint("tenant", "payer", "name", "span", "since"),
)

# What model calls that are under way may cost at most.
reservations = Table(
    "reservations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account", Id, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Index("ix_reservations_account", "account"),
    Index("ix_reservations_run", "run_id"),
    sqlite_with_rowid=False,
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("tenant", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("arguments", Json, nullable=False),
    Column("requested_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("scope", Text),  # of those who decide; null: whoever the run belongs to
    Column("path", Text, nullable=False),
    Column("conversation_id", Id),
    Column("status", Text, nullable=False),  # pending | approved | rejected | expired | withdrawn
    Column("changed_arguments", Json),
    Column("message", Text),
    Column("decided_by", Text),
    Column("decided_at", Time),
    Column("logged", Integer, nullable=False),  # 0 | 1: whether its run knows how it was decided
    Index("ix_approvals_run_id", "run_id"),
    Index("ix_approvals_tenant", "tenant", "id"),
    Index("ix_approvals_pending", "expires_at", sqlite_where=PENDING, postgresql_where=PENDING),
)

notes = Table(
    "notes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("kind", Text, nullable=False),  # goal | milestone | habit | check_in
    Column("text", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("once", Text, nullable=False),  # the key of the call that made it
    Column("done_at", Time),
    UniqueConstraint("tenant", "owner", "once"),
    Index("ix_notes_owner", "tenant", "owner", "kind", "id"),
)
