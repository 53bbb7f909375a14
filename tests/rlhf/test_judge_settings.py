"""The judges of a project's settings: readable, told apart by what shapes a verdict, refused with the field's name."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rlhf import judge_settings, judges, loop_settings
from rlhf.judge_settings import BadJudges
from rlhf.models import Judge, Project

SERVER = {"base_url": "https://models.example/v1", "model": "large"}
GPT = {"name": "gpt", "kind": "llm", "server": SERVER}
SUMS = {"name": "sums", "kind": "verifier", "verifier": "number"}


def test_judges_are_read_with_the_backend_of_their_kind() -> None:
    local = {"name": "local", "kind": "llm", "backend": "vllm", "judge_model": "folder"}
    settings = loop_settings.parse({"judges": [GPT, SUMS, local]})
    found = judge_settings.parse(settings.judges)
    assert [(one.name, one.config.backend) for one in found] == [
        ("gpt", "openai"), ("sums", "verifier"), ("local", "vllm"),
    ]  # fmt: skip
    assert found[0].configuration == {"backend": "openai", "server": SERVER}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("gpt", "judges: expected a list of at most 20 objects, found gpt"),
        (["gpt"], "judges[0]: expected an object with a name and a kind, found gpt"),
        ([{**GPT, "name": " "}], "judges[0].name: expected 1 to 80 printable characters, found ' '"),
        ([{**GPT, "kind": "people"}], "judges[0].kind: expected llm or verifier, found 'people'"),
        ([{**GPT, "kind": []}], "judges[0].kind: expected llm or verifier, found '[]'"),
        ([{**GPT, "backend": "reward_model"}], "judges[0].backend: expected openai or vllm for the kind llm, found"),
        ([{**SUMS, "verifier": "none"}], "judges[0]: verifier: expected exact, number or regex for the backend"),
        ([{**GPT, "temperature": 1}], "judges[0]: judge: unknown keys ['temperature']"),
        ([{"name": "x", "kind": "llm"}], "judges[0]: server: expected base_url and model for the backend openai"),
        ([GPT, {**SUMS, "name": "gpt"}], "judges[1].name: expected a name of its own, found 'gpt' twice"),
        ([GPT, {**GPT, "name": "again"}], "judges[1]: expected another judge, found 'gpt' once more"),
        (
            [{**GPT, "server": {**SERVER, "base_url": "https://me:secret@models.example/v1"}}],
            "judges[0].server.base_url: expected an address such as https://host/v1, without user, password, query",
        ),
    ],
)
def test_what_nobody_can_ask_is_refused(values: Any, said: str) -> None:
    with pytest.raises(BadJudges, match=re.escape(said)):
        judge_settings.parse(values)


def test_the_loop_refuses_bad_judges_under_its_own_name() -> None:
    with pytest.raises(loop_settings.BadLoopSettings, match=r"loop.judges\[0\].kind"):
        loop_settings.parse({"judges": [{**GPT, "kind": "gold"}]})
    with pytest.raises(loop_settings.BadLoopSettings, match="loop.judges: expected a list"):
        loop_settings.parse({"judges": {}})


def _judge(project: Project, name: str = "gpt", **changes: Any) -> Judge:
    one = judge_settings.parse([{**GPT, "name": name, **changes}])[0]
    return judges.configured_judge(project=project, name=one.name, config=one.config)


@pytest.mark.django_db
def test_whatever_shapes_a_verdict_makes_another_judge_and_nothing_else_does() -> None:
    project = Project.objects.create(name="P", slug="p", base_model="m", salt="s")
    first = _judge(project)
    patient = {**SERVER, "timeout_s": 5.0, "num_attempts": 9, "api_key_env": "OTHER_API_KEY", "num_parallel": 2}
    assert _judge(project, name="renamed", server=patient, max_unreadable_share=0.1) == first
    first.refresh_from_db()
    assert first.name == "renamed" and first.kind == "llm"
    changes: list[dict[str, Any]] = [
        {"question": "Which one? End with [[A]], [[B]] or [[C]]."},
        {"question": "Which one? End with [[A]], [[B]] or [[C]]"},
        {"verdict": "logprobs"},
        {"max_reply_tokens": 511},
        {"max_characters": 10},
        {"thinking_end": "</think>"},
        {"server": {**SERVER, "model": "larger"}},
        {"server": {**SERVER, "base_url": "https://models.example/v2"}},
        {"server": {**SERVER, "base_url": "https://models.example:8000/v1"}},
    ]
    others = {_judge(project, **change).pk for change in changes}
    assert len(others) == len(changes) and first.pk not in others
    assert first.settings["model"] == "large" and first.settings["server"] == "models.example/v1"
    assert "[[C]] where neither is" in first.settings["question"] and "{mark}" in first.settings["template"]
