"""The language between load client and fake model, carried through every server as the user's text.

The text orders an answer; the answer's first token says how long the model itself took to begin.
"""

import re
from dataclasses import dataclass

TOKEN = " ruby"
_ORDER = re.compile(rb"(\d+) tokens, one every (\d+) us")
_FIRST = re.compile(rb"<(\d+) us>")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the fake model shall say: so many tokens, a packet each, so many microseconds apart."""

    tokens: int
    every_us: int

    def order(self) -> str:
        return f"Say {self.tokens} tokens, one every {self.every_us} us."

    @staticmethod
    def ordered_in(request: bytes | bytearray) -> "Answer | None":
        """The newest order in a request to the model."""
        orders = _ORDER.findall(request)
        return Answer(int(orders[-1][0]), int(orders[-1][1])) if orders else None


def first_token(delay_us: int) -> str:
    return f"<{delay_us} us>"


def model_delay_us(answer: bytes | bytearray) -> int | None:
    """How long the model took, once its first token is in what a client has received."""
    found = _FIRST.search(answer)
    return int(found[1]) if found else None
