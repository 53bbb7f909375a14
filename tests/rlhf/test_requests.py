"""Asking for a comparison: of two versions that answer prompts, by managers, once."""

import pytest
from rest_framework.test import APIClient

from rlhf import versions
from rlhf.models import Evaluation
from tests.rlhf.rows import version

EVALUATIONS, VERSIONS = "/api/v1/projects/tulip/evaluations", "/api/v1/projects/tulip/versions"
SERVER = {"base_url": "https://models.example/v1", "model": "large"}


@pytest.fixture
def api(manager) -> APIClient:
    client = APIClient()
    client.force_authenticate(manager)
    return client


@pytest.fixture
def players(project):
    return [version(project, "v0", 0), version(project, "theirs", kind="answers")]


def ask(api: APIClient, candidate: object, baseline: object):
    return api.post(EVALUATIONS, {"candidate": candidate, "baseline": baseline}, format="json")


def test_an_evaluation_is_asked_for_once_by_id_or_name(api, players):
    first = ask(api, players[1].pk, "v0")
    assert first.status_code == 201 and first.json()["requested_at"]
    assert ask(api, "theirs", players[0].pk).json() == first.json()
    assert Evaluation.objects.count() == 1


def test_one_that_the_loop_opened_can_be_asked_for_too(api, evaluation):
    assert evaluation.requested_at is None
    assert ask(api, "v1", "v0").json()["id"] == evaluation.pk
    evaluation.refresh_from_db()
    assert evaluation.requested_at and evaluation.iteration == 1


@pytest.mark.parametrize(
    ("candidate", "baseline", "message"),
    [
        ("v0", "v0", "two versions"),
        ("v0", "v9", "baseline"),
        (True, "v0", "candidate"),
        (None, "v0", "candidate"),
        (2**70, "v0", "candidate"),
        ("a\0", "v0", "candidate"),
        ("v0", "rm1", "rm1"),
    ],
)
def test_what_can_not_be_compared_is_refused(api, project, players, candidate, baseline, message):
    version(project, "rm1", kind="reward")
    answer = ask(api, candidate, baseline)
    assert answer.status_code == 400 and message in answer.json()["detail"]
    assert not Evaluation.objects.exists()


def test_versions_of_another_project_are_none(api, players, other_project):
    assert ask(api, version(other_project, "w0", 0).pk, "v0").status_code == 400


def test_the_ladder(api, players, researcher, labeler, stranger):
    for user, status in ((None, 401), (researcher, 403), (labeler, 403), (stranger, 404)):
        api.force_authenticate(user)
        assert ask(api, "theirs", "v0").status_code == status
    assert not Evaluation.objects.exists()


def test_a_rival_meets_the_current_version_unless_told_otherwise(api, players, now):
    rows = [{"prompt": "Why?", "answer": "Because."}]
    endpoint = {"endpoint": SERVER}
    assert api.post(VERSIONS, {"name": "early", **endpoint}, format="json").status_code == 201
    assert not Evaluation.objects.exists()  # no version is current yet
    versions.promote_first(version=players[0], now=now)
    for name, options in (("quiet", {"evaluate": False}), ("large", {})):
        api.post(VERSIONS, {"name": name, **endpoint, **options}, format="json")
    api.post(f"{VERSIONS}/answers?name=silent&evaluate=false", rows, format="json")
    api.post(f"{VERSIONS}/answers?name=file", rows, format="json")
    pairs = Evaluation.objects.values_list("candidate__name", "baseline__name")
    assert set(pairs) == {("large", "v0"), ("file", "v0")}
    assert api.post(VERSIONS, {"name": "x", "evaluate": 1, **endpoint}, format="json").status_code == 400
