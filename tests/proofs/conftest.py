"""One world for all reduced proofs: a base model of a few seconds, from which their stages start."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.proofs.sizes import TEST
from benchmarks.proofs.world import World


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the worlds, with the SFT version of seed 0."""
    folder = tmp_path_factory.mktemp("proofs") / "worlds"
    World(folder / "0", 0, TEST).sft()
    return folder
