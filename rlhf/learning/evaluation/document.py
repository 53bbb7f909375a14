"""document.json: everything that is shown of a set of verdicts, in one canonical form (docs/evaluation.md).

The same verdicts and the same configuration give the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlhf.learning.configs import EstimateConfig
from rlhf.learning.evaluation import chain, parties, people
from rlhf.learning.evaluation.alarms import alarms
from rlhf.learning.evaluation.cells import Cell, document_row
from rlhf.learning.evaluation.controls import controls
from rlhf.learning.evaluation.positions import positions
from rlhf.learning.evaluation.rankings import ranking
from rlhf.learning.evaluation.rewards import rewards
from rlhf.learning.evaluation.slices import slices
from rlhf.learning.evaluation.verdicts import Verdicts

FORMAT = 1
Row = dict[str, Any]


def document(verdicts: Verdicts, cells: Sequence[Cell], config: EstimateConfig, on_piece: Callable[[str], None]) -> Row:
    """The document of all verdicts; `on_piece` is told the name of each piece that is begun, of long ones again."""
    on_piece("cells")
    table, confidence = verdicts.units, config.confidence
    versions, judges = parties.versions(verdicts, config), parties.judges(verdicts, config)
    chains = {judge["id"]: chain.steps(versions, cells, judge["id"]) for judge in judges}
    on_piece("slices")
    shown, num_hidden = slices(table, cells, config)
    on_piece("rankings")
    ranked = [ranking(table, judge, versions, chains[judge["id"]], config) for judge in judges]
    controlled = controls(verdicts, cells, config, on_piece)
    on_piece("agreement")
    agreed, alpha = people.ceiling(verdicts, judges, config)
    agreement = people.agreement(verdicts, judges, chains, config)
    calibrated = people.calibrated_rates(table, judges, config)
    on_piece("rewards")
    ratios = {row["evaluation"]: row["length_ratio"] for row in controlled}
    return {
        "format": FORMAT,
        "seed": config.seed,
        "num_resamples": config.num_resamples,
        "confidence": confidence,
        "num_verdicts": len(verdicts),
        "versions": versions,
        "judges": judges,
        "cells": [document_row(cell, confidence) for cell in cells],
        "slices": shown,
        "hidden_slices": num_hidden,
        "chain": chain.verdicts(chains, confidence),
        "rankings": ranked,
        "controls": controlled,
        "positions": positions(verdicts, judges, confidence),
        "agreement": agreement,
        "ceiling": agreed,
        "raters": alpha,
        "calibrated": calibrated,
        "rewards": rewards(verdicts, versions, judges),
        "alarms": alarms(table, judges, chains, ratios, config),
        "regressions": chain.regressions(table, list(chains.values())),
    }


def canonical(found: Row) -> bytes:
    """The bytes of a document: sorted keys, no spaces, floats by repr; a number that is none becomes null."""
    return json.dumps(plain(found), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def plain(value: Any) -> Any:
    """Numbers of numpy as Python's, NaN and infinities as None, minus zero as zero."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else None
    return value
