from __future__ import annotations

import pytest

from rlhf.access import Access
from rlhf.models import Project
from tests.annotate import rows


@pytest.fixture
def project(db: None) -> Project:
    return rows.project()


@pytest.fixture
def ada(project: Project) -> Access:
    return rows.member(project=project, name="ada")


@pytest.fixture
def bo(project: Project) -> Access:
    return rows.member(project=project, name="bo")
