"""Services that any test may ask for; each starts when first asked for and ends with the session or the test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import services


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with services.postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of each kind in turn, as DATABASE_URL names it; "" is SQLite under HONE_VAR."""
    if request.param == "sqlite":
        yield ""
        return
    with services.new_database(url=request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture
def live_servers(tmp_path: Path) -> Iterator[Callable[..., services.Servers]]:
    """Call it with num, and database_url where it shall not be SQLite; the servers end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*, num: int = 1, database_url: str = "", **environment: str) -> services.Servers:
            servers = services.servers(num=num, database_url=database_url, var=tmp_path, **environment)
            return stack.enter_context(servers)

        yield start
