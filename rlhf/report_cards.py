"""A reward model's report card as its page reads it: every slice of held-out accuracy in one list, shares as shares.

The card is `report.json` of the run (rlhf/learning/report.py). A part that the data said nothing about is null there,
and empty here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from rlhf.models import ReportCard

Text = str | Promise
ALL, STRENGTH, ROUND, LABELER = "all", "strength", "round", "labeler"
GROUPS: dict[str, Text] = {
    ALL: _("All"),
    STRENGTH: _("How much better"),
    ROUND: _("Round"),
    LABELER: _("Labeler"),
}
STRENGTHS: dict[str, Text] = {
    "unsure": _("unsure"),
    "slightly": _("slightly better"),
    "better": _("better"),
    "significantly": _("significantly better"),
}  # weakest first
SHORTCUTS: dict[str, Text] = {"length": _("Length"), "position": _("Place in the row")}
MAX_LABELERS = 100  # those with most comparisons; more do not fit on a page
CHARTED_LABELERS = 12


@dataclass(frozen=True)
class Slice:
    """Held-out accuracy of one kind of comparison."""

    group: str  # a key of GROUPS
    label: str
    mean: float
    low: float | None
    high: float | None
    num_pairs: int
    num_prompts: int

    @property
    def group_label(self) -> Text:
        return GROUPS[self.group]


@dataclass(frozen=True)
class Shortcut:
    """How a reward model and the labels stand to one feature."""

    label: str
    is_phrase: bool
    z: float
    p_value: float
    model_rate: float
    label_rate: float
    num_pairs: int
    flagged: bool


def slices(*, card: ReportCard) -> list[Slice]:
    """All comparisons first, then by strength, round and labeler; labelers by their number of comparisons."""
    content = card.content
    found = [_slice(ALL, gettext("all comparisons"), content.get("accuracy"))]
    found.append(_slice(ALL, gettext("labelers never trained on"), content.get("new_labelers")))
    by_strength = content.get("by_strength") or {}
    found += [_slice(STRENGTH, str(STRENGTHS[level]), by_strength.get(level)) for level in STRENGTHS]
    by_round = content.get("by_iteration") or {}
    found += [
        _slice(ROUND, gettext("round %(number)s") % {"number": name}, by_round[name])
        for name in sorted(by_round, key=lambda name: (len(name), name))
    ]
    by_labeler = content.get("by_labeler") or {}
    most_first = sorted(by_labeler, key=lambda name: (-by_labeler[name]["num_pairs"], name))
    found += [_slice(LABELER, name, by_labeler[name]) for name in most_first[:MAX_LABELERS]]
    return [each for each in found if each is not None]


def shortcuts(*, card: ReportCard) -> list[Shortcut]:
    """Length, position, then phrases; those that are flagged first within each."""
    there = card.content.get("shortcuts") or {}
    named = [_shortcut(there.get(name), str(label)) for name, label in SHORTCUTS.items()]
    phrases = [_shortcut(phrase) for phrase in there.get("phrases") or []]
    phrases.sort(key=lambda each: each is not None and not each.flagged)
    return [each for each in [*named, *phrases] if each is not None]


def charted(*, card: ReportCard, found: list[Slice]) -> dict[str, Any]:
    """What the charts draw: the same numbers as the tables, with fewer labelers."""
    labelers = [each for each in found if each.group == LABELER]
    left_out = set(labelers[CHARTED_LABELERS:])
    content = card.content
    return {
        "slices": [{**asdict(each), "group_label": str(each.group_label)} for each in found if each not in left_out],
        "ceiling": (content.get("ceiling") or {}).get("ceiling"),
        "bins": (content.get("calibration") or {}).get("bins") or [],
        "scaling": scaling_points(card=card),
    }


def scaling_points(*, card: ReportCard) -> list[dict[str, float]]:
    """Held-out accuracy by number of training rankings; empty where no smaller model was trained."""
    scaling = card.content.get("scaling")
    if not scaling:
        return []
    return [{"size": size, "accuracy": accuracy} for size, accuracy in _pairs(scaling)]


def _pairs(scaling: Mapping[str, Any]) -> list[tuple[int, float]]:
    return list(zip(scaling["sizes"], scaling["accuracies"], strict=True))


def _slice(group: str, label: str, found: Mapping[str, Any] | None) -> Slice | None:
    if not found:
        return None
    numbers = {name: found[name] for name in ("mean", "low", "high", "num_pairs", "num_prompts")}
    return Slice(group=group, label=label, **numbers)


def _shortcut(found: Mapping[str, Any] | None, label: str = "") -> Shortcut | None:
    if not found:
        return None
    numbers = {name: found[name] for name in ("z", "p_value", "model_rate", "label_rate", "num_pairs", "flagged")}
    return Shortcut(label=label or found["name"], is_phrase=not label, **numbers)
