"""Text of models and people as HTML: Markdown, code and LaTeX, with nothing in it that can act.

Model output is hostile input. Raw HTML is text, images become links, and what comes out has passed a list of allowed
tags. The work is bounded: a longer text is shown as it is. Each block takes its direction from its own letters; code
and formulas run from left to right.
"""

from __future__ import annotations

import html
import threading
from collections import OrderedDict
from typing import Any

import nh3
from django.utils.safestring import SafeString
from latex2mathml.converter import convert as latex_to_mathml
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from rlhf.formulas import MAX_LATEX, brackets_plugin

MAX_MARKDOWN = 60_000  # characters; beyond it a text is shown plain
MAX_CODE = 8_000  # characters of a highlighted block
# A lexer is regular expressions, and the text chooses it: in some, such a block takes over three seconds. Not in these.
LANGUAGES = """
    bash c cpp css diff go html java javascript js json kotlin py python r ruby rust sh sql toml ts typescript xml yaml
"""
MAX_KEPT = 8_000_000  # characters of HTML and text that a process keeps: several people see the same completion
MAX_NESTING = 20  # of quotes and lists
MAX_GROUPS = 100  # of a formula

MATHML = """
    math mrow mi mn mo ms mtext mspace msup msub msubsup mfrac msqrt mroot munder mover munderover mtable mtr mtd mstyle
    mpadded mphantom menclose semantics
"""
HTML = """
    p br hr h1 h2 h3 h4 h5 h6 strong em s del code pre blockquote ul ol li table thead tbody tr th td a span div
"""
TAGS = {*MATHML.split(), *HTML.split()}
ATTRIBUTES = {
    **{tag: {"dir"} for tag in ("p", "ul", "blockquote", "table", "h1", "h2", "h3", "h4", "h5", "h6")},
    "a": {"href", "title"},
    "div": {"class"},
    "span": {"class"},
    "ol": {"start", "dir"},
    "math": {"display", "xmlns"},
    "mo": {"stretchy", "fence", "form", "accent"},
    "mi": {"mathvariant"},
    "mspace": {"width"},
    "mstyle": {"displaystyle", "scriptlevel"},
}
FIXED = {
    "a": {"target": "_blank"},  # a click must not leave a half-written answer
    "code": {"dir": "ltr"},  # also keeps code out of what decides the direction of the block around it
    "math": {"dir": "ltr"},
}


class _Kept:
    """HTML by text, the least recently used thrown away first."""

    def __init__(self, size: int) -> None:
        self.left = size
        self._lock = threading.Lock()
        self._html: OrderedDict[str, SafeString] = OrderedDict()

    def get(self, text: str) -> SafeString | None:
        with self._lock:
            if text in self._html:
                self._html.move_to_end(text)
            return self._html.get(text)

    def put(self, text: str, html: SafeString) -> None:
        with self._lock:
            if text in self._html:
                return
            self._html[text] = html
            self.left -= len(text) + len(html)
            while self.left < 0:
                old, old_html = self._html.popitem(last=False)
                self.left += len(old) + len(old_html)


def render(text: str) -> SafeString:
    """Safe HTML of a text. The same text always gives the same HTML."""
    if len(text) > MAX_MARKDOWN:
        return plain(text)
    html = _KEPT.get(text)
    if html is None:
        html = _rendered(text)
        _KEPT.put(text, html)
    return html


def plain(text: str) -> SafeString:
    return SafeString(f'<pre class="plain" dir="auto">{html.escape(text)}</pre>')


def _rendered(text: str) -> SafeString:
    cleaned = nh3.clean(
        _MARKDOWN.render(text),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https"},
        link_rel="nofollow noopener noreferrer",
        set_tag_attribute_values=FIXED,
    )
    return SafeString(cleaned)


def _code(code: str, language: str, _attributes: str) -> str:
    if language.lower() not in _LANGUAGES or len(code) > MAX_CODE:
        return ""  # markdown-it escapes it
    return f"<pre>{highlight(code, get_lexer_by_name(language.lower()), _FORMATTER)}</pre>"


def _latex(source: str, options: dict[str, Any]) -> str:
    source = source.strip()
    num_groups = source.count("{") + source.count("\\left") + source.count("\\begin")
    if not source or len(source) > MAX_LATEX or num_groups > MAX_GROUPS:
        return _latex_source(source)
    try:
        return str(latex_to_mathml(source, display="block" if options.get("display_mode") else "inline"))
    except Exception:  # the converter raises whatever it trips over; the reader gets the source
        return _latex_source(source)


def _latex_source(source: str) -> str:
    return f"<code>{html.escape(source)}</code>"


def _image_as_link(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """A picture would be fetched from where the model says: show where it points instead."""
    token = tokens[index]
    address = html.escape(str(token.attrs.get("src", "")))
    return f'<a href="{address}">{html.escape(token.content) or address}</a>'


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        """Relative addresses would be pages of ours, chosen by a model."""
        return url.lower().startswith(("http://", "https://"))


def _parser() -> MarkdownIt:
    parser = _Markdown("commonmark", {"html": False, "highlight": _code, "maxNesting": MAX_NESTING, "breaks": True})
    parser.enable(["table", "strikethrough"])
    parser.use(
        dollarmath_plugin,
        renderer=_latex,
        allow_labels=False,
        allow_space=False,
        allow_digits=False,
        double_inline=True,
    )
    parser.use(brackets_plugin)
    parser.core.ruler.push("blocks", _finish_blocks)
    parser.add_render_rule("image", _image_as_link)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    for rule, display in (("math_inline", False), ("math_inline_double", True), ("math_block", True)):
        parser.add_render_rule(rule, _math_rule(display))
    return parser


def _finish_blocks(state: StateCore) -> None:
    """Outer blocks choose their direction; headings go below those of the page that shows them."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
        if token.level == 0 and token.nesting == 1:
            token.attrSet("dir", "auto")


def _table_open(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    return f'<div class="table-scroll">{self.renderToken(tokens, index, options, env)}'


def _math_rule(display: bool) -> Any:
    def rule(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
        formula = _latex(tokens[index].content, {"display_mode": display})
        return f"<div>{formula}</div>" if display and tokens[index].block else formula

    return rule


_LANGUAGES = frozenset(LANGUAGES.split())
_FORMATTER = HtmlFormatter(nowrap=True, classprefix="hl-")
_MARKDOWN = _parser()
_KEPT = _Kept(MAX_KEPT)
