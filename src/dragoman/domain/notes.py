"""What the coaches keep for a person: goals, milestones, habits, check-ins."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

Kind = Literal["goal", "milestone", "habit", "check_in"]
KINDS: tuple[Kind, ...] = get_args(Kind)

LONGEST = 2000
"""Characters of a note."""


@dataclass(frozen=True, slots=True)
class Note:
    id: str
    tenant: str
    owner: str
    kind: Kind
    text: str
    created_at: datetime
    once: str  # the key of the call that made it: made again, the call makes nothing new
    done_at: datetime | None = None
