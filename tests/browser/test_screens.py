"""Every page that a link leads to, light and dark, wide and narrow: nothing overflows, the console has nothing to say.

`--screens FOLDER` keeps the pictures; looking at them is the other half of the test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import services
from tests.browser.conftest import Visitor, one_server

pytestmark = pytest.mark.browser

# Not ours to look at, or no page.
ELSEWHERE = re.compile(r"^(/admin/|/api/|/logout|[^/]|//)|/weights$|[.](csv|json|md)([?]|$)")
EXPECTED = {
    "/", "/projects/new/", "/p/screens/", "/p/screens/label/", "/p/screens/prompts/", "/p/screens/runs/",
    "/p/screens/runs/N/", "/p/screens/versions/", "/p/screens/versions/N/", "/p/screens/versions/N/report/",
    "/p/screens/datasets/", "/p/screens/rewards/",
    "/p/screens/try/", "/p/screens/people/", "/p/screens/evaluations/N/", "/p/screens/evaluations/N/pairs/N/",
    "/p/screens/evaluations/snapshots/HASH/",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = request.config.getoption("--screens")
    folder = Path(given) if given else tmp_path_factory.mktemp("screens")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def servers(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Servers]:
    """Of its own: the projects of other tests would be walked through too."""
    with one_server(migrated_sqlite, tmp_path_factory.mktemp("var")) as running:
        yield running


@pytest.fixture(scope="module")
def slug(servers: services.Servers) -> str:
    servers.run("-m", "tests.browser", "world", "research", "screens")
    return "screens"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_every_page_fits_and_the_console_is_silent(
    visitor: Callable[..., Visitor], slug: str, folder: Path, width: int, color_scheme: str
) -> None:
    person = visitor(width=width, color_scheme=color_scheme)
    person.go("/login")
    _keep(person.page, folder, "login", width, color_scheme)
    person.sign_in("admin")
    seen = set()
    for pattern in every_page(person, "/"):
        seen.add(pattern)
        _keep(person.page, folder, pattern, width, color_scheme)
    assert seen >= EXPECTED, f"not reached by any link: {sorted(EXPECTED - seen)}"
    assert person.complaints == []


def test_a_missing_page_says_so(visitor: Callable[..., Visitor], folder: Path) -> None:
    person = visitor()
    person.sign_in("labeler")
    page = person.go("/p/nobodys/label/")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
    _keep(page, folder, "missing", 1280, "light")


def every_page(person: Visitor, start: str) -> Iterator[str]:
    """Visit one page for each kind of address, numbers being alike, and yield its pattern while it is open."""
    waiting, seen = [start], set()
    while waiting:
        path = waiting.pop(0)
        pattern = re.sub(r"/[0-9a-f]{64}/", "/HASH/", re.sub(r"/\d+/", "/N/", path))
        if pattern in seen:
            continue
        seen.add(pattern)
        page = person.go(path)
        links = page.eval_on_selector_all("a[href]", "links => links.map((link) => link.getAttribute('href'))")
        waiting += [href.split("?")[0].split("#")[0] for href in links if not ELSEWHERE.search(href)]
        yield pattern


def _keep(page: Page, folder: Path, name: str, width: int, color_scheme: str) -> None:
    page.wait_for_load_state("networkidle")
    title = name.strip("/").replace("/", "-") or "home"
    page.screenshot(path=folder / f"{title}-{color_scheme}-{width}.png", full_page=True)
    overflow = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow == 0, f"{page.url} is {overflow} px wider than {width} px"
