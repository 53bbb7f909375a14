"""How the rewards of every version's answers are spread, under every judge that gives rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlhf.learning.evaluation.units import Floats, combined, numbered
from rlhf.learning.evaluation.verdicts import Verdicts
from rlhf.learning.stats.reward_shift import reward_shift

Row = dict[str, Any]


def rewards(verdicts: Verdicts, versions: Sequence[Row], judges: Sequence[Row]) -> list[Row]:
    """A row per judge and version; the first version in the order of the document is what others are measured by."""
    found = []
    for judge in judges:
        of_version = _of_judge(verdicts, judge["id"])
        ordered = {row["id"]: of_version[row["id"]] for row in versions if row["id"] in of_version}
        for version, made in reward_shift(ordered).items():
            found.append({"judge": judge["id"], "version": version, **vars(made)})
    return found


def _of_judge(verdicts: Verdicts, judge: int) -> dict[int, Floats]:
    """The reward of each answer, an answer being one version's to one prompt; nothing of a judge that gives none."""
    own = np.flatnonzero(verdicts.judge == judge)
    values = np.r_[verdicts.candidate_reward[own], verdicts.baseline_reward[own]]
    if not values.any():
        return {}
    version = np.r_[verdicts.candidate[own], verdicts.baseline[own]]
    prompt = np.r_[verdicts.prompt[own], verdicts.prompt[own]]
    _, row = np.unique(combined([numbered(version), numbered(prompt)]), return_index=True)
    return {int(pk): values[row][version[row] == pk] for pk in np.unique(version)}
