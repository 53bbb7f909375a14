"""Counts of Markdown, worked by hand."""

from __future__ import annotations

from rlhf.learning.style import Style, style


def test_headers_items_and_bold_spans_are_counted_and_code_is_not() -> None:
    text = (
        "# One\n\nSome **bold** and __more__.\n\n- a\n- b\n  1. c\n\n```\n# no header\n- no item\n**no**\n```\n## Two\n"
    )
    assert style(text) == Style(characters=len(text), headers=2, lists=3, bold=2)


def test_plain_prose_has_a_length_and_nothing_else() -> None:
    assert style("5 * 4 ** 2 is #1") == Style(characters=16, headers=0, lists=0, bold=0)
    assert style("") == Style(0, 0, 0, 0)
