"""The labeling API speaks the language of the request: what is asked, and what it refuses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.utils import translation

from annotate import protocols
from annotate.models import Protocol
from rlhf.access import Access
from rlhf.models import Project
from tests.annotate import rows
from tests.annotate.test_api import ROOT, client

CHINESE = {"HTTP_ACCEPT_LANGUAGE": "zh-CN"}
FLAGS = [{"name": "wrong", "labels": {"en": "Wrong", "zh-hans": "有错误"}}, {"name": "rude", "labels": {"en": "Rude"}}]


@pytest.fixture(autouse=True)
def the_usual_language_afterwards() -> Iterator[None]:
    """A request leaves its language in the thread; the next one brings its own, but a test need not make one."""
    yield
    translation.deactivate()


def test_a_task_has_its_labels_and_guidelines_in_the_language_of_the_request(project: Project, ada: Access) -> None:
    protocol = protocols.protocol(project=project, kind=Protocol.Kind.RANK)
    texts = {"guidelines": "Be fair.", "guideline_translations": {"zh-hans": "请公正。"}}
    protocols.revise(protocol=protocol, num_completions=2, flags=FLAGS, strength="four", **texts)
    rows.ranking_task(project=project, texts=["one", "two"])

    chinese = client(ada).post(f"{ROOT}/next", {}, format="json", **CHINESE).json()["next"]
    english = client(ada).post(f"{ROOT}/next", {}, format="json").json()["next"]

    assert [flag["label"] for flag in chinese["asks"]["flags"]] == ["有错误", "Rude"]
    assert [flag["label"] for flag in english["asks"]["flags"]] == ["Wrong", "Rude"]
    levels = {"zh-hans": chinese["asks"]["strength"]["levels"], "en": english["asks"]["strength"]["levels"]}
    assert {language: max(levels[language], key=lambda level: level["value"])["label"] for language in levels} == {
        "zh-hans": "明显更好",
        "en": "significantly better",
    }
    assert ("请公正。" in chinese["guidelines"]["html"], "Be fair." in english["guidelines"]["html"]) == (True, True)
    assert chinese["skip_reasons"][0]["label"] != english["skip_reasons"][0]["label"]


def test_a_refusal_is_in_the_language_of_the_request(project: Project, ada: Access) -> None:
    rows.task(project=project)
    person = client(ada)
    assignment = person.post(f"{ROOT}/next", {}, format="json").json()["next"]["assignment"]
    empty = {"submission_id": str(uuid.uuid4()), "text": "  "}

    refused = person.post(f"{ROOT}/assignments/{assignment}/submit", empty, format="json", **CHINESE)

    assert (refused.status_code, refused.json()["field"]) == (400, "text")
    assert refused.json()["detail"] == "text: 应有文字，实际为空"
