"""What a preset is made of, and the skip reasons that they share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHINESE = "zh-hans"
Choice = dict[str, Any]


@dataclass(frozen=True)
class Preset:
    name: str
    title: str
    source: str
    kind: str
    asks: Mapping[str, Any]  # fields of a protocol


def choice(name: str, english: str, chinese: str) -> Choice:
    return {"name": name, "labels": {"en": english, CHINESE: chinese}}


def unwrapped(text: str) -> str:
    """Markdown written in short lines, with a line for each paragraph and list item: a line break is shown as one."""
    joined = re.sub(r"(?<=[^\x00-\xff])\n[ ]*(?=[^\s\x00-\x7f])", "", text.strip())  # Chinese takes no space
    return re.sub(r"(?<=\S)\n(?!\s*(?:- |\d\. |\n))\s*", " ", joined)


SKIP_REASONS = [
    choice("unknown_subject", "I know too little about this to judge", "我对这个话题了解不够，无法判断"),
    choice("unclear_prompt", "The prompt makes no sense or lacks something", "提示词不通或缺少必要内容"),
    choice("wrong_language", "It is in a language that I don't read well", "内容所用的语言我不熟悉"),
    choice("harmful", "The content is harmful or upsetting to me", "内容有害或让我不适"),
    choice("private", "It shows somebody's private data", "内容涉及他人隐私"),
    choice("broken_page", "Something is broken on the page", "页面显示有问题"),
]
