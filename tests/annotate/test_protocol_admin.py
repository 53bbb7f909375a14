"""Protocols are built in the administration without code, revised with a history, and given tasks."""

from __future__ import annotations

import io
import json
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotate import protocols, submissions
from annotate.models import Protocol, Task
from annotate.presets import PRESETS
from rlhf.access import Access
from rlhf.models import Project, Prompt, Run
from tests.annotate import rows
from tests.annotate.rows import NOW
from tests.annotate.test_submissions import lease


@pytest.fixture
def boss(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("boss"))
    return client


def change_url(protocol: Protocol) -> str:
    return reverse("admin:annotate_protocol_change", args=[protocol.pk])


def form_of(boss: Client, protocol: Protocol) -> dict[str, object]:
    """What the browser would send back without a change."""
    page = boss.get(change_url(protocol))
    form = page.context["adminform"].form
    sent = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    sent = {name: form.fields[name].prepare_value(value) for name, value in sent.items()}
    inlines = {"revisions-TOTAL_FORMS": 0, "revisions-INITIAL_FORMS": 0}
    return {**{name: value for name, value in sent.items() if value is not None and value is not False}, **inlines}


def errors_of(page: object) -> dict[str, list[str]]:
    return dict(page.context["adminform"].form.errors)  # type: ignore[attr-defined]


def build(boss: Client, project: Project, preset: str) -> Protocol:
    add = reverse("admin:annotate_protocol_add")
    answer = boss.post(add, {"project": project.pk, "preset": preset, "name": f"Our {preset}"})
    made = Protocol.objects.get(project=project, name=f"Our {preset}")
    assert (answer.status_code, answer.url) == (302, change_url(made))
    return made


@pytest.mark.parametrize("preset", PRESETS)
def test_a_protocol_begins_with_a_preset_and_is_saved_again_unchanged(
    boss: Client, project: Project, preset: str
) -> None:
    made = build(boss, project, preset)
    assert {name: getattr(made, name) for name in PRESETS[preset].asks} == dict(PRESETS[preset].asks)
    assert (made.is_default, made.revision, made.guideline_revision) == (True, 1, 1)

    as_browsers_do = {
        name: value.replace("\n", "\r\n") if isinstance(value, str) else value
        for name, value in form_of(boss, made).items()
    }
    sent = boss.post(change_url(made), as_browsers_do)

    made.refresh_from_db()
    assert (sent.status_code, made.revision) == (302, 1)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_speaks_english_and_chinese(preset: str) -> None:
    asks = PRESETS[preset].asks
    texts = [asks["guideline_translations"]["zh-hans"]]
    for name in ("flags", "skip_reasons"):
        texts += [choice["labels"]["zh-hans"] for choice in asks.get(name, [])]
    assert all(re.search(r"[\u4e00-\u9fff]", text) for text in texts)
    assert len(asks["guidelines"].split()) > 90 and len(asks["skip_reasons"]) >= 4


def test_every_field_is_edited_without_code_and_the_history_says_what_changed(boss: Client, project: Project) -> None:
    made = build(boss, project, "kind:rank")
    changes = {
        "flags": "rude | Is rude | 粗鲁\r\n\r\nwrong | Is wrong", "guidelines": "Be fair", "num_completions": 3,
        "guidelines_zh_hans": "请公正", "allow_ties": "", "reason_min_characters": 20, "gold_percent": 10,
    }  # fmt: skip

    assert boss.post(change_url(made), {**form_of(boss, made), **changes}).status_code == 302

    made.refresh_from_db()
    assert made.flags == [
        {"name": "rude", "labels": {"en": "Is rude", "zh-hans": "粗鲁"}},
        {"name": "wrong", "labels": {"en": "Is wrong"}},
    ]
    assert (made.allow_ties, made.num_completions, made.reason_min_characters, made.gold_percent) == (False, 3, 20, 10)
    assert (made.guideline_translations, made.revision, made.guideline_revision) == ({"zh-hans": "请公正"}, 2, 2)
    page = boss.get(change_url(made)).content.decode()
    assert "allow_ties: True → False" in page and "flags: none → rude, wrong" in page
    assert "wrong | Is wrong" in page


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("flags", "rude | Is rude\nBad Name | x\nrude | again\nlonely", "line 2: expected a name of at most 40 small"),
        ("flags", "rude | Is rude\nBad Name | x\nrude | again\nlonely", "line 3: expected a name of its own, found"),
        ("flags", "rude | Is rude\nBad Name | x\nrude | again\nlonely", "line 4: expected name | English text | "),
        ("skip_reasons", "a | b | c | d", "line 1: expected name | English text"),
        ("flags", "\n\nrude | | 粗鲁", "line 3: expected an English text, found none"),
        ("strength", "four", "asked of two answers only, found 4 to rank"),
        ("ask_pair_safety", "on", "asked of two answers only"),
        ("num_completions", 12, "from 2 to 9, found 12"),
        ("reason_min_characters", 5_000, "from 0 to 2,000, found 5000"),
        ("guidelines", "x" * 20_001, "20000"),
        ("name", " ", "required"),
    ],
)
def test_what_is_wrong_is_named_at_its_field(
    boss: Client, project: Project, field: str, value: object, message: str
) -> None:
    made = build(boss, project, "kind:rank")
    page = boss.post(change_url(made), {**form_of(boss, made), field: value})
    assert message in " ".join(errors_of(page)[field])
    made.refresh_from_db()
    assert made.revision == 1


def test_a_name_is_taken_once_in_a_project(boss: Client, project: Project) -> None:
    made, other = build(boss, project, "arena"), build(boss, project, "llama2")
    again = {"project": project.pk, "preset": "arena", "name": made.name}
    assert "free" in errors_of(boss.post(reverse("admin:annotate_protocol_add"), again))["name"][0]
    renamed = boss.post(change_url(other), {**form_of(boss, other), "name": made.name})
    assert "no other protocol" in errors_of(renamed)["name"][0]


def test_a_protocol_to_write_asks_nothing_about_answers(boss: Client, project: Project) -> None:
    made = build(boss, project, "kind:demonstrate")
    fields = boss.get(change_url(made)).context["adminform"].form.fields
    assert "categories" in fields and not {"flags", "strength", "gold_percent", "num_completions"} & set(fields)
    assert boss.post(change_url(made), {**form_of(boss, made), "categories": "poem | A poem"}).status_code == 302
    with pytest.raises(protocols.BadProtocol, match="no answers to judge"):
        protocols.revise(protocol=made, rate_completions=True)


def test_new_tasks_of_a_kind_are_opened_under_the_protocol_that_is_chosen_for_them(
    boss: Client, project: Project
) -> None:
    first, second = build(boss, project, "instructgpt"), build(boss, project, "llama2")
    assert protocols.protocol(project=project, kind="rank") == first

    chosen = {"action": "use_by_default", "_selected_action": [second.pk]}
    boss.post(reverse("admin:annotate_protocol_changelist"), chosen)

    assert protocols.protocol(project=project, kind="rank") == second
    both = {"action": "use_by_default", "_selected_action": [first.pk, second.pk]}
    boss.post(reverse("admin:annotate_protocol_changelist"), both)
    assert list(Protocol.objects.filter(kind="rank", is_default=True)) == [second]


def test_tasks_to_write_prompts_are_opened_and_bring_prompts(boss: Client, project: Project, ada: Access) -> None:
    made = build(boss, project, "kind:prompt")
    boss.post(reverse("admin:annotate_protocol_prompts", args=[made.pk]), {"num": 3})
    assert Task.objects.filter(protocol=made, prompt=None).count() == 3
    held = lease(ada)
    answer = submissions.Answer(submission_id=rows.new_id(), text="Tell me about tulips")
    submissions.submit(access=ada, assignment_id=held.pk, answer=answer, now=NOW)
    assert Prompt.objects.get(author=ada.user).messages == [{"role": "user", "content": "Tell me about tulips"}]


GOLD = [
    {"prompt": "Greet", "completions": ["Go away", "Hello"], "ranks": [2, 1], "explanation": "**Kind** wins"},
    {"prompt": "Part", "completions": ["Bye", "Go"], "ranks": [1, 2], "safety": "both"},
    {"prompt": "Tie", "completions": ["Bye", "Go"], "ranks": [1, 1]},
    {"prompt": "One", "completions": ["Bye"], "ranks": [1]},
    {"prompt": "Flag", "completions": ["a", "b"], "ranks": [1, 2], "flags": [[], ["rude"]]},
    {"prompt": "Extra", "completions": ["a", "b"], "ranks": [1, 2], "model": "v1"},
]


def gold_file(lines: list[object]) -> io.BytesIO:
    file = io.BytesIO("\n".join(json.dumps(line) for line in lines).encode())
    file.name = "gold.jsonl"
    return file


def test_gold_comes_in_by_file_once_and_bad_rows_are_named(boss: Client, project: Project) -> None:
    made = build(boss, project, "llama2")
    url = reverse("admin:annotate_protocol_gold", args=[made.pk])
    page, again = (boss.post(url, {"purpose": "gold", "file": gold_file(GOLD)}).content.decode() for _ in range(2))

    assert "2 tasks added" in page and "4 rows left out" in page
    for line, reason in ((3, "no ties"), (4, "expected a list of 2"), (5, "does not ask for it"), (6, "&#x27;model")):
        assert re.search(rf"line {line}: [^<]*{reason}", page), (line, reason, page)
    assert "0 tasks added" in again and "2 were there already" in again
    first, second = Task.objects.order_by("id")
    assert (first.purpose, first.expected, first.explanation) == ("gold", {"ranks": [2, 1]}, "**Kind** wins")
    assert second.expected == {"ranks": [1, 2], "safety": "both"}
    shown = list(first.completions.order_by("id").values_list("text", flat=True))
    assert shown == ["Go away", "Hello"]
    assert Run.objects.get().kind == "import" and Prompt.objects.get(pk=first.prompt_id).source == "gold"


def test_gold_is_only_for_protocols_that_show_answers(boss: Client, project: Project) -> None:
    made = build(boss, project, "kind:demonstrate")
    assert boss.get(reverse("admin:annotate_protocol_gold", args=[made.pk])).status_code == 403


def test_staff_without_the_permission_neither_import_nor_open(client: Client, project: Project) -> None:
    rank = protocols.protocol(project=project, kind="rank")
    write = protocols.protocol(project=project, kind="prompt")
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    for name, protocol in (("gold", rank), ("prompts", write)):
        assert client.get(reverse(f"admin:annotate_protocol_{name}", args=[protocol.pk])).status_code == 403
