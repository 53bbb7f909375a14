"""Chatbot Arena: A, B, a tie, or both are bad (2403.04132)."""

from __future__ import annotations

from annotate.models import Protocol
from annotate.presets.preset import CHINESE, SKIP_REASONS, Preset, unwrapped

GUIDELINES = """Which answer would you rather have got?

- **A** or **B**: this one is better for you, for whatever reason matters to you.
- **Tie**: both are good, and you would be as glad of either.
- **Both are bad**: you would be glad of neither. Both are wrong, miss the point, or refuse without need. It is no
  tie: a
  tie says that two answers will do.

Go by your own judgement, and by what was asked. Read both to the end; check a fact if it decides. Longer is not
better,
and neither is more confident.

If an answer says which model it is, leave that aside and judge the rest: your vote is marked for it by itself.
"""

GUIDELINES_CHINESE = """你更愿意得到哪个回答？

- **A** 或 **B**：这个对你来说更好，理由由你决定。
- **平局**：两个都好，得到哪个都一样满意。
- **都不好**：两个都不满意，都有错误、答非所问或无故拒绝。这不是平局：平局表示两个都可用。

请按自己的判断和提示词的要求来选。两个都要读完；如果某个事实起决定作用，请查证。更长不等于更好，更自信也不等于更好。

如果回答说出了自己是哪个模型，请忽略这一点，只评判其余内容：这一票会自动加上标记。
"""

PRESET = Preset(
    name="arena",
    title="Arena: A, B, tie or both bad",
    source="Chiang et al. 2024, arXiv 2403.04132",
    kind=Protocol.Kind.RANK,
    asks={
        "num_completions": 2,
        "allow_ties": True,
        "allow_all_bad": True,
        "guidelines": unwrapped(GUIDELINES),
        "guideline_translations": {CHINESE: unwrapped(GUIDELINES_CHINESE)},
        "skip_reasons": SKIP_REASONS,
    },
)
