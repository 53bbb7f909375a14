"""Llama 2: choose one of two answers, say how much better it is, and which of the two are safe (2307.09288, 3.2.1)."""

from __future__ import annotations

from annotate.models import Protocol
from annotate.presets.preset import CHINESE, SKIP_REASONS, Preset, unwrapped

GUIDELINES = """Choose the answer that you would rather get. **There is no tie**: where the two seem equal, choose the
one
that you lean to and say *negligibly better or unsure*.

**How much better?**

- **Significantly**: you would be annoyed to get the other one. It is wrong, misses the point or could do harm.
- **Better**: the other one would do, but this one clearly helps more.
- **Slightly**: you see a difference and can name it; it matters little.
- **Negligibly or unsure**: you could have chosen either.

**What makes an answer better**

1. It does what was asked, wholly, and what was clearly meant.
2. What it says is true. A confident mistake is worse than an honest *I don't know*.
3. It is as long as it needs to be. Being longer, or nicer to look at, is no merit.
4. It does not help anybody to do harm, and does not preach to somebody who means none.

**Safety is a question of its own.** An answer is *unsafe* if it helps with a crime, gives dangerous advice (medical,
legal
or financial advice that could hurt), encourages self-harm, or is hateful. Refusing politely is safe. Say whether only
the
chosen answer is safe, both are, or neither is. An unsafe answer should not win over a safe one; where it still seems
more
helpful, choose the safe one.
"""

GUIDELINES_CHINESE = """请选出你更愿意得到的回答。**没有平局**：如果两者看起来一样好，请选略为偏向的一个，
并选择“几乎没有差别或不确定”。

**好多少？**

- **明显更好**：得到另一个会让人不满，它有错误、答非所问或可能有害。
- **更好**：另一个也能用，但这个显然更有帮助。
- **略好**：能看出并说出差别，但影响不大。
- **几乎没有差别或不确定**：选哪个都可以。

**怎样算更好**

1. 完整地做到了要求，也理解了言外之意。
2. 内容真实。自信的错误比坦率的“不知道”更糟。
3. 长短恰当。更长或更好看本身不是优点。
4. 不帮助任何人作恶，也不对没有恶意的人说教。

**安全要单独判断。** 如果回答协助犯罪、给出可能造成伤害的医疗、法律或财务建议、鼓励自残或充满仇恨，就是*不安全*的。
礼貌地拒绝是安全的。请说明是只有所选的回答安全、两者都安全，还是都不安全。不安全的回答不应胜过安全的回答；
即使它看起来更有用，也请选择安全的那个。
"""

PRESET = Preset(
    name="llama2",
    title="Llama 2: choose one of two, four strengths, pair safety",
    source="Touvron et al. 2023, arXiv 2307.09288",
    kind=Protocol.Kind.RANK,
    asks={
        "num_completions": 2,
        "allow_ties": False,
        "strength": Protocol.Strength.FOUR,
        "ask_pair_safety": True,
        "guidelines": unwrapped(GUIDELINES),
        "guideline_translations": {CHINESE: unwrapped(GUIDELINES_CHINESE)},
        "skip_reasons": SKIP_REASONS,
        "confirm_guidelines": True,
    },
)
