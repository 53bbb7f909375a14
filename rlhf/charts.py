"""How numbers of runs and estimates are shown: which judge speaks first, which curves are told first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.models import Estimate, Judge, Split

# Whose word weighs more, first.
KINDS: dict[str, str] = {
    Judge.Kind.PEOPLE.value: "people",
    Judge.Kind.GOLD.value: "hidden truth",
    Judge.Kind.LLM.value: "language model",
    Judge.Kind.VERIFIER.value: "verifier",
    Judge.Kind.IMPORTED.value: "judged elsewhere",
    Judge.Kind.REWARD_MODEL.value: "reward model",
}
NOT_CURVES = frozenset({"step", "total_steps", "time", "phase", "epoch"})
CURVES = (
    "loss", "accuracy", "score", "kl", "kl_sft", "length", "entropy", "eos_rate", "value_loss", "explained_variance",
    "reward_chosen", "reward_rejected", "score_spread", "clip_fraction", "approximate_kl", "ratio", "kl_coefficient",
    "gradient_norm", "learning_rate", "tokens_per_second",
)  # fmt: skip


def percent(share: float) -> str:
    return f"{share * 100:.0f}\N{NO-BREAK SPACE}%"


def newest_by_kind(*, estimates: Sequence[Estimate]) -> list[Estimate]:
    """Of several judges of a kind (a reward model per iteration) the newest; people first, held-out prompts only."""
    newest = {estimate.judge.kind: estimate for estimate in estimates if estimate.split == Split.HELD_OUT}
    return [newest[kind] for kind in KINDS if kind in newest]


def curve_names(*, points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The numbers that were logged, the telling ones first."""
    names = {
        name
        for point in points
        for name, value in point.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    } - NOT_CURVES
    return [name for name in CURVES if name in names] + sorted(names - set(CURVES))
