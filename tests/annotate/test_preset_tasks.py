"""A labeler completes a task of every preset; wrong answers name their field and store nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from annotate import batches
from annotate.models import Assignment, Ranking, Submission
from annotate.presets import PRESETS
from rlhf.access import Access
from rlhf.models import Project
from tests.annotate import rows
from tests.annotate.test_api import an_answer, client, send
from tests.annotate.test_protocol_admin import boss, build

__all__ = ("boss",)  # a fixture

FOUR = {"ranks": {"a": 2, "b": 1, "c": 2, "d": 4}}
RATED = {"ratings": {"a": 5, "b": 7, "c": 5, "d": 1}, "flags": {"a": [], "b": [], "c": ["hallucination"], "d": []}}
TWO = {"ranks": {"a": 2, "b": 1}}
TIE = {"ranks": {"a": 1, "b": 1}}
SAFE = {"strength": 3, "safety": "both"}
REASON = {"reason": "A names the wrong year, and B gives all that was asked for."}
RIGHT: dict[str, dict[str, Any]] = {
    "instructgpt": {**FOUR, **RATED},
    "llama2": {**TWO, **SAFE},
    "llama3": {**TWO, "strength": 4, "edited": {"key": "b", "text": "Better still"}},
    "helpsteer": {**TWO, **REASON, "strength": 2},
    "arena": {**TIE, "all_bad": True},
}
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("instructgpt", FOUR, "ratings"),
    ("instructgpt", {**FOUR, **RATED, "ranks": {"a": 2, "b": 1, "c": 2, "d": 5}}, "ranks"),
    ("instructgpt", {**FOUR, **RATED, "flags": {**RATED["flags"], "a": ["dull"]}}, "flags"),
    ("instructgpt", {**FOUR, **RATED, "strength": 1}, "strength"),
    ("llama2", {**TWO, "safety": "both"}, "strength"),
    ("llama2", {**TIE, **SAFE}, "ranks"),
    ("llama2", {**TWO, "strength": 3}, "safety"),
    ("llama3", {**TWO, "strength": 4, "edited": {"key": "a", "text": "Better"}}, "edited"),
    ("helpsteer", {**TWO, "strength": 2, "reason": "B is better."}, "reason"),
    ("arena", {**TWO, "all_bad": True}, "ranks"),
    ("arena", {**TWO, "ranks": {"a": 1}}, "ranks"),
    ("arena", {**TWO, "colour": "blue"}, "colour"),
]


def handed_out(boss: Client, project: Project, preset: str, ada: Access) -> dict[str, Any]:
    build(boss, project, preset)
    prompt = rows.prompts(project=project, num=1)[0]
    made = rows.completions(prompt=prompt, version=rows.version(project=project), texts=list("wxyz"))
    batches.open_rankings(project=project, batch="r", iteration=0, completions=made)
    return send(client(ada), "next").json()["next"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_labeler_completes_a_task_of_every_preset(boss: Client, project: Project, ada: Access, preset: str) -> None:
    task = handed_out(boss, project, preset, ada)
    assert len(task["completions"]) == PRESETS[preset].asks["num_completions"]
    reply = send(client(ada), f"assignments/{task['assignment']}/submit", an_answer(**RIGHT[preset]))
    assert reply.status_code == 200, reply.json()
    ranking, said = Ranking.objects.get(), RIGHT[preset]
    assert (ranking.strength, ranking.all_bad) == (said.get("strength"), said.get("all_bad", False))
    assert ranking.edited_text == said.get("edited", {}).get("text", "")
    assert Submission.objects.get().body.keys() == said.keys()


@pytest.mark.parametrize(("preset", "said", "field"), WRONG)
def test_a_wrong_answer_names_its_field_and_nothing_is_stored(
    boss: Client, project: Project, ada: Access, preset: str, said: dict[str, Any], field: str
) -> None:
    task = handed_out(boss, project, preset, ada)
    reply = send(client(ada), f"assignments/{task['assignment']}/submit", an_answer(**said))
    assert (reply.status_code, reply.json()["field"]) == (400, field)
    assert field in reply.json()["detail"]
    assert not Submission.objects.exists() and not Ranking.objects.exists()
    assert Assignment.objects.get().state == "leased"


@pytest.mark.parametrize(("language", "word"), [("en", "significantly better"), ("zh-hans", "")])
def test_labels_guidelines_and_skip_reasons_are_in_the_language_of_the_request(
    boss: Client, project: Project, ada: Access, language: str, word: str
) -> None:
    handed_out(boss, project, "llama2", ada)
    labeler = client(ada)
    task = labeler.post("/api/v1/labeling/letters/next", HTTP_ACCEPT_LANGUAGE=language).json()["next"]
    chinese = language != "en"
    assert ("请选出" in task["guidelines"]["html"]) is chinese
    assert ("隐私" in task["skip_reasons"][4]["label"]) is chinese
    assert word in task["asks"]["strength"]["levels"][0]["label"]
    assert task["guidelines"]["must_read"] is True
