"""The history of the schema. To know where a database stands is cheap; only bringing it forward imports Alembic."""

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

HEAD = "0009"
"""The newest revision. Revisions are numbered, so that a later one compares greater."""

VERSION_TABLE = "dragoman_version"
"""Our own name: another application's Alembic may live in the same database."""


def upgrade(connection: "Connection", revision: str = HEAD) -> None:
    """Bring the schema to a revision inside the connection's transaction."""
    from alembic import command

    command.upgrade(_config(connection=connection), revision)


def downgrade(connection: "Connection", revision: str = "base") -> None:
    """Back to an earlier revision. What only the later one could hold is lost."""
    from alembic import command

    command.downgrade(_config(connection=connection), revision)


def upgrade_sql(dialect: str, revision: str | None, output: TextIO) -> None:
    """Write the SQL that leads from a revision to ``HEAD``; needs no database."""
    from alembic import command

    command.upgrade(_config(dialect=dialect, output=output), f"{revision or 'base'}:{HEAD}", sql=True)


def _config(**given: object) -> "Config":
    """``given`` is for ``env.py``."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(given)
    return config
