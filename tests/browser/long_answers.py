"""Answers that are hard to show: long ones with tables, code, LaTeX, links and hostile HTML, and Arabic ones.

`python -m tests.browser long_answers` makes a project of each.
"""

from __future__ import annotations

import random

from annotate.models import Protocol
from tests.browser import rooms

WORDS = """
    the model answers with care because every reader wants a clear reason and short example that shows how it works in
    practice without noise gradient policy reward baseline sample variance estimate method result paper section figure
    table compare measure improve reduce increase between among several large small quick slow honest careful garden
    tomato neighbour letter kindness water weather river mountain library evening morning window lamp chair paper
"""
HOSTILE = """<script>window.hacked = "script"</script><img src=x onerror="window.hacked = 'onerror'">
<svg onload="window.hacked = 'onload'"></svg><style>body { display: none }</style><iframe src="/admin/"></iframe>
[click me](javascript:window.hacked='href') ![pixel](https://evil.example/pixel.png)
<a href="https://evil.example" onclick="window.hacked = 'onclick'">free</a> $\\href{javascript:alert(1)}{x}$"""

ARABIC = """كيف أكتب دالة بلغة Python تحسب المتوسط؟

1. ابدأ بتعريف الدالة `mean(values)` ثم اجمع القيم.
2. اقسم على العدد $n$:
   - لا تنس حالة القائمة الفارغة

```python
def mean(values):
    return sum(values) / len(values)  # المتوسط
```

| الاسم | القيمة |
|---|---|
| mean | 3.5 |
"""


def main() -> dict[str, str]:
    """The question is different in each project, and so is what its answers are like."""
    first = long_answer(seed=1)
    answers = {
        "long": ("Explain policy gradients.", [first, edited(first, seed=2)]),
        "independent": ("Explain reward models.", [long_answer(seed=3), long_answer(seed=4)]),
        "conversation": (rooms.CONVERSATION, rooms.FOUR_ANSWERS),
        "arabic-code": (rooms.ARABIC, [ARABIC, ARABIC.replace("القيم", "الأرقام")]),
    }
    for slug, (prompt, texts) in answers.items():
        rooms.pair(rooms.room(slug), Protocol.Kind.RANK, prompt, texts)
    return {slug: slug for slug in answers}


def long_answer(*, seed: int, num_words: int = 3_000) -> str:
    """Independent of other seeds but for the vocabulary."""
    draw = random.Random(seed)
    blocks, num = [HOSTILE], 0
    while num < num_words:
        size = draw.randint(60, 110)
        num += size + 4
        blocks += [
            f"## {_words(draw, 4)}",
            f"{_words(draw, size)}. **Bold**, `code()`, [a page](https://example.org/{num}).",
        ]
        blocks += [_table(draw), _code(draw), f"\\[ \\sum_{{i=1}}^{{n}} \\frac{{x_i^2}}{{{draw.randint(1, 99)}}} \\]"]
    return "\n\n".join([*blocks, HOSTILE])


def edited(text: str, *, seed: int, every: int = 25) -> str:
    """The same text with about one word in `every` replaced."""
    draw = random.Random(seed)
    words = text.split(" ")
    for start in range(0, len(words), every):
        place = min(start + draw.randrange(every), len(words) - 1)
        if words[place].isalpha():
            words[place] = draw.choice(WORDS.split())
    return " ".join(words)


def _words(draw: random.Random, num: int) -> str:
    return " ".join(draw.choices(WORDS.split(), k=num)).capitalize()


def _table(draw: random.Random) -> str:
    rows = [
        f"| {draw.choice(WORDS.split())} | {draw.randint(0, 999)} | ${draw.choice('abc')}_{draw.randint(1, 9)}$ |"
        for _ in range(4)
    ]
    return "\n".join(["| name | value | formula |", "|---|---|---|", *rows])


def _code(draw: random.Random) -> str:
    name, comment = draw.choices(WORDS.split(), k=2)
    return f"```python\ndef {name}(x):\n    return x + {draw.randint(0, 99)}  # {comment}\n```"
