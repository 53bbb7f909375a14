from __future__ import annotations

import pytest

from annotate.models import Task
from rlhf.access import Access
from rlhf.models import Project, Role
from tests.annotate import rows
from tests.annotate.crowd import give


@pytest.fixture
def project(db: None) -> Project:
    return rows.project()


@pytest.fixture
def ada(project: Project) -> Access:
    return rows.member(project=project, name="ada")


@pytest.fixture
def bo(project: Project) -> Access:
    return rows.member(project=project, name="bo")


@pytest.fixture
def boss(project: Project) -> Access:
    return rows.member(project=project, name="boss", role=Role.MANAGER)


@pytest.fixture
def disputed(project: Project, ada: Access, bo: Access) -> Task:
    """Two people, two orders."""
    task = rows.ranking_task(project=project, texts=["**bold**", "<script>alert(1)</script>", "plain"], overlap=2)
    for who, wanted in ((ada, [1, 2, 3]), (bo, [3, 2, 1])):
        give(who, wanted)
    task.refresh_from_db()
    return task
