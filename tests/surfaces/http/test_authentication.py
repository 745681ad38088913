"""Who is let in, and what the others are told."""

import time

import pytest
from pydantic import SecretStr

from dragoman.domain.identity import Principal
from tests.issuer import SECRET, Issuer, shared, unsigned
from tests.surfaces.house import house


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
async def guarded():
    async with house(auth="token", jwt_secret=SecretStr(SECRET)) as at:
        yield at


async def test_a_token_opens_the_door_and_says_whose_things_are_there(guarded):
    body = {"input": "Hello", "session_id": "s"}
    mine = await guarded.client.post("/chat/run", json=body, headers=bearer(shared()))
    assert mine.status_code == 200
    theirs = await guarded.client.get(f"/runs/{mine.json()['run_id']}", headers=bearer(shared(sub="bob")))
    assert theirs.status_code == 404
    run = await guarded.services.runs.get(Principal("alice"), mine.json()["run_id"])
    assert run.owner == "alice"


@pytest.mark.parametrize(
    ("header", "code", "detail", "challenge"),
    [
        (None, "not_authenticated", "Not authenticated", "Bearer"),
        ("Basic YWxpY2U6cA==", "not_authenticated", "Not authenticated", "Bearer"),
        (f"Bearer {shared(exp=int(time.time()) - 600)}", "token_expired", "Token expired", None),
        ("Bearer nonsense", "invalid_token", "Invalid token", None),
        (f"Bearer {unsigned()}", "invalid_token", "Invalid token", None),
        (f"Bearer {shared(sub=None)}", "invalid_token", "Invalid token: missing user identifier", None),
        ("Bearer " + "x" * 9000, "invalid_token", "Invalid token", None),
        ("Bearer dgm_nothing", "invalid_token", "Invalid token", None),
    ],
)
async def test_everybody_else_is_told_why_not(guarded, header, code, detail, challenge):
    headers = {} if header is None else {"authorization": header}
    answer = await guarded.client.post("/chat/run", json={"input": "Hello"}, headers=headers)
    assert answer.status_code == 401
    assert (answer.json()["code"], answer.json()["detail"]) == (code, detail)
    challenge = challenge or f'Bearer error="invalid_token", error_description="{detail}"'
    assert answer.headers["www-authenticate"] == challenge


async def test_a_provider_that_does_not_answer_is_our_trouble_not_the_callers():
    async with Issuer().published() as issuer:
        issuer.rotate()
        issuer.broken = True
        async with house(auth="token", jwt_jwks_url=issuer.url) as at:
            down = await at.client.get("/agents", headers=bearer(issuer.sign()))
    assert (down.status_code, down.json()["code"]) == (503, "identity_unavailable")
    assert int(down.headers["retry-after"]) > 0


async def test_with_a_key_set_the_shared_secret_opens_nothing_and_the_log_says_so(caplog):
    async with Issuer().published() as issuer:
        issuer.rotate()
        async with house(jwt_jwks_url=issuer.url, jwt_secret=SecretStr(SECRET)) as at:
            good = await at.client.get("/agents", headers=bearer(issuer.sign()))
            bad = await at.client.get("/agents", headers=bearer(shared()))
    assert (good.status_code, bad.status_code) == (200, 401)
    assert "ignored" in caplog.text


async def test_a_short_secret_is_warned_of(caplog):
    async with house(jwt_secret=SecretStr("short")):
        assert "short" in caplog.text


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/openapi.json"])
async def test_what_machines_ask_needs_no_token(guarded, path):
    assert (await guarded.client.get(path)).status_code == 200
