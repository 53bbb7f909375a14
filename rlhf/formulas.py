r"""LaTeX between \( \) and \[ \] in Markdown, as most models write it. The search for the closing mark is bounded."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

MAX_LATEX = 1_000  # characters of a formula
CLOSING = {r"\(": r"\)", r"\[": r"\]"}
TOKENS = {r"\(": "math_inline", r"\[": "math_inline_double"}


def brackets_plugin(markdown: MarkdownIt) -> None:
    interrupts: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    markdown.inline.ruler.before("escape", "math_brackets", _in_line)
    markdown.block.ruler.before("fence", "math_brackets_block", _block, interrupts)


def _in_line(state: StateInline, silent: bool) -> bool:
    opening = state.src[state.pos : state.pos + 2]
    if opening not in CLOSING:
        return False
    start = state.pos + 2
    end = state.src.find(CLOSING[opening], start, start + MAX_LATEX + 2)
    if end <= start:
        return False
    if not silent:
        token = state.push(TOKENS[opening], "math", 0)
        token.content, token.markup = state.src[start:end], opening
    state.pos = end + 2
    return True


def _block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    r"""From a line that starts with \[ to one that ends with \]; its lines are not read as lists or headings."""
    if state.is_code_block(start_line) or not _line(state, start_line).startswith(r"\["):
        return False
    content = ""
    for line in range(start_line, end_line):
        if state.sCount[line] < state.blkIndent or len(content) > MAX_LATEX:
            return False
        content += _line(state, line).strip() + "\n"
        if r"\]" in content:
            break
    if not content.endswith("\\]\n"):
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        token.content, token.markup, token.map = content[2:-3], r"\[", [start_line, line + 1]
        state.line = line + 1
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
