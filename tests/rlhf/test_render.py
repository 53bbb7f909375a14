"""Hostile text does nothing, and long or deep text costs little."""

import time
from html.parser import HTMLParser

import pytest
from django.utils.safestring import SafeString
from hypothesis import given
from hypothesis import strategies as st

from rlhf.render import MAX_MARKDOWN, TAGS, _Kept, render

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "[click](data:text/html,<script>alert(1)</script>)",
    '![pixel](https://evil.example/p.png"onload="alert(1))',
    "<svg/onload=alert(1)>",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    r"$\text{<script>alert(1)</script>}$",
    r"$\href{javascript:alert(1)}{x}$",
    "<style>*{display:none}</style>",
    '<a href="https://x" onclick="alert(1)">x</a>',
)


class Acts(HTMLParser):
    """Notes every tag and attribute with which a browser would run, load or style something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self.found.append(tag)
        for name, value in attrs:
            scheme = (value or "").partition(":")[0].strip().lower()
            if (
                name.startswith("on")
                or name in ("style", "src")
                or (name == "href" and scheme in ("javascript", "data"))
            ):
                self.found.append(f"{tag} {name}={value}")


def acts(html: str) -> list[str]:
    parser = Acts()
    parser.feed(html)
    return parser.found


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_does_nothing(text):
    assert not acts(render(text))


@given(
    st.lists(st.sampled_from([*HOSTILE, "`", "$", "<", ">", "\n", "[", "](", ")", '"', "|", "\\(", "**"]), max_size=12)
)
def test_hostile_pieces_in_any_order_do_nothing(pieces):
    assert not acts(render("".join(pieces)))


def test_markdown_code_and_latex_are_shown():
    html = render("**bold** $x^2$\n\n```python\ndef f(): pass\n```\n\n| a |\n|---|\n| 1 |")
    for piece in ("<strong>bold</strong>", "<msup>", '<span class="hl-k">def</span>', "<td>1</td>"):
        assert piece in html


def test_money_is_not_a_formula():
    assert "<math" not in render("It costs $5 and $6.")


def test_a_long_text_is_shown_plain():
    text = "**x** <b>" * MAX_MARKDOWN
    assert render(text).startswith('<pre class="plain" dir="auto">**x** &lt;b&gt;')


@pytest.mark.parametrize("piece", ["[", ">", "$", r"\(", "*a ", "`", "- ", "![](", "<", "${", "|a", "$x$ "])
def test_repeated_pieces_take_under_two_seconds(piece):
    text = piece * (MAX_MARKDOWN // len(piece))
    started = time.process_time()
    render(text)
    assert time.process_time() - started < 2


def test_only_lexers_that_cannot_be_made_to_run_for_long_are_chosen_by_a_text() -> None:
    slow = "```basemake\n" + "a" * 7_900 + "\n```"  # over three seconds in Pygments
    started = time.perf_counter()
    html = render(slow)
    assert time.perf_counter() - started < 1
    assert "aaaa" in html and "<span" not in html


def test_links_lead_elsewhere_in_a_new_tab() -> None:
    assert 'target="_blank"' in render("[out](https://example.org)")
    assert "<a" not in render("[in](/admin/) [in](//example.org) [in](../logout) [mail](mailto:a@example.org)")


def test_formulas_between_brackets_stand_in_a_line_and_on_lines_of_their_own() -> None:
    assert render(r"so \(x^2\) is").count("<msup>") == 1
    shown = render("because\n\\[\na\n- b\n= c\n\\]\nso")
    assert shown.count('display="block"') == 1 and "<ul" not in shown and "<h" not in shown
    assert "<math" in render(r"> \[ x \]") and 'display="block"' in render(r"at once \[ x \] here")


def test_a_bracket_that_is_not_closed_or_is_code_is_text() -> None:
    for text in (r"\( x", r"\[ x", r"`\(x\)`", r"    \[ x \]", r"\(" + "x" * 2_000 + r"\)", r"\\(x\\)"):
        assert "<math" not in render(text), text


def test_blocks_take_their_direction_from_their_letters_and_code_and_formulas_run_from_left_to_right() -> None:
    shown = render("مرحبا `x = 1` $x$\n\n- واحد\n- اثنان\n\n| أ |\n|---|\n| ب |")
    for tag in (
        '<p dir="auto">',
        '<ul dir="auto">',
        '<table dir="auto">',
        '<code dir="ltr">',
        'display="inline" dir="ltr"',
    ):
        assert tag in shown


def test_headings_of_a_text_stand_below_those_of_the_page() -> None:
    assert render("# a\n\n###### b") == '<h3 dir="auto">a</h3>\n<h6 dir="auto">b</h6>\n'


def test_three_thousand_words_are_rendered_and_the_second_time_cost_nothing() -> None:
    text = "\n\n".join(
        f"## {i}\n\n{'word ' * 100} **b** $x_{{{i}}}^2$\n\n| a | b |\n|---|---|\n| 1 | 2 |" for i in range(30)
    )
    html = render(text)
    assert html.count("<msubsup>") == 30 and html.count("<table") == 30
    started = time.perf_counter()
    assert render(text) is html
    assert time.perf_counter() - started < 0.005


def test_what_is_kept_is_bounded() -> None:
    kept = _Kept(100)
    for letter in "abc":
        kept.put(letter * 20, SafeString(letter * 20))
    assert kept.get("a" * 20) is None and kept.get("c" * 20) == "c" * 20 and kept.left >= 0
