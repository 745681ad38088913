"""People of two tenants, two of them of the same name, and everything a person can have."""

from collections import defaultdict
from dataclasses import dataclass, field

from dragoman.domain.identity import OPERATOR, ORDINARY, Principal
from dragoman.domain.ids import new_id
from dragoman.domain.keys import ApiKey
from dragoman.domain.notes import Note
from tests.surfaces.house import House


@dataclass
class Person:
    """Somebody, what is theirs, and the words that nobody else may ever read."""

    principal: Principal
    things: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def name(self) -> str:
        return f"{self.principal.user}@{self.principal.tenant}"

    @property
    def secret(self) -> str:
        """A word that stands in everything they say, write or name."""
        return f"canary{self.principal.tenant}{self.principal.user}"

    @property
    def headers(self) -> dict[str, str]:
        role = "admin" if self.principal.may("admin") else "user"
        return {"authorization": f"{self.principal.tenant} {self.principal.user} {role}"}

    @property
    def marks(self) -> set[str]:
        """What tells that a text or a row is about them: the word, and the ids of their things."""
        ids = {id for kind, found in self.things.items() if kind not in NAMES for id in found}
        return {self.secret, *ids}


NAMES = ("session", "idempotency key")
"""Kinds that everybody chooses for themselves: somebody else may use the same word."""


class Door:
    """Lets everybody in who says who they are."""

    async def authenticate(self, authorization: str | None) -> Principal:
        tenant, user, role = (authorization or "nowhere nobody user").split()
        return Principal(user, tenant, ORDINARY | ({"admin"} if role == "admin" else set()))


def population() -> list[Person]:
    """The first is the one whose things the others are after: a colleague, a namesake elsewhere, a stranger, and one who
    may do everything, elsewhere."""
    people = [Person(Principal(user, tenant)) for tenant in ("acme", "umbrella") for user in ("sarah", "tom")]
    return [*people, Person(Principal("boss", "umbrella", ORDINARY | {"admin"}))]


async def furnish(at: House, person: Person) -> None:
    """Give somebody a thing of every kind that there is."""
    client, headers, secret, things = at.client, person.headers, person.secret, person.things
    session = f"{person.principal.tenant}-{person.principal.user}-talk"
    key = f"order-{session}"

    async def run(text: str, **more) -> dict:
        body = {"input": f"{text} {secret}", "session_id": session, **more}
        answer = await client.post("/chat/run", json=body, headers={**headers, "idempotency-key": key + text})
        assert answer.status_code in (200, 202), answer.text
        things["idempotency key"].append(key + text)
        things["run"].append(answer.json()["run_id"])
        return answer.json()

    first = await run("Hello", context={"note": secret})
    again = await run("Differently", from_item="start")
    things["session"].append(session)
    things["conversation"].append(first["conversation_id"])
    change = {"title": f"About {secret}", "tags": [secret], "metadata": {"note": secret}}
    path = f"/conversations/{first['conversation_id']}"
    changed = await client.patch(path, json=change, headers=headers)
    assert changed.status_code == 200, changed.text
    branches = (await client.get(f"{path}/branches", headers=headers)).json()["branches"]
    things["branch"] += [branch["branch_id"] for branch in branches]
    for branch in things["branch"]:
        items = (await client.get(f"{path}/items", params={"branch": branch}, headers=headers)).json()["items"]
        things["item"] += [item["id"] for item in items]
    alone = await client.post("/chat/run", json={"input": secret}, headers=headers)
    things["run"].append(alone.json()["run_id"])
    asked = {"model": "chat", "input": secret}
    for more in ({"conversation": first["conversation_id"]}, {}):
        answer = await client.post("/v1/responses", json={**asked, **more}, headers=headers)
        assert answer.status_code == 200, answer.text
        things["response"].append(answer.json()["id"])
    shop = await client.post("/shop/run", json={"input": f"Give it back, {secret}"}, headers=headers)
    things["approval"] += [approval["approval_id"] for approval in shop.json()["approvals"]]
    things["run"].append(shop.json()["run_id"])
    waiting = await run("/stall 1000\n", options={"background": True})
    queued = await run("Next", options={"background": True})
    page = (await client.get("/conversations", params={"limit": 1}, headers=headers)).json()
    made = await client.post("/conversations", json={"session_id": f"{session}-2", "title": secret}, headers=headers)
    things["session"].append(f"{session}-2")
    things["conversation"].append(made.json()["conversation_id"])
    page = (await client.get("/conversations", params={"limit": 1}, headers=headers)).json()
    things["conversation bookmark"].append(page["next"])
    things["unfinished"] += [waiting["run_id"], queued["run_id"]]
    things["key"].append((await _key(at, person)).id)
    things["note"].append((await _note(at, person)).id)
    assert again["conversation_id"] == first["conversation_id"]
    assert {len(found) > 0 for found in things.values()} == {True}


async def _key(at: House, person: Person) -> ApiKey:
    whose = person.principal
    key, _ = await at.services.keys.create(OPERATOR, whose.user, tenant=whose.tenant, name=person.secret)
    return key


async def _note(at: House, person: Person) -> Note:
    whose, at_once = person.principal, new_id("call")
    note = Note(new_id("note"), whose.tenant, whose.user, "goal", person.secret, at.services.clock.now(), at_once)
    return await at.application.store.notes.add(note)


async def release(at: House, person: Person) -> None:
    """End what of theirs would never end."""
    for run_id in reversed(person.things["unfinished"]):
        await at.client.post(f"/runs/{run_id}/cancel", json={"mode": "now"}, headers=person.headers)
