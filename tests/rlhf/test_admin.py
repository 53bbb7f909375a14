"""The administration: every list and page opens, prompts come in by file, runs are cancelled and retried."""

import io

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import reverse

from rlhf import judges
from rlhf.models import Project, ProjectToken, Run
from tests.rlhf.rows import estimate, run, snapshot

MODELS = [model for model in admin.site._registry if model._meta.app_label in ("rlhf", "auth", "annotate")]


@pytest.fixture
def boss(db) -> User:
    return User.objects.create_superuser("boss", password="x")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_list_and_page_opens(model, client, boss, evaluation):
    project = evaluation.project
    estimate(evaluation, judges.people_judge(project=project), run(project, "estimate"), 0.6)
    ProjectToken.objects.create(user=boss, project=project)
    client.force_login(boss)
    names = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    answer = client.get(reverse(f"{names}_changelist"))
    assert answer.status_code == 200
    assert "'unsafe-eval'" in answer["Content-Security-Policy"] and "nonce" not in answer["Content-Security-Policy"]
    for row in model.objects.all()[:1]:
        assert client.get(reverse(f"{names}_change", args=[row.pk])).status_code == 200


def test_other_pages_keep_the_strict_policy(client, boss):
    client.force_login(boss)
    assert "unsafe" not in client.get("/")["Content-Security-Policy"]


def upload(client, project: Project, text: str):
    file = io.BytesIO(text.encode())
    file.name = "p.csv"
    return client.post(reverse("admin:rlhf_prompt_import"), {"project": project.pk, "file": file})


def test_the_import_lands_good_rows_and_names_bad_ones(client, boss, project):
    client.force_login(boss)
    body = upload(client, project, "prompt,category\nOne?,a\n,b\nTwo?,c\nx,y,z\n").content.decode()
    assert "2 prompts added" in body and "line 3" in body and "line 5" in body
    assert set(project.prompts.values_list("category", flat=True)) == {"a", "c"}
    assert "found no rows" in upload(client, project, "").content.decode()


def test_the_import_page_is_for_staff_who_may_add_prompts(client, project, researcher):
    url = reverse("admin:rlhf_prompt_import")
    assert client.get(url).status_code == 302
    researcher.is_staff = True
    researcher.save()
    client.force_login(researcher)
    assert client.get(url).status_code == 403
    assert upload(client, project, "prompt\nOne?\n").status_code == 403
    assert not project.prompts.exists()


def test_runs_are_cancelled_and_retried(client, boss, project):
    client.force_login(boss)
    queued, done = run(project, "ppo", state=Run.State.QUEUED, total_steps=4), run(project, "sft")
    url = reverse("admin:rlhf_run_changelist")
    assert '<progress value="0" max="4"' in client.get(url).content.decode()
    chosen = {"_selected_action": [queued.pk, done.pk]}
    page = client.post(url, {"action": "cancel_runs", **chosen}, follow=True).content.decode()
    assert "1 cancelled" in page and "found run" in page
    client.post(url, {"action": "retry_runs", **chosen})
    assert set(Run.objects.values_list("state", flat=True)) == {"queued", "succeeded"}


def test_loop_settings_are_checked(client, boss, project):
    client.force_login(boss)
    url = reverse("admin:rlhf_project_change", args=[project.pk])
    form = {
        "name": "Tulip", "slug": "tulip", "base_model": "tiny", "prompt_format": "chat", "held_out_share": "0.2",
        "state": "setup", "memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0,
    }  # fmt: skip
    bad = client.post(url, {**form, "loop": '{"ppo": {"clip_range": 3}}'}).content.decode()
    assert "clip_range: expected" in bad
    assert client.post(url, {**form, "loop": '{"num_rounds": 2}'}).status_code == 302
    project.refresh_from_db()
    assert project.loop == {"num_rounds": 2}


def test_what_was_measured_is_not_edited(client, boss, project):
    frozen = snapshot(project)
    client.force_login(boss)
    assert (
        client.post(reverse("admin:rlhf_datasetsnapshot_change", args=[frozen.pk]), {"num_rows": 1}).status_code == 403
    )
    assert client.get(reverse("admin:rlhf_run_add")).status_code == 403


def test_a_run_of_thousands_of_prompts_is_shown_in_one_line(client, boss, project):
    row = run(project, "ppo", selection={"prompt_ids": list(range(70_000, 73_000)), "dataset": "rankings"})
    client.force_login(boss)
    page = client.get(reverse("admin:rlhf_run_change", args=[row.pk])).content.decode()
    # PostgreSQL keeps keys in an order of its own.
    assert "prompt_ids: 3000 rows" in page and "dataset: rankings" in page and "71234" not in page
