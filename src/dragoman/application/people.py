"""Everything of one person: exported as files, or erased."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any

from dragoman.domain.audit import audit_entry
from dragoman.domain.errors import Forbidden, Invalid, OnHold
from dragoman.domain.identity import Principal, is_name
from dragoman.domain.ids import new_id
from dragoman.domain.people import KINDS, REMOVED, Kind
from dragoman.ports.audit import AuditLog
from dragoman.ports.clock import Clock
from dragoman.ports.people import PeopleStore

PAGE = 200
"""Things that are read, or removed, in one transaction."""
FEW = 5
"""The same of conversations: each may have thousands of branches."""
MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a file of an export. The parts of a file come one after the other."""

    file: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed, by kind; in how many places the name was replaced, and by what."""

    removed: Mapping[Kind, int]
    renamed: int
    pseudonym: str


def nobody_hears(_: Collection[str]) -> None:
    """Where no runs are played, nobody has to be told of them."""


@dataclass(frozen=True, slots=True)
class People:
    """Somebody reaches their own things; an administrator those of anybody in the tenant; the operator anybody's."""

    store: PeopleStore
    audit: AuditLog
    clock: Clock
    stopped: Callable[[Collection[str]], None] = nobody_hears  # is told of runs that were ended

    async def export(self, principal: Principal, user: str, *, tenant: str) -> AsyncIterator[Part]:
        """A file of JSON for every kind, and at last a manifest that has the digest of each."""
        person = _reached(principal, user, tenant)
        about = {"tenant": tenant, "target": user}
        await self.audit.append(audit_entry(principal, "person.exported", self.clock.now(), **about))
        return self._files(person)

    async def _files(self, person: Principal) -> AsyncIterator[Part]:
        written: dict[str, Any] = {}
        for kind in KINDS:
            file = _File(f"{kind}.json")
            async for part in self._file(person, kind, file):
                yield part
            written[file.name] = file.summary()
        manifest = {
            "format": FORMAT,
            "tenant": person.tenant,
            "user": person.user,
            "exported_at": self.clock.now().isoformat(),
            "files": written,
        }
        yield Part(MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=2).encode() + b"\n")

    async def _file(self, person: Principal, kind: Kind, file: "_File") -> AsyncIterator[Part]:
        """A list with a thing on each line."""
        yield file.wrote(b"[")
        after = None
        while page := await self.store.page(person, kind, after, PAGE):
            lines = [encoded(thing) for _, thing in page]
            after = page[-1][0]
            yield file.wrote((b",\n" if file.things else b"\n") + b",\n".join(lines), len(lines))
        yield file.wrote(b"\n]\n")

    async def erase(self, principal: Principal, user: str, *, tenant: str, despite_holds: bool = False) -> Erased:
        """Remove whatever is theirs, step by step, until there is nothing. One that was broken off is simply made again."""
        person = _reached(principal, user, tenant)
        if not despite_holds and (holds := await self.store.holds(person)):
            raise OnHold(holds)
        pseudonym = new_id("erased")
        await self._note(principal, person, pseudonym, despite_holds)
        removed: dict[Kind, int] = dict.fromkeys(REMOVED, 0)
        renamed = 0
        while True:
            stopped = await self._stop(person)
            counts = {kind: await self._remove(person, kind) for kind in REMOVED}
            names = await self._rename(person, pseudonym)
            removed = {kind: removed[kind] + count for kind, count in counts.items()}
            renamed += names
            if not (stopped or names or any(counts.values())):
                return Erased(removed, renamed, pseudonym)

    async def _note(self, principal: Principal, person: Principal, pseudonym: str, despite_holds: bool) -> None:
        """The audit log tells that somebody was erased, never who."""
        themself = (principal.tenant, principal.user) == (person.tenant, person.user)
        actor = Principal(pseudonym, person.tenant) if themself else principal
        entry = audit_entry(
            actor,
            "person.erased",
            self.clock.now(),
            tenant=person.tenant,
            target=pseudonym,
            despite_holds=despite_holds,
        )
        await self.audit.append(entry)

    async def _stop(self, person: Principal) -> int:
        count = 0
        while run_ids := await self.store.stop(person, self.clock.now(), PAGE):
            self.stopped(run_ids)
            count += len(run_ids)
        return count

    async def _remove(self, person: Principal, kind: Kind) -> int:
        count = 0
        while some := await self.store.remove(person, kind, FEW if kind == "conversations" else PAGE):
            count += some
        return count

    async def _rename(self, person: Principal, pseudonym: str) -> int:
        count = 0
        while some := await self.store.rename(person, pseudonym, PAGE):
            count += some
        return count


def _reached(principal: Principal, user: str, tenant: str) -> Principal:
    """The person, if the principal may do this to them."""
    if (principal.tenant, principal.user) != (tenant, user) and not principal.may("admin"):
        raise Forbidden("admin")
    for name, value in {"user": user, "tenant": tenant}.items():
        if not is_name(value):
            raise Invalid(f"A {name} has 1 to 255 printable characters.", field=name)
    return Principal(user, tenant)


# how things look in a file -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _File:
    """A file of an export, as far as it was written."""

    name: str
    things: int = 0
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def wrote(self, content: bytes, things: int = 0) -> Part:
        self.things += things
        self.size += len(content)
        self.digest.update(content)
        return Part(self.name, content)

    def summary(self) -> dict[str, Any]:
        return {"things": self.things, "bytes": self.size, "sha256": self.digest.hexdigest()}


def encoded(thing: object) -> bytes:
    return json.dumps(thing, default=_plain, ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    if is_dataclass(value):  # without what is never shown, as the digest of a key
        return {each.name: getattr(value, each.name) for each in fields(value) if each.repr}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    return str(value)
