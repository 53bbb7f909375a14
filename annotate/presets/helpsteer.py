"""HelpSteer3-Preference: seven points between two answers, and the reason in writing (2505.11475)."""

from __future__ import annotations

from annotate.models import Protocol
from annotate.presets.preset import CHINESE, SKIP_REASONS, Preset, unwrapped

GUIDELINES = """Say which answer is **more helpful overall**, on seven points: *much better*, *better* or *slightly
better* on
either side, or *about the same* in the middle.

Read both answers to the end before you choose. Look at, in this order:

1. **Instruction.** Does it do all that was asked, in the language and form that were asked for?
2. **Correctness.** Is it true, does the code run, do the numbers add up? Check what you can check.
3. **Completeness and clarity.** Is anything needed missing? Can the person who asked follow it?
4. **Length.** No longer than it has to be. Repetition counts against it.

*Much better* is for a difference that decides: one is right and the other wrong, one answers and the other does not.
*Slightly better* is for taste that most people would share. *About the same* is for a real tie, not for haste.

**Then write why**, in one or two sentences of your own, about *these* answers:

- Good: *"A names the wrong year for the treaty (1945), and B gives all three clauses that were asked for."*
- Not enough: *"B is better and more detailed."*

Name an answer by its letter. Judge without asking others: several people judge the same pair, and their differences
are worth knowing.
"""

GUIDELINES_CHINESE = """请用七级判断哪个回答**总体上更有帮助**：任一方*好得多*、*更好*、*略好*，或居中的*差不多*。

选择前请把两个回答都读完。依次看：

1. **指令**：是否按要求的语言和形式完成了全部要求？
2. **正确**：内容是否真实，代码能否运行，数字是否对得上？能查证的请查证。
3. **完整与清晰**：是否缺少必要内容？提问者能看懂吗？
4. **长度**：不比需要的更长，重复要扣分。

*好得多*用于决定性的差别：一个对一个错，或一个回答了而另一个没有。*略好*用于多数人会认同的偏好。
*差不多*用于真正的平局，而不是图快。

**然后用自己的一两句话写出理由**，要针对*这两个*回答：

- 好的理由：“A 把条约年份写错了（1945 年），B 给出了所要求的三项条款。”
- 不够的理由：“B 更好、更详细。”

请用字母称呼回答。请独立判断：同一对回答会由多人评判，他们之间的差异很有价值。
"""

PRESET = Preset(
    name="helpsteer",
    title="HelpSteer: seven points between two answers, with a written reason",
    source="Wang et al. 2025 (HelpSteer3-Preference), arXiv 2505.11475",
    kind=Protocol.Kind.RANK,
    asks={
        "num_completions": 2,
        "allow_ties": True,
        "strength": Protocol.Strength.SEVEN,
        "reason_min_characters": 40,
        "overlap": 3,
        "guidelines": unwrapped(GUIDELINES),
        "guideline_translations": {CHINESE: unwrapped(GUIDELINES_CHINESE)},
        "skip_reasons": SKIP_REASONS,
        "confirm_guidelines": True,
        "lease_minutes": 60,
    },
)
