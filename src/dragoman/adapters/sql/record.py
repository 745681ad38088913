"""How events become rows of a log."""

from collections.abc import Mapping, Sequence

from dragoman.adapters.sql.engine import Script
from dragoman.adapters.sql.rows import dumps
from dragoman.domain.events import Recorded, pack

# A retry after a lost acknowledgement may bring what is already there.
INSERT = """
INSERT INTO events (run_id, position, kind, content) VALUES (:run_id, :position, :kind, :content)
ON CONFLICT (run_id, position) DO NOTHING
"""


def record(logs: Mapping[str, Sequence[Recorded]]) -> Script[None]:
    """Write events of some runs, without asking whose turn it is."""
    yield (
        INSERT,
        [
            {"run_id": run_id, "position": row.position, "kind": row.kind, "content": dumps(row.content)}
            for run_id, recorded in logs.items()
            for row in pack(list(recorded))
        ],
    )
