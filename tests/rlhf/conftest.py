"""A project with people in every role, and an evaluation that has answers and no verdict yet."""

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from rlhf.models import Evaluation, Project, Role
from tests.rlhf.rows import answer, member, prompts, run, version


@pytest.fixture
def project(db) -> Project:
    return Project.objects.create(name="Tulip", slug="tulip", base_model="tiny", salt="s" * 32, held_out_share=0.5)


@pytest.fixture
def other_project(db) -> Project:
    return Project.objects.create(name="Rose", slug="rose", base_model="tiny", salt="r" * 32)


@pytest.fixture
def manager(project) -> User:
    return member(project, Role.MANAGER, "mia")


@pytest.fixture
def researcher(project) -> User:
    return member(project, Role.RESEARCHER, "remy")


@pytest.fixture
def labeler(project) -> User:
    return member(project, Role.LABELER, "lena")


@pytest.fixture
def stranger(other_project) -> User:
    return member(other_project, Role.MANAGER, "sven")


@pytest.fixture
def evaluation(project) -> Evaluation:
    """v1 against v0 on four prompts, answered by both, without verdicts."""
    v0, v1 = version(project, "v0", 0), version(project, "v1", 1, iteration=1)
    for model in (v0, v1):
        by = run(project, purpose="evaluation", policy=model)
        for prompt in prompts(project, 4):
            answer(prompt, model, by, f"{model.name} answers {prompt.pk}")
    return Evaluation.objects.create(project=project, candidate=v1, baseline=v0, iteration=1)


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture(autouse=True)
def storage_of_its_own(settings, tmp_path):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast; nobody attacks a test
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "storage"},
        },
    }
