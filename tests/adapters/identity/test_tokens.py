"""JWTs: which are good, what they say, and every way in which one can be bad."""

import json
import time

import jwt
import pytest

from dragoman.adapters.identity.tokens import Claims, SharedSecrets, Tokens
from dragoman.domain.errors import InvalidToken, NotAuthenticated, TokenExpired
from dragoman.domain.identity import ORDINARY, Principal
from tests.issuer import SECRET, claims, shared, unsigned

PAST, FUTURE = int(time.time()) - 600, int(time.time()) + 600


def tokens(*secrets: str, **expected) -> Tokens:
    return Tokens(SharedSecrets(*(secrets or (SECRET,))), Claims(**expected))


async def test_a_good_token_names_its_user_who_may_do_what_users_may():
    assert await tokens().verify(shared()) == Principal("alice", "default", ORDINARY)


@pytest.mark.parametrize(
    ("said", "user"),
    [
        ({"sub": None, "user_id": "bob"}, "bob"),
        ({"sub": "", "user_id": "bob"}, "bob"),
        ({"sub": "alice", "user_id": "bob"}, "alice"),
        ({"sub": 42}, "42"),
        ({"sub": "user with spaces|and-ümlauts"}, "user with spaces|and-ümlauts"),
    ],
)
async def test_the_user_is_the_subject_else_the_user_id(said, user):
    assert (await tokens().verify(shared(**said))).user == user


@pytest.mark.parametrize("sub", [None, "", True, ["alice"], {"id": "alice"}, "a\x00b", "a\nb", "x" * 256, 1.5])
async def test_a_token_without_a_user_is_invalid_and_says_so(sub):
    with pytest.raises(InvalidToken) as refusal:
        await tokens().verify(shared(sub=sub))
    assert refusal.value.detail == "Invalid token: missing user identifier"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(shared("another-secret-of-thirty-two-bytes-or-more"), id="another secret"),
        pytest.param(shared(exp=None), id="no expiry"),
        pytest.param(shared(exp="soon"), id="expiry that is no time"),
        pytest.param(shared(exp=float("inf")), id="expiry that never comes"),
        pytest.param(shared(nbf=FUTURE), id="not yet valid"),
        pytest.param(shared(iat=FUTURE), id="issued tomorrow"),
        pytest.param(unsigned(), id="alg none"),
        pytest.param(jwt.encode(claims(), SECRET * 2, "HS512"), id="an algorithm that is not ours"),
        pytest.param(shared()[:-4] + "AAAA", id="signature changed"),
        pytest.param("nonsense", id="nonsense"),
        pytest.param("a.b.c", id="three parts of nonsense"),
        pytest.param("..", id="nothing"),
        pytest.param(jwt.encode(claims(), SECRET, "HS256", {"crit": ["x"], "x": 1}), id="an extension nobody knows"),
        pytest.param("eyJhbGciOiJIUzI1NiIsImtpZCI6WzFdfQ.e30.AA", id="a kid that is a list"),
        pytest.param("eyJhbGciOlsiSFMyNTYiXX0.e30.AA", id="an alg that is a list"),
    ],
)
async def test_a_bad_token_is_invalid_whatever_is_bad_about_it(token):
    with pytest.raises(InvalidToken) as refusal:
        await tokens().verify(token)
    assert refusal.value.detail == "Invalid token"


async def test_an_expired_token_is_told_so_but_only_if_it_was_good():
    with pytest.raises(TokenExpired):
        await tokens().verify(shared(exp=PAST))
    with pytest.raises(InvalidToken):
        await tokens().verify(shared("another-secret-of-thirty-two-bytes-or-more", exp=PAST))


async def test_clocks_may_differ_by_seconds():
    now = int(time.time())
    assert await tokens().verify(shared(exp=now - 2))
    assert await tokens().verify(shared(nbf=now + 2))


async def test_of_two_secrets_either_will_do_and_a_short_one_is_still_one():
    both = tokens(SECRET, "short")
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = shared("short")
    assert (await both.verify(shared())).user == (await both.verify(token)).user == "alice"


@pytest.mark.parametrize(
    ("said", "good"),
    [
        ({"iss": "https://us", "aud": "agents"}, True),
        ({"iss": "https://us", "aud": ["others", "agents"]}, True),
        ({"iss": "https://us", "aud": "agents2"}, True),
        ({"iss": "https://them", "aud": "agents"}, False),
        ({"iss": None, "aud": "agents"}, False),
        ({"iss": ["https://us"], "aud": "agents"}, False),
        ({"iss": "https://us", "aud": "others"}, False),
        ({"iss": "https://us", "aud": None}, False),
        ({"iss": "https://us", "aud": {"agents": 1}}, False),
    ],
)
async def test_issuer_and_audience_are_checked_where_they_are_expected(said, good):
    verifier = tokens(issuer="https://us", audience=("agents", "agents2"))
    token = jwt.api_jws.encode(json.dumps(claims(**said)).encode(), SECRET, "HS256")  # an odd issuer, as well
    if good:
        assert await verifier.verify(token)
    else:
        with pytest.raises(InvalidToken):
            await verifier.verify(token)


async def test_an_audience_nobody_expects_is_fine_because_many_issuers_always_name_one():
    assert await tokens().verify(shared(iss="https://us", aud="https://us"))


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("tenant", {"tenant": "acme"}),
        ("org.id", {"org": {"id": "acme", "name": "x"}}),
        ("https://example.com/tenant", {"https://example.com/tenant": "acme"}),
    ],
)
async def test_the_tenant_is_where_the_operator_says(claim, said):
    assert (await tokens(tenant=claim).verify(shared(**said))).tenant == "acme"


@pytest.mark.parametrize("said", [{}, {"org": "acme"}, {"org": {"id": None}}, {"org": {"id": ""}}, {"org": {"id": []}}])
async def test_where_tenants_are_expected_a_token_without_one_is_invalid(said):
    with pytest.raises(InvalidToken) as refusal:
        await tokens(tenant="org.id").verify(shared(**said))
    assert refusal.value.detail == "Invalid token: missing tenant"


async def test_without_a_claim_for_them_nobody_chooses_tenant_or_scopes():
    found = await tokens().verify(shared(tenant="acme", scope="admin", scopes=["admin"]))
    assert found == Principal("alice", "default", ORDINARY)


@pytest.mark.parametrize(
    ("claim", "said", "scopes"),
    [
        ("scope", {"scope": "openid runs:read usage:read"}, {"runs:read", "usage:read"}),
        ("scope", {"scope": "openid"}, set()),
        ("scope", {"scope": ""}, set()),
        ("scope", {"scope": 7}, set()),
        ("scope", {}, ORDINARY),
        ("realm_access.roles", {"realm_access": {"roles": ["admin", "offline", 3]}}, {"admin"}),
    ],
)
async def test_scopes_are_where_the_operator_says_in_either_shape(claim, said, scopes):
    assert (await tokens(scopes=claim).verify(shared(**said))).scopes == scopes


def test_what_is_wrong_with_a_token_is_one_kind_of_error():
    assert issubclass(InvalidToken, NotAuthenticated)
    assert issubclass(TokenExpired, NotAuthenticated)
