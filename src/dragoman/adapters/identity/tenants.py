"""Lets nobody in whose tenant the operator does not know."""

from dataclasses import dataclass

from dragoman.domain.errors import UnknownTenant
from dragoman.domain.identity import Principal
from dragoman.domain.tenants import Tenants
from dragoman.ports.identity import Authenticator


@dataclass(frozen=True, slots=True)
class KnownTenants:
    """``Authenticator``: another one, and a look at the tenant."""

    authenticator: Authenticator
    tenants: Tenants

    async def authenticate(self, authorization: str | None) -> Principal:
        principal = await self.authenticator.authenticate(authorization)
        if not self.tenants.know(principal.tenant):
            raise UnknownTenant
        return principal
