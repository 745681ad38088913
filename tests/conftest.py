"""What tests of every folder may ask for."""

from collections.abc import Iterator

import pytest

from dragoman.adapters.sql import schema
from tests.chaos import report
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was counted in worlds under attack, wherever the tests ran."""
    ended = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    recorded = [value for each in ended for name, value in each.user_properties if name == report.PROPERTY]
    if recorded:
        terminalreporter.section("chaos")
        for line in report.lines(recorded):
            terminalreporter.write_line(line)
