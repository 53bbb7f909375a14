"""Commands that answer in a sentence: export and doctor."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from rlhf import storage
from rlhf.models import DatasetSnapshot
from tests.workers import broker, world
from tests.workers.small import demonstrations

pytestmark = pytest.mark.django_db


@pytest.fixture
def snapshot() -> DatasetSnapshot:
    return demonstrations(world.project(model=Path("tiny"), num_prompts=1))


def test_an_export_holds_the_very_bytes(snapshot: DatasetSnapshot, tmp_path: Path) -> None:
    call_command("export", str(snapshot.pk), str(tmp_path / "out"), stdout=StringIO())

    hashes = {storage.file_sha256(path) for path in (tmp_path / "out").iterdir()}
    assert {snapshot.sha256, snapshot.jsonl_sha256} <= hashes


def test_an_export_of_damaged_bytes_is_refused(snapshot: DatasetSnapshot, tmp_path: Path) -> None:
    default_storage.delete(snapshot.parquet)
    default_storage.save(snapshot.parquet, ContentFile(b"damaged"))

    with pytest.raises(CommandError, match="sha256"):
        call_command("export", str(snapshot.pk), str(tmp_path / "out"), stdout=StringIO())
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_an_export_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="404"):
        call_command("export", "404", str(tmp_path / "out"), stdout=StringIO())


def diagnose() -> tuple[dict[str, str], str]:
    """Each check's verdict by its line, and the error."""
    said, error = StringIO(), ""
    try:
        call_command("doctor", stdout=said)
    except CommandError as found:
        error = str(found)
    return {line[6:18].strip(): line for line in said.getvalue().splitlines()}, error


def test_a_doctor_names_each_part_in_a_line() -> None:
    lines, _ = diagnose()

    for name in ("python", "database", "migrations", "broker", "torch"):
        assert lines[name].startswith("ok"), lines[name]


def test_a_doctor_fails_where_the_broker_that_was_named_does_not_answer(settings: object, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    lines, error = diagnose()

    assert lines["broker"].startswith("FAIL") and "nobody.sock" in lines["broker"]
    assert "failed" in error


def test_a_doctor_finds_a_broker_that_was_named(settings: object, tmp_path: Path) -> None:
    with broker.valkey(tmp_path) as server:
        settings.REDIS_URL = server.url.replace("redis+socket", "unix")
        lines, _ = diagnose()
    assert lines["broker"].startswith("ok")


def test_a_doctor_fails_where_the_device_is_not_there(settings: object) -> None:
    settings.DEVICE = "cuda"
    lines, _ = diagnose()
    assert "expected a CUDA device" in lines["torch"] or lines["torch"].startswith("ok")
