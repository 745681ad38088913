"""How a model endpoint is doing, as this process sees it: what metrics show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Circuit = Literal["closed", "half_open", "open"]
"""Closed: it is asked. Open: it failed too often and is left alone for a while. Half open: one request finds out."""


@dataclass(frozen=True, slots=True)
class EndpointStats:
    requests: Mapping[str, int]  # by how they ended: answered, cancelled, or the code of the failure
    seconds: float  # spent on them
    input_tokens: int
    output_tokens: int
    active: int
    waiting: int
    circuit: Circuit
