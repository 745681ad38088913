"""API keys: what programs show instead of a token that a person was given.

A key is ``dgm_``, the letters of its id, and 256 random bits. Those bits are known to whoever was given the key and to
nobody else: what is kept is a digest. With so much chance in it a plain SHA-256 cannot be turned round.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dragoman.domain.errors import Invalid
from dragoman.domain.identity import Principal, Scope
from dragoman.domain.ids import key_id

PREFIX = "dgm_"
MAX_LIFETIME = timedelta(days=3650)

_KEY = re.compile(rf"{PREFIX}([0-9a-z]{{26}})_([A-Za-z0-9_-]{{43}})")
_LIFETIME = re.compile(r"([1-9]\d{0,5})([mhdwy])")
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key. Whoever shows it is its owner, as far as its scopes go."""

    id: str
    tenant: str
    owner: str
    name: str
    scopes: frozenset[Scope]
    digest: str = field(repr=False)
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None  # some minutes ago at most
    revoked_at: datetime | None = None

    def fits(self, shown: str) -> bool:
        return hmac.compare_digest(self.digest, digest_of(shown))

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    @property
    def principal(self) -> Principal:
        return Principal(self.owner, self.tenant, self.scopes, self.id)


def new_key() -> tuple[str, str]:
    """The id of a new key, and the key itself."""
    id = key_id()
    return id, f"{PREFIX}{id.partition('_')[2]}_{secrets.token_urlsafe(32)}"


def id_in(shown: str) -> str | None:
    """The id of the key that somebody shows; ``None`` if it is not even like one."""
    found = _KEY.fullmatch(shown)
    return f"key_{found[1]}" if found else None


def digest_of(shown: str) -> str:
    return hashlib.sha256(shown.encode()).hexdigest()


def lifetime(text: str) -> timedelta:
    """How long a key is good: ``30m``, ``12h``, ``90d``, ``8w``, ``1y``."""
    found = _LIFETIME.fullmatch(text)
    length = int(found[1]) * _UNITS[found[2]] if found else None
    if length is None or length > MAX_LIFETIME:
        raise Invalid("It is a number with a unit: 30m, 12h, 90d, 8w, 1y; ten years at most.", field="expires")
    return length
