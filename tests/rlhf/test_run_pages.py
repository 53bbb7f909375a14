"""Pages of runs: live while they work, steered by managers, with their curves, alarms and what stands in the way."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from rlhf.models import Run, RunAlarm, RunMetric
from tests.rlhf.addresses import address
from tests.rlhf.rows import run, version


def test_live_parts_answer_304_while_nothing_changes(client, judged, researcher):
    client.force_login(researcher)
    for name in ("project-now", "runs-live", "label-progress"):
        first = client.get(url := address(name, judged.project))
        assert client.get(url, headers={"If-None-Match": first["ETag"]}).status_code == 304
    run(judged.project, "sft", state=Run.State.RUNNING, step=1, total_steps=4)
    assert (
        client.get(address("project-now", judged.project), headers={"If-None-Match": first["ETag"]}).status_code == 200
    )


def test_a_finished_run_stops_the_asking(client, judged, researcher):
    client.force_login(researcher)
    assert client.get(address("run-live", judged.project)).status_code == 286


def test_cancel_and_retry_from_the_page(client, project, manager):
    client.force_login(manager)
    queued = run(project, "ppo", state=Run.State.QUEUED)
    for name, state in (("cancel-run", "cancelled"), ("retry-run", "queued")):
        assert client.post(reverse(name, args=["tulip", queued.pk])).status_code == 302
        queued.refresh_from_db()
        assert queued.state == state
    Run.objects.filter(pk=queued.pk).update(state=Run.State.SUCCEEDED)
    page = client.post(reverse("retry-run", args=["tulip", queued.pk]), follow=True).content.decode()
    assert "expected a failed or cancelled run" in page


def test_an_import_is_not_retried_for_no_worker_has_its_file(client, project, manager):
    client.force_login(manager)
    cut = run(project, "import", state=Run.State.FAILED)
    page = client.post(reverse("retry-run", args=["tulip", cut.pk]), follow=True).content.decode()
    cut.refresh_from_db()
    assert cut.state == Run.State.FAILED and "expected its file to be sent again" in page


def test_a_failed_step_of_the_loop_is_named_on_the_dashboard(client, project, researcher):
    run(project, "sample", Run.State.FAILED, purpose="ranking", error="found no model, expected one")
    run(project, "sample", Run.State.FAILED, purpose="try", error="found no patience")
    client.force_login(researcher)

    page = client.get(f"/p/{project.slug}/now").content.decode()

    assert "The loop waits" in page and "found no model, expected one" in page
    assert "found no patience" not in page


def test_a_run_that_has_ended_says_nothing_of_time_left(client, project, researcher):
    times = {"started_at": timezone.now() - timedelta(seconds=8), "heartbeat_at": timezone.now()}
    client.force_login(researcher)
    for state, is_said in ((Run.State.RUNNING, True), (Run.State.SUCCEEDED, False), (Run.State.FAILED, False)):
        row = run(project, "ppo", state, phase="rollouts", step=4, total_steps=8, **times)
        page = client.get(reverse("run-live", args=["tulip", row.pk])).content.decode()
        assert (" left" in page) is is_said and ("rollouts" in page) is is_said


def test_alarms_stand_escaped_on_the_page_of_their_run_and_on_the_dashboard(client, project, researcher):
    row = run(project, "grpo", Run.State.RUNNING, iteration=2, attempt=2)
    message = "length drifts: found 1.7, alarm at 1.6. <script>alert(1)</script> Look at the length shortcut."
    RunAlarm.objects.create(run=row, attempt=2, step=7, name="length drifts", message=message)
    RunAlarm.objects.create(run=row, attempt=1, step=3, name="of an attempt that is gone", message="gone")
    client.force_login(researcher)
    for url in (reverse("run", args=["tulip", row.pk]), "/p/tulip/", "/p/tulip/now"):
        body = client.get(url).content.decode()
        assert "length drifts: found 1.7, alarm at 1.6. &lt;script&gt;" in body and "step 7" in body.lower()
        assert "<script>alert" not in body and "gone" not in body
    run(project, "sample", iteration=3)
    assert "length drifts" not in client.get("/p/tulip/now").content.decode()


def test_curves_that_have_not_begun_are_no_empty_box(client, project, researcher):
    row = run(project, "ppo", Run.State.RUNNING)
    client.force_login(researcher)
    url = reverse("run", args=["tulip", row.pk])
    assert "Nothing has been logged yet" in client.get(url).content.decode()
    RunMetric.objects.create(run=row, attempt=row.attempt, step=1, values={"step": 1, "score": 0.1})
    assert "Nothing has been logged yet" not in client.get(url).content.decode()


@pytest.mark.parametrize("kind", ["dpo", "grpo"])
def test_runs_of_every_way_to_train_show_curves_and_lineage(kind, client, project, researcher):
    made = version(project, "v1", 1, kind=kind)
    row = run(project, kind, policy=version(project, "v0", 0), made_version=made)
    RunMetric.objects.create(run=row, attempt=1, step=1, values={"step": 1, "loss": 0.69, "score_spread": 0.25})
    client.force_login(researcher)
    page = client.get(reverse("run", args=["tulip", row.pk])).content.decode()
    assert f"{kind.upper()} #{row.pk}" in page and "score_spread" in page and ">v0</a>" in page and ">v1</a>" in page
    assert kind.upper() in client.get(reverse("version", args=["tulip", made.pk])).content.decode()
    assert kind.upper() in client.get(reverse("versions", args=["tulip"])).content.decode()
