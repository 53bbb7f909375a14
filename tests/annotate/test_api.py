"""The labeling door, up the ladder: works, anonymous, wrong role, wrong owner, bad input, missing, twice."""

from __future__ import annotations

import json
import uuid
from html.parser import HTMLParser

import pytest
from django.test import Client
from rest_framework.test import APIClient

from annotate.models import Assignment, Demonstration
from rlhf.access import Access
from rlhf.models import Project, ProjectToken, Role, Scope
from tests.annotate import rows

ROOT = "/api/v1/labeling/letters"
ROUTES = [("post", "next"), ("put", "assignments/1/draft"), ("post", "assignments/1/submit")]
ROUTES += [("post", "assignments/1/skip"), ("post", "assignments/1/renew"), ("post", "prefetch")]


def client(who: Access, scope: str = Scope.LABEL) -> APIClient:
    _, token = ProjectToken.objects.create(user=who.user, project=who.project, scope=scope)
    made = APIClient()
    made.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return made


def send(to: APIClient, path: str, body: dict | None = None, method: str = "post"):
    return getattr(to, method)(f"{ROOT}/{path}", body or {}, format="json")


def an_answer(**answer) -> dict:
    return {"submission_id": str(uuid.uuid4()), "active_s": 1.5, **answer}


def test_a_ranking_task_is_shown_blind(project: Project, ada: Access) -> None:
    task = rows.ranking_task(project=project, texts=["**bold**", "plain"])
    shown = send(client(ada), "next").json()["next"]

    assert set(shown) == {
        "assignment", "task", "kind", "prompt", "completions", "asks", "skip_reasons", "guidelines", "content_warning",
        "qualification", "draft", "draft_saved_at", "revises", "lease_expires_at", "progress",
    }  # fmt: skip
    assert [(one["key"], set(one)) for one in shown["completions"]] == [
        ("a", {"key", "html", "text"}),
        ("b", {"key", "html", "text"}),
    ]
    assert {one["text"]: one["html"].strip() for one in shown["completions"]} == {
        "**bold**": '<p dir="auto"><strong>bold</strong></p>',
        "plain": '<p dir="auto">plain</p>',
    }
    assert shown["prompt"][0]["content"] == task.prompt.messages[0]["content"]
    assert (shown["kind"], shown["draft"], shown["revises"], shown["qualification"]) == ("rank", None, None, None)
    assert shown["asks"] == {
        "ties": True, "all_bad": False, "strength": None, "rating": None, "flags": [], "aspects": [],
        "pair_safety": False, "reason": None, "edit": False, "categories": [],
    }  # fmt: skip
    assert shown["skip_reasons"][0] == {"name": "unknown_subject", "label": "I know too little about this"}
    assert shown["guidelines"]["revision"] == 1 and shown["guidelines"]["must_read"] is False
    assert shown["progress"] == {"done_today": 0, "open": 1}


def test_a_draft_comes_back_with_the_task_and_an_answer_brings_the_next(project: Project, ada: Access) -> None:
    rows.task(project=project)
    rows.task(project=project)
    labeler = client(ada)
    first = send(labeler, "next").json()["next"]["assignment"]
    saved = send(labeler, f"assignments/{first}/draft", {"draft": {"text": "Dea"}}, "put").json()
    assert (saved["assignment"], saved["state"]) == (first, "leased")
    assert send(labeler, "next").json()["next"]["draft"] == {"text": "Dea"}

    reply = send(labeler, f"assignments/{first}/submit", an_answer(text="Dear you")).json()

    assert reply["stored"]["answer"] == {"text": "Dear you"} and reply["stored"]["state"] == "submitted"
    assert reply["next"]["assignment"] != first
    assert reply["progress"] == {"done_today": 1, "open": 1}
    last = send(labeler, f"assignments/{reply['next']['assignment']}/skip", {"reason": "unclear"}).json()
    assert (last["next"], last["progress"]) == (None, {"done_today": 1, "open": 1})


def test_one_request_stores_an_answer_confirms_what_the_page_holds_and_brings_the_one_after(
    project: Project, ada: Access
) -> None:
    for _ in range(4):
        rows.task(project=project)
    labeler = client(ada)
    shown = send(labeler, "next").json()["next"]
    held = send(labeler, "prefetch").json()["prefetched"]
    answer = an_answer(text="Dear you", holds=held["assignment"])

    reply = send(labeler, f"assignments/{shown['assignment']}/submit", answer).json()

    assert (reply["next"], reply["confirmed"]) == (None, held["assignment"])
    assert reply["prefetched"]["task"] not in (shown["task"], held["task"])
    renewed = send(labeler, f"assignments/{held['assignment']}/renew").json()
    assert (set(renewed), renewed["state"]) == ({"state", "lease_expires_at"}, "leased")
    skipped = {"reason": "unclear", "note": "cut off", "holds": reply["prefetched"]["assignment"]}
    last = send(labeler, f"assignments/{held['assignment']}/skip", skipped).json()
    assert (last["next"], last["confirmed"]) == (None, reply["prefetched"]["assignment"])
    assert Assignment.objects.get(pk=held["assignment"]).skip_reason == "unclear: cut off"
    assert send(labeler, "next", {"holds": "x"}).status_code == 400


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_signed_out_is_refused(project: Project, method: str, path: str) -> None:
    assert send(APIClient(), path, method=method).status_code == 401


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_session_without_a_csrf_token_is_refused(project: Project, ada: Access, method: str, path: str) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ada.user)
    reply = getattr(browser, method)(f"{ROOT}/{path}", "{}", content_type="application/json")
    assert (reply.status_code, "CSRF" in reply.json()["detail"]) == (403, True)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_researcher_does_not_label(project: Project, method: str, path: str) -> None:
    researcher = rows.member(project=project, name="remy", role=Role.RESEARCHER)
    assert send(client(researcher), path, method=method).status_code == 403


@pytest.mark.parametrize("scope", [Scope.READ, Scope.WRITE])
def test_a_token_for_datasets_does_not_label(project: Project, ada: Access, scope: str) -> None:
    reply = send(client(ada, scope), "next")
    assert reply.status_code == 403 and "expected a token of scope label" in reply.json()["detail"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_another_project_is_not_there(project: Project, method: str, path: str) -> None:
    stranger = rows.member(project=rows.project(slug="other"), name="sven", role=Role.MANAGER)
    assert send(client(stranger), path, method=method).status_code == 404


def test_another_persons_assignment_is_not_there(project: Project, ada: Access, bo: Access) -> None:
    rows.task(project=project)
    held = send(client(ada), "next").json()["next"]["assignment"]
    other = client(bo)
    replies = [
        send(other, f"assignments/{held}/draft", {"draft": {"text": "mine now"}}, "put"),
        send(other, f"assignments/{held}/submit", an_answer(text="mine now")),
        send(other, f"assignments/{held}/skip", {"reason": "not mine"}),
        send(other, f"assignments/{held}/renew"),
    ]
    assert {reply.status_code for reply in replies} == {404}
    assert Assignment.objects.get().draft is None and not Demonstration.objects.exists()


def test_the_same_persons_assignment_in_another_project_is_not_there(project: Project, ada: Access) -> None:
    elsewhere = rows.project(slug="other")
    also_ada = rows.member(project=elsewhere, name="ada")
    rows.task(project=elsewhere)
    held = client(also_ada).post("/api/v1/labeling/other/next").json()["next"]["assignment"]
    assert send(client(ada), f"assignments/{held}/submit", an_answer(text="hello")).status_code == 404


@pytest.mark.parametrize(
    ("path", "method", "body", "expected"),
    [
        ("submit", "post", {}, "submission_id"),
        ("submit", "post", {"submission_id": "7", "text": "x"}, "submission_id"),
        ("submit", "post", an_answer(), "text"),
        ("submit", "post", an_answer(text=" "), "expected a text, found nothing in it"),
        ("submit", "post", an_answer(ranks={"a": 1}), "ranks"),
        ("submit", "post", an_answer(text="x", safe=1), "safe"),
        ("submit", "post", an_answer(text="x" * 100_001), "100,000"),
        ("submit", "post", {**an_answer(text="x"), "active_s": -1}, "active_s"),
        ("skip", "post", {}, "reason"),
        ("skip", "post", {"reason": " "}, "reason"),
        ("draft", "put", {"text": "x"}, "draft"),
        ("draft", "put", {"draft": [1]}, "draft"),
        ("draft", "put", {"draft": {"text": "x" * 600_001}}, "at most 600,000 bytes"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected(
    project: Project, ada: Access, path: str, method: str, body: dict, expected: str
) -> None:
    rows.task(project=project)
    labeler = client(ada)
    held = send(labeler, "next").json()["next"]["assignment"]
    reply = send(labeler, f"assignments/{held}/{path}", body, method)
    assert reply.status_code == 400
    assert expected in json.dumps(reply.json())


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"[" * 200_000, 400), (b"[1]", 400), (b'"' + b"x" * 1_000_001 + b'"', 413)],
)
def test_broken_and_endless_bodies_are_refused(project: Project, ada: Access, content: bytes, status: int) -> None:
    rows.task(project=project)
    labeler = client(ada)
    held = send(labeler, "next").json()["next"]["assignment"]
    reply = labeler.put(f"{ROOT}/assignments/{held}/draft", content, content_type="application/json")
    assert reply.status_code == status


@pytest.mark.parametrize("number", [2**63, 10**30])
def test_an_assignment_of_a_number_that_no_row_has_is_not_there(ada: Access, number: int) -> None:
    for path, method in (("renew", "post"), ("draft", "put"), ("submit", "post"), ("skip", "post")):
        body = {"draft": {}, "reason": "no"} if path != "submit" else an_answer(text="x")
        assert send(client(ada), f"assignments/{number}/{path}", body, method).status_code == 404


def test_twice_is_once_and_another_answer_is_a_conflict(project: Project, ada: Access) -> None:
    rows.task(project=project)
    labeler = client(ada)
    held = send(labeler, "next").json()["next"]["assignment"]
    answer = an_answer(text="Dear you")

    first, again = (send(labeler, f"assignments/{held}/submit", answer) for _ in range(2))
    second_tab = send(labeler, f"assignments/{held}/submit", an_answer(text="Dear me"))
    same_id = send(labeler, f"assignments/{held}/submit", {**answer, "text": "Dear me"})
    late_draft = send(labeler, f"assignments/{held}/draft", {"draft": {"text": "D"}}, "put")

    assert (first.status_code, again.status_code, first.json()) == (200, 200, again.json())
    for refused in (second_tab, same_id, late_draft):
        assert refused.status_code == 409
        assert refused.json()["stored"]["answer"] == {"text": "Dear you"}
    assert Demonstration.objects.count() == 1


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt&colon;alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    '[click](https://example.org "\\" onmouseover=alert(1)")',
    "![picture](https://example.org/track.png)",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    r"$\text{<script>alert(1)</script>}$",
    r"$\href{javascript:alert(1)}{x}$",
    '```"onmouseover=alert(1)\n</code><script>alert(1)</script>\n```',
    "```html\n<script>alert(1)</script>\n```",
    "<iframe src=//example.org></iframe><form action=//example.org><input name=password>",
    "<style>*{display:none}</style><link rel=stylesheet href=//example.org>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markup_in_a_completion_arrives_harmless(project: Project, ada: Access, text: str) -> None:
    rows.ranking_task(project=project, texts=[text, "fine"])
    shown = send(client(ada), "next").json()["next"]
    found = next(one for one in shown["completions"] if one["text"] == text)["html"]
    assert_harmless(found)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def assert_harmless(found: str) -> None:
    """What a browser's parser sees has only tags and attributes that can't act."""
    tags = Tags()
    tags.feed(found)
    for tag, attributes in tags.found:
        assert tag not in {
            "script",
            "img",
            "svg",
            "style",
            "iframe",
            "form",
            "input",
            "link",
            "object",
            "embed",
            "base",
        }
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "id", "src")]
        assert (attributes.get("href") or "https:").split(":")[0] in ("http", "https", "mailto")
