"""What bodies under ``/v1`` have in common."""

from typing import Annotated

from annotated_types import MaxLen
from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid")

Metadata = Annotated[dict[Annotated[str, MaxLen(64)], Annotated[str, MaxLen(512)]], MaxLen(16)]
