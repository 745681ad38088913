"""Whoever issues tokens, as Better Auth and OIDC providers do: keys of every kind, a key set on a port of this machine."""

import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

SECRET = "a-shared-secret-that-is-long-enough-for-hs256"


def claims(**more: Any) -> dict[str, Any]:
    """What a good token says; ``None`` leaves a claim out."""
    now = int(time.time())
    said = {"sub": "alice", "iat": now, "exp": now + 600, **more}
    return {name: value for name, value in said.items() if value is not None}


def shared(secret: str = SECRET, **more: Any) -> str:
    """A token signed with a shared secret."""
    return jwt.encode(claims(**more), secret, "HS256")


def unsigned(**more: Any) -> str:
    """A token that says that it needs no signature."""
    header, body = ({"alg": "none", "typ": "JWT"}, claims(**more))
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in (header, body)) + "."


def new_key(algorithm: str) -> Any:
    match algorithm:
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case _:
            return rsa.generate_private_key(65537, 2048)


@dataclass
class SigningKey:
    id: str | None
    algorithm: str
    private: Any
    says_algorithm: bool = True

    @property
    def jwk(self) -> dict[str, Any]:
        """As Better Auth publishes it: ``alg`` and ``crv`` beside what the key itself says."""
        public = get_default_algorithms()[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        public.pop("key_ops", None)
        named = {"alg": self.algorithm} if self.says_algorithm else {}
        return {**named, **public, **({"kid": self.id} if self.id else {})}


@dataclass
class Issuer:
    """Keys, and a server that publishes them."""

    keys: list[SigningKey] = field(default_factory=list)
    extra: list[Any] = field(default_factory=list)  # published as well
    broken: bool = False
    asked: int = 0
    url: str = ""

    def rotate(self, algorithm: str = "EdDSA", id: str | None = None, **more: Any) -> SigningKey:
        """A new key takes the place of all others."""
        self.keys = [SigningKey(id or f"key-{time.monotonic_ns()}", algorithm, new_key(algorithm), **more)]
        return self.keys[0]

    def sign(self, key: SigningKey | None = None, *, kid: str | None = None, **more: Any) -> str:
        key = key or self.keys[0]
        headers = {"kid": kid or key.id} if kid or key.id else {}
        return jwt.encode(claims(**more), key.private, key.algorithm, headers)

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self.broken:
            return web.Response(status=500)
        return web.json_response({"keys": [*self.extra, *(key.jwk for key in self.keys)]})

    @contextlib.asynccontextmanager
    async def published(self) -> AsyncIterator["Issuer"]:
        app = web.Application()
        app.router.add_get("/api/auth/jwks", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/auth/jwks"
            yield self
        finally:
            await runner.cleanup()
