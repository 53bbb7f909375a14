"""Frozen evaluations over REST: the newest and every other one, byte for byte, for those of the project alone."""

import hashlib
import json

import pytest
from django.urls import reverse

from rlhf import evaluation_snapshots
from rlhf.models import EvaluationSnapshot, Run
from tests.rlhf.rows import run, snapshot

pytestmark = pytest.mark.django_db


def frozen(project, number: int, state: str = Run.State.SUCCEEDED) -> EvaluationSnapshot:
    by = run(project, "estimate", snapshot=snapshot(project, sha256=f"{number:064d}"), state=state)
    document = json.dumps({"cells": [], "num_verdicts": number}).encode()
    evaluation_snapshots.store(run=by, attempt=by.attempt, document=document)
    return EvaluationSnapshot.objects.get(sha256=hashlib.sha256(document).hexdigest())


def address(project, name: str, **parts: str) -> str:
    return reverse(name, kwargs={"project": project.slug, **parts})


def test_a_document_is_answered_byte_for_byte_and_for_ever(client, project, researcher):
    client.force_login(researcher)
    one = frozen(project, 1)
    url = address(project, "api-overview-document", sha256=one.sha256)
    answer = client.get(url)
    assert hashlib.sha256(answer.content).hexdigest() == one.sha256
    assert (answer["ETag"], answer["Content-Type"]) == (f'"{one.sha256}"', "application/json")
    assert "immutable" in answer["Cache-Control"]
    assert client.get(url, headers={"If-None-Match": answer["ETag"]}).status_code == 304

    frozen(project, 2)
    assert client.get(url).content == answer.content


def test_the_newest_is_the_one_of_the_newest_run(client, project, researcher):
    client.force_login(researcher)
    first, second = frozen(project, 1), frozen(project, 2)
    url = address(project, "api-overview-document", sha256="newest")
    assert client.get(url)["ETag"] == f'"{second.sha256}"'
    assert "immutable" not in client.get(url)["Cache-Control"]
    listed = client.get(address(project, "api-overviews")).json()["results"]
    assert {row["sha256"] for row in listed} == {first.sha256, second.sha256}
    # Verdicts were withdrawn and restored: the same document once more, by a newer run.
    by = run(project, "estimate", snapshot=first.verdicts)
    evaluation_snapshots.store(run=by, attempt=1, document=first.document.encode())
    assert evaluation_snapshots.newest(project=project) == first
    detail = client.get(address(project, "api-overview", sha256=first.sha256[:12])).json()
    assert (detail["sha256"], detail["run"]) == (first.sha256, by.pk)
    assert EvaluationSnapshot.objects.count() == 2


def test_what_is_not_there_is_said_and_what_is_not_yours_is_not_there(client, project, researcher, stranger):
    one = frozen(project, 1)
    frozen(project, 2, state=Run.State.RUNNING)
    url = address(project, "api-overview-document", sha256=one.sha256)
    assert client.get(url).status_code in (401, 403)
    client.force_login(stranger)
    assert client.get(url).status_code == 404
    client.force_login(researcher)
    assert len(client.get(address(project, "api-overviews")).json()["results"]) == 1
    for name in ("0" * 64, one.sha256[:5], "nonsense"):
        assert client.get(address(project, "api-overview", sha256=name)).status_code == 404


def test_a_document_is_parsed_once(project, django_assert_num_queries):
    one = frozen(project, 1)
    assert evaluation_snapshots.content(snapshot=one)["num_verdicts"] == 1
    with django_assert_num_queries(0):
        assert evaluation_snapshots.content(snapshot=one)["num_verdicts"] == 1
