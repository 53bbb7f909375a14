"""What a labeler reads: long answers render, differ and scroll together, nothing in them acts, and nothing says who
wrote them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests import services
from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

# Before any script of the page: what the browser refuses is written down.
LISTEN = """window.refused = [];
addEventListener("securitypolicyviolation", (event) => refused.push([event.violatedDirective, event.blockedURI]))"""
VISIBLE = "(cards) => cards.filter((card) => card.offsetParent).map((card) => card.dataset.key)"
LETTERS = """(prose, tag) => {
  const copy = prose.cloneNode(true);
  for (const mark of copy.querySelectorAll(tag)) mark.remove();
  return copy.textContent.replace(/\\s/g, "");
}"""
REFUSED = (
    ("PUT", "assignments/1/draft"), ("POST", "assignments/1/submit"), ("POST", "assignments/99/skip"),
    ("POST", "assignments/99/submit"), ("POST", "guidelines/1/read"), ("GET", "next"), ("PUT", "settings"),
)  # fmt: skip
SEND = """async ([method, path]) => {
  const token = document.cookie.match(/csrftoken=([^;]+)/)[1];
  const headers = { "Content-Type": "application/json", "X-CSRFToken": token };
  return (await fetch(path, { method, headers, body: method === "GET" ? undefined : '{"ranks": {"z": 1}}' })).status;
}"""
SHARES = "(panes) => panes.map((pane) => pane.scrollTop / (pane.scrollHeight - pane.clientHeight))"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def servers(request: pytest.FixtureRequest, fleet: Callable[[str], services.Servers]) -> services.Servers:
    running = fleet(request.param)
    running.run("-m", "tests.browser", "long_answers")
    return running


@pytest.fixture
def open_page(visitor: Callable[..., Visitor]) -> Callable[..., Visitor]:
    def at(slug: str, **options: object) -> Visitor:
        person = visitor(**options)
        person.context.add_init_script(LISTEN)
        person.sign_in("labeler")
        person.go(f"/p/{slug}/label/")
        expect(person.page.locator(".reading .completion").first).to_be_attached()
        return person

    return at


def press(page: Page, key: str) -> None:
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(key)


def test_long_hostile_answers_render_and_do_nothing(open_page: Callable[..., Visitor]) -> None:
    person = open_page("long")
    page, outside = person.page, []
    page.on("request", lambda request: outside.append(request.url) if not request.url.startswith(person.url) else None)
    response = page.reload()
    assert response is not None
    _assert_strict(response.headers["content-security-policy"])
    for key in "ab":
        prose = page.locator(f".completion[data-key={key}] .prose")
        assert len(prose.inner_text().split()) > 3_000
        for tag in ("table", "pre", "math", "h4"):
            assert prose.locator(tag).count() >= 20, tag
        assert prose.locator("script, img, svg, style, iframe, [onclick], [onload], [onerror], [style]").count() == 0
        links = prose.locator("a").evaluate_all("(links) => links.map(({ href, target, rel }) => [href, target, rel])")
        assert links and all(re.match("https?://", href) and target == "_blank" for href, target, _ in links)
        assert all({"noopener", "noreferrer", "nofollow"} <= set(rel.split()) for _, _, rel in links)
    for key in ("d", "r", "d", "r"):
        press(page, key)
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("refused") == []
    assert outside == []
    assert person.complaints == []


def _assert_strict(policy: str) -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for name in ("script-src", "style-src"):  # the nonce is there where a page has something of its own in line
        assert re.fullmatch(r"'self'( 'nonce-[\w+/=-]{16,}')?", rules[name]), rules[name]
    assert rules["connect-src"] == rules["form-action"] == "'self'"
    assert rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert "http" not in rules["img-src"]


def test_marked_differences_are_what_each_answer_says_alone(open_page: Callable[..., Visitor]) -> None:
    page = open_page("long").page
    a, b = (page.locator(f".completion[data-key={key}] .prose") for key in "ab")
    before = a.evaluate("(prose) => prose.innerHTML")
    press(page, "d")
    expect(page.locator(".legend")).to_contain_text("only in A")
    num = a.locator("del").count() + b.locator("ins").count()
    assert 100 < num < 600  # one word in 25 was replaced, of 3,000
    assert a.locator("ins").count() == b.locator("del").count() == 0
    assert a.evaluate(LETTERS, "del") == b.evaluate(LETTERS, "ins")  # without what is marked both say the same
    press(page, "d")
    assert a.evaluate("(prose) => prose.innerHTML") == before


def test_word_differences_rebuild_both_texts(open_page: Callable[..., Visitor]) -> None:
    page = open_page("conversation").page
    pairs = [
        ["", "new"], ["old", ""], ["same", "same"], ["a b c d e f", "a x c d y f"], ["the cat sat", "the dog  sat\n"],
        ["我喜欢喝茶", "我不喜欢喝咖啡"], ["مرحبا بكم", "مرحبا بك"], ["don't stop", "do stop"],
        ["<b>&amp;", "<i>&amp;"],
        [" ".join("abcabcabc" * 50), " ".join("acbacbacb" * 50)],
    ]  # fmt: skip
    for old, new in pairs:
        parts = page.evaluate(
            """async ([old, now]) => {
              const { wordDiff } = await import('/static/labeling/diff.js');
              return [...wordDiff(old, now).childNodes].map((node) => [node.nodeName, node.textContent]);
            }""",
            [old, new],
        )
        assert "".join(text for name, text in parts if name != "INS") == old
        assert "".join(text for name, text in parts if name != "DEL") == new


def test_long_answers_scroll_together_until_told_not_to(open_page: Callable[..., Visitor]) -> None:
    page = open_page("long").page
    panes = page.locator(".completion .prose")
    scroll(page, 4_000)
    first, second = panes.evaluate_all(SHARES)
    assert 0.05 < first < 0.95 and abs(first - second) < 0.01
    press(page, "PageDown")
    page.wait_for_timeout(200)
    further, beside = panes.evaluate_all(SHARES)
    assert further > first and abs(further - beside) < 0.01
    press(page, "y")
    scroll(page, 2_000)
    assert panes.evaluate_all(SHARES)[0] > further and abs(panes.evaluate_all(SHARES)[1] - beside) < 0.001
    expect(page.get_by_role("button", name="Scroll together")).to_have_attribute("aria-pressed", "false")


def scroll(page: Page, by: int) -> None:
    page.locator(".completion .prose").first.hover()
    page.mouse.wheel(0, by)
    page.wait_for_timeout(500)  # wheels are smooth


def test_raw_text_is_the_text_to_the_letter(open_page: Callable[..., Visitor]) -> None:
    page = open_page("conversation").page
    press(page, "r")
    raw = page.locator(".completion .prose").evaluate_all("(all) => all.map((prose) => prose.textContent)")
    assert any("```python\nprint('Thank you, Ruth')" in text for text in raw)
    assert page.locator(".message.from-system .prose").inner_text() == "You are a careful gardener."
    press(page, "r")
    expect(page.locator(".completion .prose pre.plain")).to_have_count(0)


def test_on_a_phone_answers_are_tabs_and_the_same_keys_work(open_page: Callable[..., Visitor]) -> None:
    page = open_page("conversation", width=390).page
    cards = page.locator(".completion")
    assert cards.evaluate_all(VISIBLE) == ["a"]
    page.get_by_role("tab", name="Answer C").tap()
    assert cards.evaluate_all(VISIBLE) == ["c"]
    page.keyboard.press("j")
    assert cards.evaluate_all(VISIBLE) == ["d"]
    page.keyboard.press("1")
    assert cards.evaluate_all(VISIBLE) == ["a"]  # on to the next one without a rank
    press(page, "d")
    expect(page.locator(".legend")).to_contain_text("only in A")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_arabic_runs_from_right_to_left_and_its_code_does_not(open_page: Callable[..., Visitor]) -> None:
    page = open_page("arabic-code").page
    direction = "(all) => all.map((one) => getComputedStyle(one).direction)"
    for block in (".message .prose > p", ".completion .prose > p", ".completion li", ".completion table"):
        found = page.locator(block).evaluate_all(direction)
        assert found and set(found) == {"rtl"}, block
    for block in (".completion pre", ".completion code", ".completion math"):
        found = page.locator(block).evaluate_all(direction)
        assert found and set(found) == {"ltr"}, block


class Payloads:
    """Everything that reaches the browser, in lower case: bodies, addresses, headers, cookies, storage, the page."""

    def __init__(self, person: Visitor) -> None:
        self.person = person
        self.texts: list[str] = []
        person.page.route("**/*", lambda route: self._pass(route))

    def _pass(self, route: Route) -> None:
        response = route.fetch(max_retries=3)  # the server ends a connection that was idle
        self.texts.append(f"{response.url} {response.headers} {route.request.all_headers()} {response.text()}")
        route.fulfill(response=response)

    def note(self) -> None:
        """The page as it stands."""
        page = self.person.page
        self.texts += [page.content(), str(self.person.context.cookies())]
        self.texts.append(page.evaluate("JSON.stringify({ ...localStorage, ...sessionStorage })"))

    def holding(self, planted: list[str]) -> dict[str, str]:
        """The planted strings that were found, each with its surroundings."""
        text = "\n".join(self.texts).lower()
        places = {word: text.find(word.lower()) for word in planted}
        return {word: text[max(0, at - 80) : at + 80] for word, at in places.items() if at >= 0}


def test_nothing_that_a_labeler_gets_says_which_model_wrote_what(
    open_page: Callable[..., Visitor], world: Callable[..., dict[str, Any]]
) -> None:
    made = world("project", "blind", module="blind")
    person = open_page("blind")
    page, payloads = person.page, Payloads(person)
    page.reload()
    payloads.note()
    for _ in range(2):  # the qualification, with its feedback
        page.keyboard.press("1")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_text("The first is polite.")).to_be_visible()
        payloads.note()
        go_on(page, "Enter")
    for key in ("d", "r", "g", "?", "Escape"):
        page.keyboard.press(key)
    for _ in range(5):
        payloads.note()
        go_on(page, "1", "Control+Enter")
    go_on(page, "u")
    payloads.note()
    go_on(page, "2", "Control+Enter")
    for key in ("s", "1", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_role("heading", name="Nothing to label right now")).to_be_visible()
    payloads.note()
    page.wait_for_load_state("networkidle")
    for path in ("/p/blind/runs/", "/p/blind/versions/", "/p/blind/", "/p/none/label/", "/nothing", "/"):
        page.goto(person.url + path)
        payloads.note()
    for method, path in REFUSED:
        assert page.evaluate(SEND, [method, f"{person.url}/api/v1/labeling/blind/{path}"]) >= 400
    payloads.note()
    assert len(payloads.holding(["Water it in the evening", "csrftoken", "prefetched", "class LabelingView"])) == 3
    assert payloads.holding(made["planted"]) == {}
    assert [
        names for texts, names in world("flagged", "blind", module="blind")["rows"] if made["telling"] in texts
    ] == [True]


def go_on(page: Page, *keys: str) -> None:
    """Press the keys; the next task shows after the last of them."""
    before = page.locator("#workspace").get_attribute("data-assignment")
    for key in keys:
        page.keyboard.press(key)
    expect(page.locator(f"#workspace:not([data-assignment='{before}']) .completion").first).to_be_visible()
