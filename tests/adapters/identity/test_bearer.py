"""What an ``Authorization`` header may look like."""

import pytest

from dragoman.adapters.identity.bearer import MAX_TOKEN, BearerAuthenticator
from dragoman.adapters.identity.tokens import Claims, SharedSecrets, Tokens
from dragoman.domain.errors import InvalidToken, NotAuthenticated
from tests.issuer import SECRET, shared


class Unasked:
    async def verify(self, token: str):
        raise AssertionError("this token should not be looked at")


def authenticator(verifier=None) -> BearerAuthenticator:
    return BearerAuthenticator((("", verifier or Tokens(SharedSecrets(SECRET), Claims())),))


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {}  "])
async def test_the_scheme_is_read_generously(form: str):
    assert (await authenticator().authenticate(form.format(shared()))).user == "alice"


@pytest.mark.parametrize("header", [None, "", " ", "Bearer", "Bearer ", "Basic YWxpY2U6cA==", "Token abc", shared()])
async def test_without_a_bearer_token_nobody_is_authenticated(header: str | None):
    with pytest.raises(NotAuthenticated) as refusal:
        await authenticator(Unasked()).authenticate(header)
    assert (refusal.value.code, refusal.value.detail) == ("not_authenticated", "Not authenticated")


@pytest.mark.parametrize("token", ["x" * (MAX_TOKEN + 1), "tökén"])
async def test_what_cannot_be_a_token_is_not_even_looked_at(token: str):
    with pytest.raises(InvalidToken):
        await authenticator(Unasked()).authenticate(f"Bearer {token}")


async def test_where_no_tokens_are_expected_none_is_good():
    with pytest.raises(InvalidToken):
        await BearerAuthenticator(()).authenticate(f"Bearer {shared()}")
