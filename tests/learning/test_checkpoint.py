"""A checkpoint is there whole or not there, whatever moment the power goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlhf.learning import checkpoint

ENVIRONMENT = {"torch": "2.13", "num_threads": "1"}


def write(folder: Path, step: int) -> None:
    checkpoint.write(folder, step, lambda path: (path / "state.pt").write_text(f"state {step}") and None, ENVIRONMENT)


def newest_step(folder: Path) -> int | None:
    found = checkpoint.newest_valid(folder)
    return found.step if found else None


def test_two_are_kept_and_latest_names_the_newest(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        write(tmp_path, step)
    assert sorted(path.name for path in (tmp_path / "checkpoint").iterdir()) == ["10", "15", "LATEST"]
    assert (tmp_path / "checkpoint/LATEST").read_text() == "15"
    found = checkpoint.newest_valid(tmp_path)
    assert found == checkpoint.Checkpoint(tmp_path / "checkpoint/15", 15, ENVIRONMENT)


def test_none_is_found_where_there_is_none(tmp_path: Path) -> None:
    assert checkpoint.newest_valid(tmp_path) is None
    (tmp_path / "checkpoint/5.part").mkdir(parents=True)
    assert checkpoint.newest_valid(tmp_path) is None


@pytest.mark.parametrize("damage", ["cut", "missing file", "no manifest", "empty manifest", "odd manifest"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, damage: str) -> None:
    write(tmp_path, 5)
    write(tmp_path, 10)
    newest = tmp_path / "checkpoint/10"
    match damage:
        case "cut":
            (newest / "state.pt").write_text("stat")
        case "missing file":
            (newest / "state.pt").unlink()
        case "no manifest":
            (newest / checkpoint.MANIFEST).unlink()
        case "empty manifest":
            (newest / checkpoint.MANIFEST).write_text("")
        case _:
            (newest / checkpoint.MANIFEST).write_text("[]")
    assert newest_step(tmp_path) == 5


def test_a_crash_while_writing_leaves_the_one_before(tmp_path: Path) -> None:
    write(tmp_path, 5)

    def crash(path: Path) -> None:
        (path / "state.pt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoint.write(tmp_path, 10, crash, ENVIRONMENT)
    assert newest_step(tmp_path) == 5
    write(tmp_path, 10)
    assert newest_step(tmp_path) == 10


def test_metrics_are_cut_after_the_step_and_a_half_written_line_goes(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (1, 2, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 1, "lo')
    checkpoint.cut_metrics(tmp_path, 2)
    assert (tmp_path / "metrics.jsonl").read_text() == "\n".join(lines[:3]) + "\n"


def test_what_changed_since_is_said() -> None:
    now = {"torch": "2.14", "num_threads": "1", "device": "cpu"}
    assert checkpoint.differences(ENVIRONMENT, ENVIRONMENT) == []
    assert checkpoint.differences(ENVIRONMENT, now) == ["device was None, is cpu", "torch was 2.13, is 2.14"]
