"""What style control corrects for: how long an answer is and how much Markdown it holds. Imports no scipy."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HEADER = re.compile(r"^#{1,6}\s", re.MULTILINE)
_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,9}[.)])\s", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")


@dataclass(frozen=True)
class Style:
    characters: int
    headers: int
    lists: int  # items
    bold: int  # spans


def style(text: str) -> Style:
    """Counts of an answer; Markdown inside code blocks is code.

    Source: the four features of Arena's style control (lm-sys/FastChat, 2024), with characters in place of tokens,
    which differ from model to model.
    """
    prose = _FENCED.sub("", text)
    return Style(len(text), len(_HEADER.findall(prose)), len(_ITEM.findall(prose)), len(_BOLD.findall(prose)))
