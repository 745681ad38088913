"""Every route with its parameters filled: with what is the caller's own, and with what is somebody else's.

Routes come from the OpenAPI document, and from the routes that are not in it. What a parameter takes is told by its name, in
``TAKES``. A route with a parameter of a new name fails the test until a line here says what it is: the kind of a
thing, which ``people.furnish`` then has to make, or a value that belongs to nobody.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from dragoman.domain.ids import is_conversation_id
from tests.isolation.people import Person


@dataclass(frozen=True)
class Kind:
    """A thing of somebody's; ``also`` is another kind that does as well."""

    name: str
    also: str = ""

    def of(self, person: Person) -> list[str]:
        return [*person.things[self.name], *person.things[self.also]] if self.also else person.things[self.name]


@dataclass(frozen=True)
class Plain:
    """Nobody's: the same for everybody."""

    value: Any


@dataclass(frozen=True)
class Oneself:
    """The name of whoever asks."""


OMITTED = Plain(None)
CONVERSATION = Kind("conversation", also="session")

# By name, or by route and name where one name means several things.
TAKES: dict[str, Kind | Plain | Oneself] = {
    "run_id": Kind("run"),
    "conversation_id": CONVERSATION,
    "GET /runs conversation_id": Kind("conversation"),
    "thread_id": Kind("conversation"),
    "session_id": CONVERSATION,
    "POST /conversations session_id": Kind("session"),
    "branch": Kind("branch"),
    "other": Kind("branch"),
    "before": Kind("item"),
    "from_item": Kind("item"),
    "at": Kind("item"),
    "id": Kind("response"),  # OpenAI's routes
    "previous_response_id": Kind("response"),
    "conversation": CONVERSATION,
    "item_id": Kind("item"),
    "items": Plain([{"type": "message", "role": "user", "content": "Good morning"}]),
    "POST /v1/conversations/{conversation_id} metadata": Plain({"mood": "good"}),
    "GET /v1/conversations/{conversation_id}/items after": Kind("item"),
    "GET /v1/responses/{id}/input_items after": Kind("item"),
    "approval_id": Kind("approval"),
    "decision": Plain("approve"),
    "arguments": OMITTED,
    "GET /approvals after": Kind("approval"),
    "GET /approvals run_id": Kind("run"),
    "key_id": Kind("key"),
    "idempotency-key": Kind("idempotency key"),
    "GET /runs after": Kind("run"),
    "GET /conversations after": Kind("conversation bookmark"),
    "GET /agents/threads after": Kind("conversation bookmark"),
    "GET /conversations/{conversation_id}/branches after": Kind("branch"),
    "GET /admin/keys after": Kind("key"),
    "GET /admin/audit after": OMITTED,
    "GET /runs/{run_id}/events after": OMITTED,
    "last-event-id": OMITTED,
    "agent": Plain("chat"),
    "GET /runs agent": OMITTED,
    "GET /conversations agent": OMITTED,
    "POST /conversations agent": OMITTED,
    "model": Plain("chat"),
    "input": Plain("Good morning"),
    "query": OMITTED,
    "message": Plain("Good morning"),
    "messages": Plain([{"role": "user", "content": "Good morning"}]),
    "mode": Plain("now"),
    "user": OMITTED,
    "POST /admin/keys user": Plain("somebody"),
    # A name that somebody has in every tenant; an administrator reaches the one of their own.
    "GET /admin/people/{user}/export user": Plain("sarah"),
    "DELETE /admin/people/{user} user": Plain("sarah"),
    "despite_holds": OMITTED,
    "confirm": Oneself(),
    "q": Plain("canary"),
    **dict.fromkeys(
        (
            *("limit", "wait", "group_by", "from", "to", "status", "tag", "actor", "action", "order", "starting_after"),
            *("context", "options", "domain", "title", "tags", "metadata", "name", "scopes", "expires"),
            *(
                "instructions",
                "tools",
                "tool_choice",
                "parallel_tool_calls",
                "text",
                "reasoning",
                "truncation",
                "stream",
            ),
            *(
                "store",
                "background",
                "max_output_tokens",
                "temperature",
                "top_p",
                "presence_penalty",
                "frequency_penalty",
            ),
            *("include", "stream_options", "top_logprobs", "safety_identifier", "service_tier", "max_tool_calls"),
            *("prompt", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "context_management"),
            *("moderation",),
        ),
        OMITTED,
    ),
}

# Bodies that routes read by themselves, so that no document tells their fields: the fields by which they name things, and
# those they need.
UNTOLD: dict[str, tuple[str, ...]] = {
    "POST /v1/chat/completions": ("model", "messages"),
    "POST /v1/responses/{id}/cancel": (),
    "PUT /admin/conversations/{conversation_id}/hold": (),
}

# Where somebody else's thing is answered with success, as one that does not exist would be, and without it.
AS_IF_NOT_THERE = {
    ("GET /runs", "conversation_id"),  # an empty list
    ("GET /approvals", "run_id"),
    ("GET /approvals", "after"),
    *((f"GET {path}", "after") for path in ("/runs", "/conversations", "/agents/threads", "/admin/keys")),
    ("GET /conversations/{conversation_id}/branches", "after"),  # a place in one's own list
}
OPEN_TO_ALL = ("/livez", "/readyz", "/docs", "/redoc", "/reference.css", "/v1", "/v1/{rest:path}")


@dataclass(frozen=True)
class Call:
    """A request, and which of its parameters are whose."""

    method: str
    path: str
    foreign: frozenset[str] = frozenset()  # parameters that name somebody else's thing
    in_path: bool = False  # one of them is in the path
    values: dict[str, tuple[str, Any]] = field(default_factory=dict)  # where each goes, and what it is

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}"

    def request(self, person: Person) -> dict[str, Any]:
        given: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}, "body": {}}
        for name, (place, value) in self.values.items():
            given[place][name] = value
        path = re.sub(r"{(\w+)}", lambda found: str(given["path"][found[1]]), self.path)
        request = {"method": self.method, "url": path, "params": given["query"]}
        body = {"json": given["body"]} if given["body"] or self.method in ("POST", "PATCH", "PUT") else {}
        return {**request, **body, "headers": {**person.headers, **given["header"]}}

    @property
    def sent(self) -> set[str]:
        return {str(value) for _, value in self.values.values()}

    def may_succeed(self) -> bool:
        """Whether every foreign thing in it is a name that the caller may use as well, or a place in a list."""
        return not self.in_path and all(
            (self.route, name) in AS_IF_NOT_THERE or self.own_word(name) for name in self.foreign
        )

    def own_word(self, name: str) -> bool:
        """Whether the caller may use it for a thing of their own."""
        _, value = self.values[name]
        return name == "idempotency-key" or (name == "session_id" and not is_conversation_id(value))


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, as if it showed all routes."""
    routes = [
        route for router in app.routes for route in getattr(getattr(router, "original_router", None), "routes", ())
    ]
    hidden = [each for each in routes if isinstance(each, APIRoute) and not each.include_in_schema]
    hidden = [each for each in hidden if each.path not in OPEN_TO_ALL]
    for route in hidden:
        route.include_in_schema = True
    found = get_openapi(title=app.title, version=app.version, routes=app.routes)
    for route in hidden:
        route.include_in_schema = False
    return found


def routes_of(found: dict[str, Any]) -> Iterator[str]:
    for path, operations in found["paths"].items():
        yield from (f"{method.upper()} {path}" for method in operations if path not in OPEN_TO_ALL)


def calls(found: dict[str, Any], attacker: Person, victim: Person) -> Iterator[Call]:
    """Every route with every thing of the victim's in every place, the others being the attacker's own: to
    read first, at last those that
    make something under the victim's names."""
    operations = [
        (path, *each) for path, of in found["paths"].items() if path not in OPEN_TO_ALL for each in of.items()
    ]
    late: list[Call] = []
    for path, method, operation in sorted(operations, key=lambda each: each[1] != "get"):
        for call in _of(found, method.upper(), path, operation, attacker, victim):
            if call.method == "POST" and call.foreign and call.may_succeed():
                late.append(call)
            else:
                yield call
    yield from late


def _of(
    found: dict[str, Any], method: str, path: str, operation: dict[str, Any], attacker: Person, victim: Person
) -> Iterator[Call]:
    parameters = {each.name: each for each in _parameters(found, operation)}
    if method in ("POST", "PATCH", "PUT") and all(each.place != "body" for each in parameters.values()):
        assert f"{method} {path}" in UNTOLD, f"{method} {path} tells nothing of its body. Say in UNTOLD what it takes."
        parameters |= {name: _Parameter(name, "body", True) for name in UNTOLD[f"{method} {path}"]}
    taken = {name: _taken(f"{method} {path}", name) for name in parameters}
    kinds = {name: kind for name, kind in taken.items() if isinstance(kind, Kind)}

    def filled(whose: dict[str, Any]) -> dict[str, tuple[str, Any]]:
        return {name: (parameters[name].place, value) for name, value in whose.items() if value is not None}

    own = {name: _own(kind, attacker) for name, kind in taken.items()}
    own = {name: (value or ["nothing"])[0] if name in kinds else value for name, value in own.items()}
    needed = {name: value for name, value in own.items() if name not in kinds or parameters[name].required}
    if all(parameters[name].place != "path" for name in kinds):
        yield Call(method, path, values=filled(needed))
    for name, kind in kinds.items():
        in_path = parameters[name].place == "path"
        beside = {**needed, "session_id": own["session_id"]} if name == "from_item" else needed
        for value in kind.of(victim):
            yield Call(method, path, frozenset({name}), in_path, filled({**beside, name: value}))
    if len(kinds) > 1:
        everything = {name: kind.of(victim)[0] for name, kind in kinds.items()}
        in_path = any(parameters[name].place == "path" for name in kinds)
        yield Call(method, path, frozenset(kinds), in_path, filled({**needed, **everything}))


def _own(kind: Kind | Plain | Oneself, person: Person) -> Any:
    match kind:
        case Plain(value):
            return value
        case Kind():
            return kind.of(person)[:1]
        case Oneself():
            return person.principal.user


@dataclass(frozen=True)
class _Parameter:
    name: str
    place: str
    required: bool


def _parameters(found: dict[str, Any], operation: dict[str, Any]) -> Iterator[_Parameter]:
    for each in operation.get("parameters", ()):
        yield _Parameter(each["name"], each["in"], each.get("required", False))
    for content in operation.get("requestBody", {}).get("content", {}).values():
        for schema in (content["schema"], *content["schema"].get("anyOf", ())):
            body = found["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
            for name in body.get("properties", ()):
                yield _Parameter(name, "body", name in body.get("required", ()))


def _taken(route: str, name: str) -> Kind | Plain | Oneself:
    known = TAKES.get(f"{route} {name}") or TAKES.get(name)
    assert known is not None, (
        f"{route} has a parameter {name!r} that the isolation test does not know. Say in tests/isolation/routes.py, TAKES,"
        " what it takes: a Kind, if it names something that belongs to somebody (and let people.furnish make one), a Plain"
        " value if it names nothing, OMITTED if it can be left out."
    )
    return known
