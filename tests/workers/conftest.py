"""Every folder that a worker writes to is the test's own; runs compute on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf.learning.starter import Starter
from tests.learning.conftest import llama_path  # noqa: F401 (a fixture: a tiny Llama with a chat template)
from workers.execute import Worker


@pytest.fixture(autouse=True)
def folders(settings: Any, tmp_path: Path) -> Path:
    settings.VAR = tmp_path
    settings.RUNS_ROOT = tmp_path / "runs"
    settings.DEVICE = "cpu"
    local = "django.core.files.storage.FileSystemStorage"
    default = {"BACKEND": local, "OPTIONS": {"location": tmp_path / "storage"}}
    settings.STORAGES = {**settings.STORAGES, "default": default}
    return tmp_path


@pytest.fixture(scope="session")
def warm() -> Iterator[Starter]:
    """One warm process for all tests that start runs."""
    with Starter() as starter:
        yield starter


@pytest.fixture
def workers(warm: Starter) -> dict[str, Worker]:
    """A worker of each resource in this process, both with the warm starter."""
    return {resource: Worker(resource=resource, name=f"test-{resource}", starter=warm) for resource in ("cpu", "gpu")}
