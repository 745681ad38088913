"""Every route says which scope it needs, the few that are open stand here, and each does what it says."""

import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from dragoman.domain.identity import ORDINARY, SCOPES, Principal
from dragoman.surfaces.http.deps import admit
from tests.surfaces.house import house

OPEN = {
    *("/livez", "/readyz"),  # asked by orchestrators, which have no token; they tell nothing but how it is
    *("/docs", "/redoc", "/reference.css"),  # what the API is, not what is in it
    *("/v1", "/v1/{rest:path}"),  # says that there is nothing
}
PAGE = (Path(__file__).parents[2] / "docs/reference/http.md").read_text()


def routes(at):
    """All routes of the application with the scopes they need."""
    found = []
    for included in at.app.routes:
        for route in getattr(getattr(included, "original_router", None), "routes", ()):
            if isinstance(route, APIRoute):
                needed = [
                    scope for d in route.dependant.dependencies if d.call is admit for scope in d.own_oauth_scopes
                ]
                found.append((route, needed))
    return found


async def test_every_route_needs_exactly_one_known_scope_unless_it_is_open():
    async with house() as at:
        for route, needed in routes(at):
            if route.path not in OPEN:
                assert len(needed) == 1, f"{route.methods} {route.path} needs one scope: dependencies=[needs(...)]"
                assert needed[0] in SCOPES


async def test_the_document_tells_the_scopes():
    async with house() as at:
        document = at.app.openapi()
        for route, needed in routes(at):
            for method in route.methods if route.include_in_schema else ():
                operation = document["paths"][route.path_format][method.lower()]
                assert operation.get("security", []) == [{"bearer": needed}] * bool(needed), route.path


class Nobody:
    """Somebody we know who may do nothing."""

    async def authenticate(self, _):
        return Principal("nobody", scopes=frozenset())


async def test_without_its_scope_a_route_does_nothing_and_says_which_it_is():
    async with house(authenticator=Nobody()) as at:
        for route, needed in routes(at):
            for method in route.methods if needed else ():
                path = re.sub(r"{[^}]*}", "x", route.path)
                answer = await at.client.request(method, path, json={} if method in ("POST", "PATCH", "PUT") else None)
                assert answer.status_code == 403, (method, path)
                assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{needed[0]}"'
                assert needed[0] in answer.text
                assert "forbidden" in answer.text


async def test_without_a_token_a_route_does_nothing():
    async with house(auth="token") as at:
        for route, needed in routes(at):
            for method in route.methods if needed else ():
                path = re.sub(r"{[^}]*}", "x", route.path)
                answer = await at.client.request(method, path, json={} if method in ("POST", "PATCH", "PUT") else None)
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("scopes", "may", "may_not"),
    [
        ({"runs:write"}, "runs:read", "conversations:read"),
        ({"conversations:write"}, "conversations:read", "runs:write"),
        ({"runs:read"}, "runs:read", "runs:write"),
        ({"admin"}, "metrics:read", None),
        (ORDINARY, "conversations:write", "admin"),
        (ORDINARY, "usage:read", "metrics:read"),
    ],
)
def test_to_write_includes_to_read_and_administrators_may_do_everything(scopes, may, may_not):
    principal = Principal("sarah", scopes=frozenset(scopes))
    assert principal.may(may)
    assert may_not is None or not principal.may(may_not)


def test_every_scope_is_documented():
    for scope, about in SCOPES.items():
        assert f"| `{scope}` | {about} |" in PAGE
