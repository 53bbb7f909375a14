"""The dashboard's first sentence: who won, said only where an independent judge has settled it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rlhf.charts import percent
from rlhf.models import Estimate, Evaluation, Judge, Split

FEW_PROMPTS = 30  # below this an interval is a guess, and the sentence says so
INDEPENDENT = (Judge.Kind.PEOPLE, Judge.Kind.GOLD)  # people first; the reward model was trained against


@dataclass(frozen=True)
class Headline:
    text: str
    detail: str
    tone: str  # better, worse or open
    estimate: Estimate | None


def headline(*, evaluation: Evaluation | None, estimates: Iterable[Estimate]) -> Headline:
    """What may be said of the newest candidate. Refuses without an independent judge, or with a wide interval."""
    if evaluation is None:
        return Headline(
            "No two versions have been compared yet.", "The first comparison follows the first round.", "open", None
        )
    rows = [estimate for estimate in estimates if estimate.split == Split.HELD_OUT]
    pair = f"{evaluation.candidate} against {evaluation.baseline}"
    judged = next((row for kind in INDEPENDENT for row in reversed(rows) if row.judge.kind == kind), None)
    if judged is None:
        found = f"only {', '.join(sorted({row.judge.name for row in rows}))}" if rows else "nobody"
        text = f"It is not settled whether {evaluation.candidate} is better than {evaluation.baseline}."
        detail = f"Expected a judge that the training did not see; {found} has judged {pair}."
        return Headline(text, detail, "open", None)
    text, tone = _verdict(evaluation, judged)
    return Headline(text, " ".join([_numbers(judged), *_warnings(judged, rows)]), tone, judged)


def _verdict(evaluation: Evaluation, judged: Estimate) -> tuple[str, str]:
    candidate, baseline = evaluation.candidate.name, evaluation.baseline.name
    if judged.low > 0.5:
        return f"{candidate} is better than {baseline}.", "better"
    if judged.high < 0.5:
        return f"{candidate} is worse than {baseline}.", "worse"
    return f"{candidate} and {baseline} can't be told apart.", "open"


def _numbers(judged: Estimate) -> str:
    who = "People prefer" if judged.judge.kind == Judge.Kind.PEOPLE else f"{judged.judge.name.capitalize()} prefers"
    return (
        f"{who} it on {percent(judged.win_rate)} of {judged.num_prompts} held-out prompts "
        f"(95\N{NO-BREAK SPACE}% interval {percent(judged.low)} to {percent(judged.high)})."
    )


def _warnings(judged: Estimate, rows: list[Estimate]) -> list[str]:
    warnings = []
    if judged.num_prompts < FEW_PROMPTS:
        warnings.append(f"Expected at least {FEW_PROMPTS} prompts, so read it with care.")
    reward = next((row for row in reversed(rows) if row.judge.kind == Judge.Kind.REWARD_MODEL), None)
    if reward is not None and reward.low > judged.high:
        warnings.append(
            f"The reward model says {percent(reward.win_rate)}: the reward runs ahead of what it stands for."
        )
    elif reward is not None and reward.low > 0.5 >= judged.low:
        warnings.append(
            f"The reward model says {percent(reward.win_rate)}, which is not confirmed: "
            "the reward may be running ahead of what it stands for."
        )
    return warnings
