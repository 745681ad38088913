"""What a store asks of a database: to run a *transaction script*.

A script is a generator that yields statements and receives their rows. It knows neither threads nor awaits, so one
script serves every database: SQLite drives it on its writer thread, another engine may drive it with a coroutine. The SQL
is the common part of SQLite and PostgreSQL, with ``:name`` parameters. It may end in ``FOR UPDATE`` or ``FOR SHARE``;
where there is one writer anyway, the engine drops that.
"""

import enum
import functools
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, Literal, ParamSpec, Protocol, TypeVar

from dragoman.domain.identity import Principal

T = TypeVar("T")
P = ParamSpec("P")

Params = Mapping[str, Any]
Statement = tuple[str, Params | Sequence[Params]]
"""SQL and its parameters. A sequence of parameters: once for each, and what comes back are the rows of all."""
Rows = Sequence[tuple[Any, ...]]
Script = Generator[Statement, Rows, T]
Dialect = Literal["sqlite", "postgresql"]


class Server(enum.Enum):
    """The server itself, which works for everybody: it claims, appends, clears away, and finds out who somebody is."""

    ITSELF = "server"


SERVER: Final = Server.ITSELF
By = Principal | Server
"""For whom a script runs. Where the database can, it keeps one for a principal away from all that is somebody else's."""


def administrator_of(tenant: str | None) -> By:
    """Whoever works on all of a tenant; without one, the operator, who works on the server."""
    return SERVER if tenant is None else Principal("", tenant, frozenset({"admin"}))


_ANSWERS = re.compile(r"\s*(SELECT|WITH)\b|.*\bRETURNING\b", re.IGNORECASE | re.DOTALL)


@functools.cache
def answers(sql: str) -> bool:
    """Whether a statement has rows to give."""
    return bool(_ANSWERS.match(sql))


class Engine(Protocol):
    """A script is given as the function that makes it, with its arguments, so that an engine may run it again from the
    beginning when nothing of it has happened: after a deadlock, on a connection that was lost."""

    @property
    def dialect(self) -> Dialect:
        """Whose SQL it speaks, for the little that the two do not have in common."""
        ...

    @property
    def alone(self) -> bool:
        """Whether this process is the only one that plays runs on this database."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def check(self) -> str | None:
        """``None`` when it can be written to, else what is wrong, for the operator."""
        ...

    async def give_back_space(self) -> int:
        """Return what was deleted to the file system, where the database does not see to that. How many bytes it was."""
        ...

    def connections(self) -> Mapping[str, int]:
        """How many connections are in use at this moment, and how many scripts wait for one. Empty without a pool."""
        ...

    async def write(self, by: By, script: Callable[P, Script[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a script in one transaction, durable when this returns. If the script raises, nothing of it has happened.
        ``StorageUnavailable`` if the database fails."""
        ...

    async def read(self, by: By, script: Callable[P, Script[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a script that only reads, on one snapshot that holds everything written before."""
        ...
