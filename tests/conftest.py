"""Services that any test may ask for; each starts when first asked for and ends with the session or the test."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import hypothesis
import pytest
from django.utils import translation
from pytest_django import DjangoDbBlocker

from tests import databases, services

# A machine that is busy with something else is no failure.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow modules begin the workers' shares: at the end of one, the others would wait for it."""
    num_workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if num_workers == 1:
        return
    modules: dict[Path, list[pytest.Item]] = {item.path: [] for item in items if item.get_closest_marker("slow")}
    for item in items:
        if item.path in modules:
            modules[item.path].append(item)
    rest = [item for item in items if item.path not in modules]
    ordered: list[pytest.Item] = []
    for worker in range(num_workers):
        share = (len(items) - len(ordered)) // (num_workers - worker)  # as `worksteal` deals them out
        first = [item for module in list(modules.values())[worker::num_workers] for item in module]
        num_others = max(0, share - len(first))
        ordered += first + rest[:num_others]
        del rest[:num_others]
    items[:] = ordered + rest


@pytest.fixture(autouse=True)
def language_of_one_test_alone() -> Iterator[None]:
    """A request in another language leaves it switched on in the thread."""
    yield
    translation.deactivate()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with services.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to copy."""
    folder = tmp_path_factory.mktemp("migrated")
    services.migrate(database_url=f"sqlite://{folder / 'hone.sqlite3'}", var=folder)
    return folder / "hone.sqlite3"


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database on the server, to copy."""
    with services.new_database(url=postgres_url) as url:
        services.migrate(database_url=url, var=tmp_path_factory.mktemp("migrated"))
        yield urlsplit(url).path.lstrip("/")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database of each kind in turn, as DATABASE_URL names it."""
    if request.param == "sqlite":
        yield f"sqlite://{shutil.copy(request.getfixturevalue('migrated_sqlite'), tmp_path / 'hone.sqlite3')}"
        return
    server, template = map(request.getfixturevalue, ("postgres_url", "migrated_postgres"))
    with services.new_database(url=server, template=template) as url:
        yield url


@pytest.fixture
def either_database(database_url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Django's own connection to a migrated database of each kind in turn; commits are real, threads are welcome."""
    with django_db_blocker.unblock(), databases.installed(database_url):
        yield


@pytest.fixture
def sqlite_database(tmp_path: Path, migrated_sqlite: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A SQLite file of the test's own, with real commits: for tests whose code beats from a second thread."""
    path = shutil.copy(migrated_sqlite, tmp_path / "hone.sqlite3")
    with django_db_blocker.unblock(), databases.installed(f"sqlite://{path}"):
        yield


@pytest.fixture
def live_servers(tmp_path: Path) -> Iterator[Callable[..., services.Servers]]:
    """Call it with num, and the database_url of a migrated database; the servers end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*, num: int, database_url: str, **environment: str) -> services.Servers:
            servers = services.servers(num=num, database_url=database_url, var=tmp_path, **environment)
            return stack.enter_context(servers)

        yield start
