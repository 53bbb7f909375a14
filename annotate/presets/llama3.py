"""Llama 3: choose one of two answers, say how much better it is, then improve it (2407.21783, 4.1.2, 4.2.1)."""

from __future__ import annotations

from annotate.models import Protocol
from annotate.presets.preset import CHINESE, SKIP_REASONS, Preset, unwrapped

GUIDELINES = """**1. Choose** the answer that you would rather get. There is no tie: lean to one.

**2. Say how much better it is.** *Significantly*: the other one is wrong, misses the point or could do harm.
*Better*: the
other one would do, this one clearly helps more. *Slightly*: a difference that you can name and that matters little.
*Negligibly or unsure*: you could have chosen either.

**3. Make the chosen answer better, if a few minutes are enough.**

- Mend what is wrong or missing: a false fact, a step left out, a limit that was not kept.
- Cut what nobody asked for: repeated openings, empty praise, warnings without need.
- Keep its voice and its form. You are editing, not writing an answer of your own.
- Leave it as it is when you have nothing to improve. A change for the sake of a change teaches the wrong thing.

Your edited answer counts as better than the chosen one, and that as better than the other. So edit only what you are
sure of: check a fact before you write it.

Judge by what helps the person who asked: doing what was asked, truth, the right length, harm to nobody.
"""

GUIDELINES_CHINESE = """**1. 选择**你更愿意得到的回答。没有平局，请选出略为偏向的一个。

**2. 说明好多少。** *明显更好*：另一个有错误、答非所问或可能有害。*更好*：另一个也能用，但这个显然更有帮助。
*略好*：能说出差别，但影响不大。*几乎没有差别或不确定*：选哪个都可以。

**3. 如果几分钟就够，请把选中的回答改得更好。**

- 改正错误、补上缺漏：不实的内容、漏掉的步骤、没有遵守的限制。
- 删去没人要求的内容：重复的开场白、空洞的赞美、不必要的警告。
- 保留原来的语气和形式。你是在修改，而不是重写。
- 没有可改之处就保持原样。为改而改会教错东西。

修改后的回答被视为优于选中的回答，选中的优于另一个。因此只改你有把握的地方，写入事实之前请先查证。

评判标准是对提问者的帮助：做到要求、内容真实、长短恰当、不伤害任何人。
"""

PRESET = Preset(
    name="llama3",
    title="Llama 3: choose one of two, four strengths, edit the best",
    source="Grattafiori et al. 2024, arXiv 2407.21783",
    kind=Protocol.Kind.RANK,
    asks={
        "num_completions": 2,
        "allow_ties": False,
        "strength": Protocol.Strength.FOUR,
        "edit_best": True,
        "guidelines": unwrapped(GUIDELINES),
        "guideline_translations": {CHINESE: unwrapped(GUIDELINES_CHINESE)},
        "skip_reasons": SKIP_REASONS,
        "confirm_guidelines": True,
        "lease_minutes": 60,
    },
)
