"""What tests of every folder may ask for."""

from collections.abc import Iterator

import pytest

from dragoman.adapters.sql import schema
from tests.postgres import PostgresServer, any_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with any_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> Iterator[str]:
    """A database with our tables, to be copied."""
    with postgres.fresh() as url:
        schema.migrate(url)
        yield url


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A database of one's own, with our tables and nothing in them."""
    with postgres.fresh(postgres_template) as url:
        yield url
