"""Public keys behind a URL: found, rotated, and never fetched more often than is good."""

import asyncio
import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dragoman.adapters.identity.jwks import MAX_BYTES, Jwks, read_keys
from dragoman.adapters.identity.tokens import Claims, Tokens
from dragoman.domain.errors import IdentityUnavailable, InvalidToken
from tests.issuer import Issuer, SigningKey, claims, new_key

ALWAYS = {"fresh": 0.0, "floor": 0.0}


@pytest.fixture
async def issuer():
    async with Issuer().published() as published:
        published.rotate()
        yield published


def tokens(issuer: Issuer, **timing: float) -> Tokens:
    return Tokens(Jwks(issuer.url, **timing), Claims())


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256", "PS256"])
@pytest.mark.parametrize("says_algorithm", [True, False])
async def test_a_token_of_a_published_key_is_good(issuer: Issuer, algorithm: str, says_algorithm: bool):
    issuer.rotate(algorithm, says_algorithm=says_algorithm)
    assert (await tokens(issuer).verify(issuer.sign())).user == "alice"


async def test_a_token_as_better_auth_makes_it_is_good(issuer: Issuer):
    """Its header has ``alg`` and ``kid`` only, its payload the user, and ``iss`` and ``aud`` are the base URL."""
    user = {"id": "u_1", "email": "alice@example.com", "emailVerified": True, "name": "Alice", "image": None}
    token = issuer.sign(**user, sub="u_1", iss="http://localhost:3000", aud="http://localhost:3000")
    verifier = Tokens(Jwks(issuer.url), Claims("http://localhost:3000", ("http://localhost:3000",)))
    assert (await verifier.verify(token)).user == "u_1"


async def test_keys_are_fetched_once_for_many(issuer: Issuer):
    verifier = tokens(issuer)
    await asyncio.gather(*(verifier.verify(issuer.sign()) for _ in range(50)))
    assert issuer.asked == 1


async def test_a_rotated_key_is_found_and_the_withdrawn_one_forgotten(issuer: Issuer):
    verifier = tokens(issuer, floor=0.0)
    old = issuer.sign()
    await verifier.verify(old)
    issuer.rotate()
    assert await verifier.verify(issuer.sign())
    with pytest.raises(InvalidToken):
        await verifier.verify(old)


async def test_tokens_with_unknown_keys_do_not_hammer_the_provider(issuer: Issuer):
    verifier = tokens(issuer)
    await verifier.verify(issuer.sign())
    for number in range(30):
        with pytest.raises(InvalidToken):
            await verifier.verify(issuer.sign(kid=f"unknown-{number}"))
    assert issuer.asked == 1


async def test_while_the_provider_is_down_known_keys_are_still_good(issuer: Issuer):
    verifier = tokens(issuer, **ALWAYS)
    await verifier.verify(issuer.sign())
    issuer.broken = True
    assert await verifier.verify(issuer.sign())
    with pytest.raises(IdentityUnavailable):  # it may be a new one: who knows
        await verifier.verify(issuer.sign(kid="unknown"))
    issuer.broken = False
    assert await verifier.verify(issuer.sign())


async def test_but_not_for_ever(issuer: Issuer):
    verifier = tokens(issuer, **ALWAYS, stale=0.0)
    issuer.broken = True
    with pytest.raises(IdentityUnavailable):
        await verifier.verify(issuer.sign())


async def test_a_provider_that_was_never_reached_is_not_the_callers_fault(issuer: Issuer):
    issuer.broken = True
    with pytest.raises(IdentityUnavailable):
        await tokens(issuer).verify(issuer.sign())


async def test_a_caller_who_leaves_takes_the_fetch_from_nobody(issuer: Issuer):
    verifier = tokens(issuer)
    leaving = asyncio.create_task(verifier.verify(issuer.sign()))
    staying = asyncio.create_task(verifier.verify(issuer.sign()))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).user == "alice"
    assert issuer.asked == 1


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_public_key_is_never_a_shared_secret(issuer: Issuer, algorithm: str):
    key = issuer.rotate(algorithm)
    pem = key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header, body = {"alg": "HS256", "typ": "JWT", "kid": key.id}, claims()
    parts = ".".join(jwt.utils.base64url_encode(json.dumps(part).encode()).decode() for part in (header, body))
    for secret in (pem, pem.strip(), json.dumps(key.jwk).encode()):
        signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(parts.encode(), secret)
        with pytest.raises(InvalidToken):
            await tokens(issuer).verify(f"{parts}.{jwt.utils.base64url_encode(signature).decode()}")


async def test_a_shared_secret_in_a_key_set_is_no_key(issuer: Issuer):
    secret = b"s" * 32
    issuer.extra = [{"kty": "oct", "kid": "oct", "alg": "HS256", "k": jwt.utils.base64url_encode(secret).decode()}]
    with pytest.raises(InvalidToken):
        await tokens(issuer).verify(jwt.encode(claims(), secret, "HS256", {"kid": "oct"}))


async def test_a_key_is_for_its_own_algorithm_only(issuer: Issuer):
    key = issuer.rotate("RS256")
    other = SigningKey(key.id, "PS256", key.private)
    with pytest.raises(InvalidToken):
        await tokens(issuer).verify(issuer.sign(other))


async def test_a_token_without_a_key_id_is_for_the_only_key_there_is(issuer: Issuer):
    key = issuer.rotate()
    nameless = SigningKey(None, "EdDSA", key.private)
    assert await tokens(issuer).verify(issuer.sign(nameless))
    issuer.keys.append(SigningKey("second", "EdDSA", new_key("EdDSA")))
    with pytest.raises(InvalidToken):
        await tokens(issuer).verify(issuer.sign(nameless))


async def test_a_weak_key_signs_nothing(issuer: Issuer):
    weak = SigningKey("weak", "RS256", rsa.generate_private_key(65537, 1024))
    issuer.keys = [weak]
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = issuer.sign(weak)
    with pytest.raises(InvalidToken):
        await tokens(issuer).verify(token)


def test_of_a_key_set_only_public_signature_keys_are_read():
    good = SigningKey("good", "ES256", new_key("ES256")).jwk
    odd = [
        *({**good, "use": "enc"}, {**good, "d": "secret"}, {**good, "crv": "P-521"}, {**good, "x": "!"}),
        *({"kty": ["EC"]}, {"kty": "EC", "crv": {}}, {"kty": "RSA", "n": 1, "e": []}, {}, [], None, 7, "key"),
        *({**good, "x": None}, {**good, "alg": "HS256"}),
    ]
    assert [id for id, _ in read_keys(json.dumps({"keys": [*odd, good]}).encode())["ES256"]] == ["good"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": {}}', b"<html>", b"\xff"])
def test_what_is_no_key_set_is_refused(body: bytes):
    with pytest.raises(ValueError):
        read_keys(body)


async def test_a_key_set_without_end_is_not_read_to_its_end(issuer: Issuer):
    issuer.extra = ["x" * MAX_BYTES]
    with pytest.raises(IdentityUnavailable):
        await tokens(issuer).verify(issuer.sign())
