"""Which language a page speaks, and the texts that its scripts get."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from django.utils import translation
from pytest_django.fixtures import Settings

from rlhf import languages

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def the_usual_language_afterwards() -> Iterator[None]:
    """A request leaves its language in the thread; the next one brings its own, but a test need not make one."""
    yield
    translation.deactivate()


def test_a_page_speaks_what_the_browser_asks_for_and_says_so(client: Client) -> None:
    for asked, language in (("zh-CN,zh;q=0.9", "zh-hans"), ("de", "en"), ("", "en")):
        page = client.get("/login", headers={"accept-language": asked})
        assert page.headers["Content-Language"] == language
        assert f'<html lang="{language}" dir="ltr">' in page.content.decode()


def test_a_chosen_language_stays_and_leads_back_to_the_page(client: Client) -> None:
    answer = client.post("/language", {"language": "zh-hans", "next": "/login?next=/p/notes/label/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login?next=/p/notes/label/")
    page = client.get("/login", headers={"accept-language": "en"})
    assert page.headers["Content-Language"] == "zh-hans"


def test_a_language_is_chosen_by_post_only_and_leads_nowhere_else(client: Client, settings: Settings) -> None:
    assert client.get("/language?language=zh-hans").status_code == 405
    answer = client.post("/language", {"language": "xx", "next": "https://elsewhere.example/"})
    assert answer.headers["Location"] == "/"
    assert settings.LANGUAGE_COOKIE_NAME not in client.cookies


def test_a_right_to_left_language_turns_the_page(client: Client, settings: Settings) -> None:
    settings.LANGUAGES = [("en", "English"), ("ar", "Arabic")]
    page = client.get("/login", headers={"accept-language": "ar"})
    assert '<html lang="ar" dir="rtl">' in page.content.decode()


def test_the_texts_of_scripts_are_kept_by_the_browser_until_they_change(client: Client) -> None:
    address = languages.script_texts_url("zh-hans")
    texts = client.get(address, headers={"accept-language": "en"})
    assert texts.headers["Content-Type"].startswith("text/javascript")
    assert texts.headers["Cache-Control"] == "public, immutable, max-age=31536000"
    assert languages.script_texts_url("en") != address
    older = client.get("/texts/zh-hans-0123456789abcdef.js")
    assert (older.headers["Cache-Control"], older.content) == ("no-cache", texts.content)
    assert client.get("/texts/xx-0123456789abcdef.js").status_code == 404
