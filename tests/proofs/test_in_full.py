"""The proofs in full: `pytest -m proofs`, up to two hours. What `make proofs` writes down, as tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.proofs.sizes import FULL
from benchmarks.proofs.units import PROOFS, collect, everything


@pytest.mark.proofs
@pytest.mark.parametrize("name", list(PROOFS))
def test_every_promise_holds(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    worlds: Path = tmp_path_factory.getbasetemp() / "proofs/full"  # shared: worlds are made once
    everything(worlds, [name], FULL, 2, Console())
    _, numbers, _ = collect(worlds, PROOFS[name], FULL)
    assert [number for number in numbers if number.holds is False] == []
