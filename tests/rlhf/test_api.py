"""The REST routes: the ladder of each, bulk prompts, curves, cancel and retry."""

import json

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from rlhf import judges, tokens
from rlhf.access import Access
from rlhf.models import ReportCard, Role, Run, RunAlarm, RunMetric, Scope
from tests.rlhf.rows import estimate, prompts, run, snapshot, verdict

LISTS = ("api-prompts", "api-snapshots", "api-runs", "api-versions", "api-evaluations")
DETAILS = (
    "api-snapshot",
    "api-run",
    "api-run-metrics",
    "api-version",
    "api-version-report",
    "api-evaluation",
    "api-verdicts",
)
FILES = ("api-snapshot-parquet", "api-snapshot-jsonl")
POSTS = ("api-prompts", "api-run-cancel", "api-run-retry")


@pytest.fixture
def api() -> APIClient:
    return APIClient()


@pytest.fixture
def rows(evaluation):
    """The id that each detail route is asked for."""
    people = judges.people_judge(project=evaluation.project)
    verdict(evaluation, people, prompts(evaluation.project, 4)[0], 1.0, rater="ann")
    estimate(evaluation, people, run(evaluation.project, "estimate"), 0.7)
    training = run(evaluation.project, "ppo", state=Run.State.FAILED)
    ReportCard.objects.create(project=evaluation.project, version=evaluation.candidate, content={}, sha256="c" * 64)
    return {
        "snapshot": snapshot(evaluation.project, "rankings").pk,
        "run": training.pk,
        "version": evaluation.candidate_id,
        "evaluation": evaluation.pk,
    }


def address(name: str, rows: dict[str, int], project: str = "tulip") -> str:
    names: dict[str, object] = {"project": project}
    if name not in LISTS:
        names["pk"] = rows["evaluation" if name == "api-verdicts" else name.split("-")[1]]
    return reverse(name, kwargs=names)


def token(user, project, role: Role, scope: Scope) -> str:
    return tokens.create(access=Access(user, project, role, "x"), scope=scope, name="")[1]


@pytest.mark.parametrize("name", [*LISTS, *DETAILS])
def test_readers_read(name, api, rows, researcher, manager):
    for user in (researcher, manager):
        api.force_authenticate(user)
        assert api.get(address(name, rows)).status_code == 200


@pytest.mark.parametrize("name", [*LISTS, *DETAILS, *FILES])
def test_signed_out_labelers_and_strangers_are_refused(name, api, rows, labeler, stranger):
    assert api.get(address(name, rows)).status_code == 401
    for user, status in ((labeler, 403), (stranger, 404)):
        api.force_authenticate(user)
        assert api.get(address(name, rows)).status_code == status


@pytest.mark.parametrize("name", [*DETAILS, *FILES])
def test_rows_of_another_project_are_missing_or_empty(name, api, rows, stranger):
    api.force_authenticate(stranger)
    answer = api.get(address(name, rows, "rose"))
    assert answer.status_code == 404 or answer.json()["results"] == []


@pytest.mark.parametrize("name", POSTS)
def test_only_managers_write(name, api, rows, researcher, labeler, stranger):
    assert api.post(address(name, rows)).status_code == 401
    for user, status in ((researcher, 403), (labeler, 403), (stranger, 404)):
        api.force_authenticate(user)
        assert api.post(address(name, rows)).status_code == status


def test_a_token_opens_its_own_project_and_scope_only(api, rows, project, other_project, manager):
    for name, scope, status in (
        ("api-runs", Scope.READ, 200),
        ("api-runs", Scope.WRITE, 200),
        ("api-runs", Scope.LABEL, 403),
    ):
        plain = token(manager, project, Role.MANAGER, scope)
        api.credentials(HTTP_AUTHORIZATION=f"Token {plain}")
        assert api.get(address(name, rows)).status_code == status
    api.credentials(HTTP_AUTHORIZATION=f"Token {token(manager, project, Role.MANAGER, Scope.READ)}")
    assert api.post(address("api-prompts", rows), [{"prompt": "x"}], format="json").status_code == 403
    other_project.memberships.create(user=manager, role=Role.MANAGER, pseudonym="m")
    assert api.get(address("api-runs", rows, "rose")).status_code == 403
    api.credentials(HTTP_AUTHORIZATION="Token hone_nonsense")
    assert api.get(address("api-runs", rows)).status_code == 401


def test_prompts_in_bulk_good_rows_land_and_bad_rows_are_named(api, project, manager):
    api.force_authenticate(manager)
    url = reverse("api-prompts", args=["tulip"])
    body = [{"prompt": "One?"}, {"prompt": ""}, {"messages": [{"role": "user", "content": "Two?"}], "category": "c"}]
    answer = api.post(url, body, format="json")
    assert (answer.status_code, answer.json()["num_added"]) == (201, 2)
    assert [row["row"] for row in answer.json()["bad_rows"]] == [2]
    assert api.post(url, body, format="json").json()["num_duplicates"] == 2
    assert {row["category"] for row in api.get(url, {"category": "c"}).json()["results"]} == {"c"}


@pytest.mark.parametrize("body", [[], {}, [{"prompt": ""}], "x", [3], None])
def test_prompts_without_a_good_row_are_refused(body, api, project, manager):
    api.force_authenticate(manager)
    answer = api.post(reverse("api-prompts", args=["tulip"]), json.dumps(body), content_type="application/json")
    assert answer.status_code == 400 and "expected" in answer.json()["detail"]
    assert not project.prompts.exists()


def test_lists_are_paged_by_cursor_without_gaps(api, project, researcher):
    wanted = [prompt.pk for prompt in prompts(project, 25)]
    api.force_authenticate(researcher)
    url, found = reverse("api-prompts", args=["tulip"]) + "?limit=10", []
    while url:
        page = api.get(url).json()
        found += [row["id"] for row in page["results"]]
        url = page["next"]
    assert found == wanted


def test_curves_are_thinned_evenly_and_keep_both_ends(api, project, researcher):
    training = run(project, "ppo", attempt=2)
    RunMetric.objects.bulk_create(
        RunMetric(run=training, attempt=attempt, step=step, values={"kl": step / 10})
        for attempt in (1, 2)
        for step in range(1_000)
    )
    api.force_authenticate(researcher)
    url = reverse("api-run-metrics", args=["tulip", training.pk])
    points = api.get(url).json()["points"]
    steps = [point["step"] for point in points]
    assert len(steps) == 500 and steps[0] == 0 and steps[-1] == 999 and steps == sorted(set(steps))
    assert len(api.get(url, {"max_points": 5_000}).json()["points"]) == 1_000
    for bad in ("1", "x", "99999", "-2", "²"):
        assert api.get(url, {"max_points": bad}).status_code == 400


def test_cancel_and_retry(api, project, manager):
    api.force_authenticate(manager)
    queued = run(project, "ppo", state=Run.State.QUEUED)
    url = {name: reverse(f"api-run-{name}", args=["tulip", queued.pk]) for name in ("cancel", "retry")}
    assert api.post(url["cancel"]).json()["state"] == "cancelled"
    assert api.post(url["cancel"]).status_code == 409
    assert api.post(url["retry"]).json()["state"] == "queued"
    assert api.post(url["retry"]).status_code == 409


def test_an_evaluation_carries_its_latest_estimates(api, rows, researcher):
    api.force_authenticate(researcher)
    (listed,) = api.get(address("api-evaluations", rows)).json()["results"]
    assert listed == api.get(address("api-evaluation", rows)).json()
    assert listed["estimates"][0]["win_rate"] == 0.7 and listed["estimates"][0]["judge"]["kind"] == "people"


def test_verdicts_are_those_of_the_evaluation(api, rows, evaluation, researcher):
    api.force_authenticate(researcher)
    (row,) = api.get(address("api-verdicts", rows), {"score": 1.0}).json()["results"]
    assert (row["score"], row["rater"]) == (1.0, "ann")


def test_the_openapi_page_and_its_schema(client, api, researcher):
    assert api.get("/api/v1/schema/").status_code == 401
    client.force_login(researcher)
    schema = client.get("/api/v1/schema/?format=json").json()
    assert "/api/v1/projects/{project}/prompts" in schema["paths"]
    page = client.get("/api/v1/docs/")
    assert page.status_code == 200 and b"<script>" not in page.content
    assert (
        "script-src 'self'" in page["Content-Security-Policy"] and "unsafe-eval" not in page["Content-Security-Policy"]
    )


def test_a_report_card_is_read_by_its_version_and_missing_where_there_is_none(api, evaluation, rows, researcher):
    api.force_authenticate(researcher)
    ReportCard.objects.update(content={"accuracy": {"mean": 0.75}})
    card = api.get(address("api-version-report", rows)).json()
    assert (card["version"], card["content"]) == (rows["version"], {"accuracy": {"mean": 0.75}})
    assert api.get(reverse("api-version-report", args=["tulip", evaluation.baseline_id])).status_code == 404


def test_a_run_carries_the_alarms_of_its_latest_attempt(api, project, researcher):
    training = run(project, "grpo", attempt=2)
    for attempt in (1, 2):
        RunAlarm.objects.create(run=training, attempt=attempt, step=attempt, name="length drifts", message="long")
    api.force_authenticate(researcher)
    detail = api.get(reverse("api-run", args=["tulip", training.pk])).json()
    assert detail["alarms"] == [{"step": 2, "name": "length drifts", "message": "long"}]


def test_a_prompt_keeps_its_target(api, project, manager):
    api.force_authenticate(manager)
    body = [{"prompt": "6 x 7?", "target": 42}, {"prompt": "Hello?"}, {"prompt": "Bad?", "target": ["42"]}]
    answer = api.post(reverse("api-prompts", args=["tulip"]), body, format="json").json()
    assert answer["num_added"] == 2 and "expected a target of at most" in answer["bad_rows"][0]["message"]
    listed = api.get(reverse("api-prompts", args=["tulip"])).json()["results"]
    assert sorted(row["target"] for row in listed) == ["", "42"]
