"""A project with people in every role, and an evaluation that has answers and no verdict yet."""

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from rlhf import judges
from rlhf.models import Evaluation, Project, Role, Run, RunMetric
from tests.browser import cards
from tests.rlhf import documents
from tests.rlhf.rows import answer, estimate, member, prompts, run, verdict, version


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
def judged(evaluation: Evaluation) -> Evaluation:
    """Three people, one gold and a reward model have judged v1 against v0; a training run with curves."""
    project = evaluation.project
    people = judges.people_judge(project=project)
    for prompt, score in zip(prompts(project, 4), (1.0, 1.0, 0.5, 0.0), strict=True):
        verdict(evaluation, people, prompt, score, rater="ann", candidate_reward=1.25)
    estimate(evaluation, people, run(project, "estimate"), 0.7)
    pair = {(evaluation.candidate_id, evaluation.baseline_id): evaluation.pk}
    documents.store(project, documents.full(2, evaluation.baseline_id, pair, (people.pk, people.pk + 1, people.pk + 2)))
    for step in range(3):
        RunMetric.objects.create(run=run(project, "ppo") if step == 0 else Run.objects.get(kind="ppo"), attempt=1,
                                 step=step, values={"step": step, "kl": 0.1 * step})  # fmt: skip
    cards.build(version(project, "rm1", kind="reward", iteration=1))
    return evaluation


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
