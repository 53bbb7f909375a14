"""Answers that give away which model wrote them. Such an answer is still ranked, and flagged wherever it counts.

A name alone says nothing (Claude Monet, the zodiac's Gemini): it is looked for where somebody speaks of themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ASSISTANTS = """
    ChatGPT|GPT-?[345][\\w.-]*|InstructGPT|Claude|Gemini|Bard|PaLM|LaMDA|Llama[\\w.-]*|Vicuna|Alpaca|Koala|Mistral|Mixtral
    |Qwen[\\w.-]*|DeepSeek[\\w.-]*|Grok|Copilot|Falcon|Dolly|Phi-?[1-4]|Gemma|OLMo|Tulu|Zephyr|Yi|GLM-?\\d*|ChatGLM
    |Open ?Assistant|Cohere|Command R\\+?|Nemotron|通义千问|文心一言|豆包|智谱清言|讯飞星火|Kimi
"""
MAKERS = """
    OpenAI|Anthropic|Google|DeepMind|Meta|Microsoft|Mistral AI|Alibaba|Baidu|ByteDance|DeepSeek|xAI|Cohere|LAION
    |Hugging ?Face|阿里巴巴|阿里云|百度|字节跳动|深度求索|智谱|月之暗面|科大讯飞
"""
SELF = r"(?:\bI am|\bI['’]m|\bmy name is|\bmy name['’]s|\bcall me|\bthis is|\bas)"
FILLER = (
    r"(?:\s+(?:an?|the|your|called|named|actually|just|only|AI|assistant|chatbot|language|model|large|version)\b,?)"
    r"{0,6}"
)
MADE = r"\b(?:trained|developed|created|made|built|designed)\s+by\s+(?:the\s+)?(?:team\s+at\s+)?"
END = r"(?![\w-])(?!\s+[A-Z][a-z])"  # Claude, and not Claude Monet
MARKED = re.compile(r"[\dA-Z_/-]")  # a name that is no common word


def gives_itself_away(*, text: str, names: Iterable[str] = ()) -> bool:
    """Whether the text names an assistant or its maker as its author; `names` are those of the project's own models."""
    if _KNOWN.search(text):
        return True
    own = "|".join(re.escape(name) for name in names if MARKED.search(name))
    return bool(own) and re.search(rf"(?i:{SELF}{FILLER})\s+(?:{own}){END}", text) is not None


def _one_line(pattern: str) -> str:
    return re.sub(r"\n\s*", "", pattern)


_ASSISTANTS, _MAKERS = _one_line(ASSISTANTS), _one_line(MAKERS)
_KNOWN = re.compile(
    rf"(?i:{SELF}{FILLER})\s+(?:{_ASSISTANTS}){END}"
    rf"|(?i:{SELF}{FILLER}\s+{MADE}(?:{_MAKERS}))\b"
    rf"|(?i:\bI\s+(?:was|am|have\s+been)\s+{MADE}(?:{_MAKERS}))\b"
    rf"|我(?:是|叫|的名字是)\w{{0,12}}?(?:{_ASSISTANTS}|{_MAKERS})"
)
