"""A real Chromium against real servers. Without a Chromium these tests are left out, and one line says so."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Route, sync_playwright

from tests import services

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# A container has no user namespaces for the sandbox; the rest keeps Chromium from calling home.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-domain-reliability", "--no-first-run", "--no-pings",
]  # fmt: skip
PASSWORD = "a-long-password"
TIMEOUT_MS = 15_000  # a loaded machine takes its time


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screens", help="folder for the pictures that test_screens.py takes (default: a temporary one)")
    parser.addoption("--readme-images", help="a finished demo's HONE_VAR: write docs/images from it")
    parser.addoption("--labeling-images", action="store_true", help="write docs/images/labeling")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    options = {"readme_images": "--readme-images", "labeling_images": "--labeling-images"}
    unwanted = [module for module, option in options.items() if not config.getoption(option)]
    pictures = [item for item in items if any(module in item.nodeid for module in unwanted)]
    browser_tests = [item for item in items if item.get_closest_marker("browser") and item not in pictures]
    left_out = pictures + (browser_tests if CHROMIUM is None else [])
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if CHROMIUM is None and browser_tests:
        print(f"\nNo Chromium on the PATH: {len(browser_tests)} browser tests are left out.")


# Per module, not per session: while Playwright runs, Django refuses queries in the same thread, and tests of other
# modules make queries.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@contextlib.contextmanager
def one_server(migrated_sqlite: Path, folder: Path) -> Iterator[services.Servers]:
    """Over SQLite, with people and no project."""
    shutil.copy(migrated_sqlite, folder)
    with services.servers(num=1, database_url="", var=folder) as running:
        running.run("-m", "tests.browser", "world", "people")
        yield running


@pytest.fixture(scope="session")
def servers(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Servers]:
    with one_server(migrated_sqlite, tmp_path_factory.mktemp("var")) as running:
        yield running


@pytest.fixture(scope="session")
def fleet(
    postgres_url: str, migrated_postgres: str, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], services.Servers]]:
    """fleet("sqlite") or fleet("postgresql"): two web processes behind one address, started once a session."""
    with contextlib.ExitStack() as stack:
        started: dict[str, services.Servers] = {}

        def start(kind: str) -> services.Servers:
            if kind not in started:
                database, folder = "", tmp_path_factory.mktemp("var")
                if kind == "postgresql":
                    copied = services.new_database(url=postgres_url, template=migrated_postgres)
                    database = stack.enter_context(copied)
                else:
                    shutil.copy(migrated_sqlite, folder)
                running = services.servers(num=1, database_url=database, var=folder, WEB_CONCURRENCY="2")
                started[kind] = stack.enter_context(running)
                started[kind].run("-m", "tests.browser", "world", "people")
            return started[kind]

        yield start


@pytest.fixture
def world(servers: services.Servers) -> Callable[..., dict[str, Any]]:
    """world("labeling") makes that project in the servers' database and tells its slug (tests/browser/world.py)."""

    def make(*arguments: str, module: str = "world") -> dict[str, Any]:
        return json.loads(servers.run("-m", "tests.browser", module, *arguments).splitlines()[-1])

    return make


def follow(link: Locator) -> None:
    """Click, and wait for the page behind it: a click alone ends before the old page has gone."""
    with link.page.expect_navigation():
        link.click()


def hold(page: Page, url: str) -> list[Route]:
    """The next request there waits, in this list, until it is continued."""
    held: list[Route] = []
    page.route(url, lambda route: held.append(route), times=1)
    return held


def caught(page: Page, held: list[Route]) -> Route:
    """What `hold` holds: it may come a moment after the page has moved on."""
    for _ in range(TIMEOUT_MS // 20):
        if held:
            return held[0]
        page.wait_for_timeout(20)
    raise AssertionError("expected a request to hold, none came")


class Visitor:
    """A person at a browser; `complaints` collects what the console says, refusals by the content policy included."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context, self.url = context, url
        self.complaints: list[str] = []
        context.set_default_timeout(TIMEOUT_MS)
        self.page = self.new_page()

    def new_page(self) -> Page:
        page = self.context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def go(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def sign_in(self, name: str, *, page: Page | None = None) -> None:
        page = page or self.page
        if not page.url.startswith(f"{self.url}/login"):
            page.goto(f"{self.url}/login")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        with page.expect_navigation():
            page.get_by_label("Password").press("Enter")
        assert not page.url.startswith(f"{self.url}/login"), f"{name} could not sign in"


@pytest.fixture
def visitor(browser: Browser, servers: services.Servers) -> Iterator[Callable[..., Visitor]]:
    """visitor(width=390, color_scheme="dark") opens a browser window of its own."""
    contexts: list[BrowserContext] = []

    def open_window(*, width: int = 1280, color_scheme: Any = "light", **options: Any) -> Visitor:
        is_phone = width < 500
        context = browser.new_context(
            viewport={"width": width, "height": 844 if is_phone else 800}, color_scheme=color_scheme,
            has_touch=is_phone, is_mobile=is_phone, accept_downloads=True, **options,
        )  # fmt: skip
        contexts.append(context)
        return Visitor(context, servers.urls[0])

    yield open_window
    for context in contexts:
        context.close()
