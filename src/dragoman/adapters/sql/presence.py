"""How a process on PostgreSQL shows that it lives: it holds a lock of its name for as long as its connection lasts.

The database releases the lock in the moment the process dies, however it dies; not when it freezes, or its machine is gone.
The lock is shared, so that a connection which the server still believes in is not in the way of its successor's.
"""

SPACE = 7021906
"""Ours among the advisory locks of the database."""

SHOW = f"SELECT pg_advisory_lock_shared({SPACE}, hashtext(%s))"

SHOWN = f"""EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = {SPACE}
    AND CAST(objid AS bigint) = (CAST(hashtext(player) AS bigint) & 4294967295)
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""  # noqa: S608 - constants
"""Of a row with a ``player``. Two names may share a lock by chance: then one that died is waited for until its claim is over."""
