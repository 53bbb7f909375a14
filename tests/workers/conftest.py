"""Workers of this process whose children are real, over the test database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rlhf.learning.starter import Starter
from rlhf.models import Run
from tests.learning.conftest import llama_path, warm  # noqa: F401 (fixtures)
from workers.execute import Worker


@pytest.fixture(autouse=True)
def folders_of_its_own(settings: object, tmp_path: Path) -> None:
    settings.VAR = tmp_path / "var"
    settings.RUNS_ROOT = tmp_path / "var" / "runs"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast; nobody attacks a test
    settings.VAR.mkdir()
    location = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "storage"}}
    settings.STORAGES = {**settings.STORAGES, "default": location}


@pytest.fixture
def gpu(warm: Starter) -> Worker:  # noqa: F811
    return Worker(resource=Run.Resource.GPU, name="gpu-test", starter=warm)


@pytest.fixture
def cpu() -> Iterator[Worker]:
    with Starter(warm=False) as starter:
        yield Worker(resource=Run.Resource.CPU, name="cpu-test", starter=starter)
