"""Every link of every page leads somewhere, in projects of every state that the browser tests build."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.browser import rooms, world

HREF = re.compile(r'<a\b[^>]*?\shref="([^"]+)"')
ELSEWHERE = re.compile(r"^/(admin|logout|static)\b|/weights$")  # weights: of models that are no files here
OF_SLUG = re.compile(r"^/p/[^/]+/")


@pytest.fixture
def everything(db: None) -> None:
    world.main("people")
    world.main("research", "open")
    world.main("numbers", "judged")
    rooms.main()


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("name", ["admin", "researcher", "labeler"])
def test_every_link_leads_to_an_answer(client: Client, name: str) -> None:
    client.force_login(User.objects.get(username=name))
    answers = dict(crawl(client))
    assert {path: status for path, status in answers.items() if status not in (200, 302, 286)} == {}
    if name == "admin":  # who sees all
        patterns = {re.sub(r"\d+", "N", OF_SLUG.sub("/p/SLUG/", path)) for path in answers}
        wanted = {
            "runs/N/",
            "labelers/N/",
            "adjudication/N/",
            "versions/N/",
            "evaluations/N/",
            "evaluations/N/pairs/N/",
        }
        assert {f"/p/SLUG/{page}" for page in wanted} <= patterns


def crawl(client: Client) -> Iterator[tuple[str, int]]:
    """(path, status) of every address in reach; of the pairs of an evaluation a few are enough."""
    waiting, seen, num_of = ["/"], {"/"}, dict[str, int]()
    while waiting:
        path = waiting.pop()
        pattern = re.sub(r"pairs/\d+", "pairs/N", urlsplit(path).path)
        num_of[pattern] = num_of.get(pattern, 0) + 1
        if num_of[pattern] > 3:
            continue
        answer = client.get(path)
        yield path, answer.status_code
        if answer.streaming or not answer.get("Content-Type", "").startswith("text/html"):
            continue
        for found in HREF.findall(answer.content.decode()):
            href = urljoin(path, html.unescape(found)).split("#")[0]
            if href.startswith("/") and href not in seen and not ELSEWHERE.search(href):
                seen.add(href)
                waiting.append(href)
