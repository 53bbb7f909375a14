"""Who takes part: the versions and judges of a document, named by the run's configuration, counted in its verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlhf.learning.configs import EstimateConfig, JudgeEntry, VersionEntry
from rlhf.learning.evaluation.units import Ints, combined, numbered
from rlhf.learning.evaluation.verdicts import Verdicts

Row = dict[str, Any]


def versions(verdicts: Verdicts, config: EstimateConfig) -> list[Row]:
    """Numbered versions in their order, then the others by id; of those that were judged."""
    ids = np.r_[verdicts.candidate, verdicts.baseline]
    prompts = np.r_[verdicts.prompt, verdicts.prompt]
    characters = np.r_[verdicts.candidate_style[:, 0], verdicts.baseline_style[:, 0]]
    # An answer is one version's to one prompt, however often it was judged.
    answer = numbered(combined([numbered(ids), numbered(prompts)]))
    _, row = np.unique(answer, return_index=True)
    known = {entry.id: entry for entry in config.versions}
    entries = [known.get(pk, VersionEntry(pk, f"version {pk}")) for pk in np.unique(ids).tolist()]
    entries.sort(key=lambda entry: (entry.number is None, entry.number or 0, entry.id))
    return [_version(entry, ids[row], characters[row]) for entry in entries]


def _version(entry: VersionEntry, ids: Ints, characters: np.ndarray[Any, Any]) -> Row:
    own = characters[ids == entry.id]
    mean = float(own.mean())
    return {
        "id": entry.id,
        "name": entry.name,
        "number": entry.number,
        "kind": entry.kind,
        "family": entry.family,
        "num_answers": int(own.size),
        "mean_characters": mean if mean > 0 else None,  # rows frozen before answers were measured hold 0
    }


def judges(verdicts: Verdicts, config: EstimateConfig) -> list[Row]:
    """Those that gave a verdict, by id."""
    known = {entry.id: entry for entry in config.judges}
    single = [code for code, value in enumerate(verdicts.position.values) if value == "none"]
    orders = ~np.isin(verdicts.position.codes, single)
    found = []
    for pk in np.unique(verdicts.judge).tolist():
        entry = known.get(pk, JudgeEntry(pk, f"judge {pk}"))
        own = verdicts.judge == pk
        scores = verdicts.score[own]
        found.append(
            {
                "id": pk,
                "name": entry.name,
                "kind": entry.kind,
                "identity": entry.identity,
                "graded": bool((~np.isin(scores, (0.0, 0.5, 1.0))).any()),
                "both_orders": bool(np.unique(verdicts.position.codes[own & orders]).size == 2),
                "family": entry.family,
                "trained": list(entry.trained),
                "num_verdicts": int(own.sum()),
            }
        )
    return found
