"""The overview: chart, table and CSV hold the same rows; a permalink stays as it is."""

import csv
import io
import json
import re

import pytest
from django.urls import reverse

from rlhf.figures import plain
from rlhf.models import Run, RunMetric
from rlhf.overview.document import Document
from rlhf.overview.links import Links
from rlhf.overview.page import FIGURES, choose, overview
from tests.rlhf import documents
from tests.rlhf.documents import PEOPLE, V0, V1, cell, document, version
from tests.rlhf.rows import run


def test_versions_are_in_numeric_order_and_rivals_last():
    versions = [version(n + 1, f"v{n}", n) for n in (10, 2, 0, 1)] + [version(99, "gpt-4")]
    made = Document(document(versions=versions, judges=[], cells=[]), "")
    assert [row["name"] for row in made.versions.values()] == ["v0", "v1", "v2", "v10", "gpt-4"]


def shown_of(content, **asked):
    made = Document(content, "a" * 64)
    return choose(document=made, links=Links(project="tulip", sha256="a" * 64), **asked)


def test_a_choice_changes_no_number():
    content = documents.full(4)
    everything = [
        overview(shown_of(content, judge=str(by), evaluation=str(evaluation)))
        for by in (1, 2, 3, 99)
        for evaluation in (1, 6, 99)
    ]
    for key in ("timeline", "regressions", "reliability", "confusion"):
        assert len({json.dumps(one.figures[key].data, sort_keys=True) for one in everything}) == 1
    for one in everything:
        held_out = {
            (row["candidate"], row["baseline"]): row
            for row in content["cells"]
            if row["judge"] == one.judge["id"] and row["split"] == "held_out"
        }
        assert len(one.figures["matrix"].rows) == 2 * len(held_out)
        assert {row["win_rate"] for row in one.figures["matrix"].rows} == {
            rate for row in held_out.values() for rate in (row["win_rate"], 1 - row["win_rate"])
        }
        assert (one.verdict, one.facts) == (everything[0].verdict, everything[0].facts)


def test_the_matrix_is_antisymmetric():
    rows = {(row["version"], row["opponent"]): row for row in FIGURES["matrix"](shown_of(documents.full(3))).rows}
    for (one, other), row in rows.items():
        turned = rows[other, one]
        assert row["win_rate"] + turned["win_rate"] == pytest.approx(1) and row["low"] == pytest.approx(
            1 - turned["high"]
        )
        assert (row["wins"], row["losses"], row["unsettled"]) == (turned["losses"], turned["wins"], turned["unsettled"])
        assert row["href"] == turned["href"]


def test_flags_say_who_was_trained_on_the_judge_and_who_is_of_its_family():
    content = documents.full(2)
    content["versions"][1]["family"] = "gpt"
    rows = {row["judge"]: row for row in FIGURES["judges"](shown_of(content)).rows}
    assert rows["reward model rm1"]["flags"] == "reward that v1 was trained on"
    assert rows["gpt-4"]["flags"] == "same family as v1"
    assert rows["people"]["flags"] == ""


def test_judges_stand_beside_people_and_beside_themselves():
    rows = {row["judge"]: row for row in FIGURES["agreement"](shown_of(documents.full(2))).rows}
    assert set(rows) == {"reward model rm1", "gpt-4"}
    assert rows["gpt-4"]["position"] == "same winner in both orders: 90\N{NO-BREAK SPACE}%; no lean found"
    assert rows["reward model rm1"]["position"] == "scores each answer alone"
    assert (rows["gpt-4"]["agreement"], rows["gpt-4"]["kappa"], rows["gpt-4"]["ceiling"]) == (0.7, 0.44, 0.72)


@pytest.mark.parametrize(("overlap", "is_said"), [(0.02, True), (0.3, False), (None, False)])
def test_where_one_side_is_nearly_always_longer_equal_length_is_said_to_be_extrapolated(overlap, is_said):
    content = documents.full(2)
    for row in content["controls"]:
        row["overlap"] = overlap
    conclusion = FIGURES["controls"](shown_of(content)).conclusion
    assert ("For v1 equal length is extrapolated" in conclusion) == is_said


def test_pieces_may_be_missing():
    content = document(versions=[V0, V1], judges=[PEOPLE], cells=[cell(1, 2, 1, 1)])
    bare = {key: content[key] for key in ("versions", "judges", "cells")}
    for one in (content, bare):
        figures = overview(shown_of(one)).figures
        assert all(figures[key].needs for key in ("forest", "slices", "controls", "regressions", "confusion"))
        assert len(figures["timeline"].rows) == 2


@pytest.fixture
def stored(project, judged):
    return project.evaluation_snapshots.get()


TABLE = re.compile(r'<div class="figure"[^>]* id="(?P<key>[a-z]+)".*?<tbody>(?P<body>.*?)</tbody>', re.S)


@pytest.mark.parametrize(
    "figure", ["timeline", "forest", "gaps", "matrix", "slices", "controls", "judges", "agreement", "confusion"]
)
def test_the_csv_is_the_table_is_what_the_chart_draws(figure, client, stored, researcher):
    client.force_login(researcher)
    page = client.get(reverse("evaluation-snapshot", args=["tulip", stored.sha256]))
    found = page.context["overview"].figures[figure]
    table = next(match["body"] for match in TABLE.finditer(page.content.decode()) if match["key"] == figure)
    in_table = [re.findall(r'<data value="([^"]*)">', row) for row in table.split("</tr>") if row.strip()]
    answer = client.get(found.csv_url)
    in_csv = list(csv.reader(io.StringIO(answer.getvalue().decode())))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert in_csv[0] == [column.key for column in found.columns]
    assert in_csv[1:] == in_table and len(in_table) == len(found.rows) > 0
    drawn = json.loads(json.dumps(found.data))["rows"]
    assert in_csv[1:] == [[plain(row.get(column.key)) for column in found.columns] for row in drawn]


def test_the_permalink_stays_as_it_is_after_later_verdicts(client, project, stored, researcher, manager):
    client.force_login(researcher)
    addresses = [
        reverse("evaluation-snapshot-json", args=["tulip", stored.sha256]),
        *(reverse("evaluation-snapshot-csv", args=["tulip", stored.sha256, figure]) for figure in FIGURES),
    ]
    before = [client.get(address) for address in addresses]
    page = client.get(reverse("evaluation-snapshot", args=["tulip", stored.sha256]))
    later = documents.store(project, documents.document(versions=[V0], judges=[], cells=[]))
    client.logout()
    client.force_login(manager)
    after = [client.get(address) for address in addresses]
    assert [answer.status_code for answer in after] == [200] * len(addresses)
    assert [answer.getvalue() for answer in after] == [answer.getvalue() for answer in before]
    assert before[0].content.decode() == stored.document
    assert before[0]["ETag"] == f'"{stored.sha256}"' and "immutable" in before[0]["Cache-Control"]
    again = client.get(reverse("evaluation-snapshot", args=["tulip", stored.sha256]))
    assert {key: one.data for key, one in again.context["overview"].figures.items()} == {
        key: one.data for key, one in page.context["overview"].figures.items()
    }
    assert client.get(addresses[0], headers={"If-None-Match": f'"{stored.sha256}"'}).status_code == 304
    assert client.get(reverse("project", args=["tulip"])).context["snapshot"] == later


@pytest.mark.parametrize("name", ["evaluation-snapshot", "evaluation-snapshot-json", "evaluation-snapshot-csv"])
def test_a_frozen_evaluation_is_its_projects_own(name, client, stored, researcher, labeler, stranger, other_project):
    more = ["timeline"] if name.endswith("csv") else []
    address = reverse(name, args=["tulip", stored.sha256, *more])
    assert client.get(address).status_code == 302
    for user, status in ((researcher, 200), (labeler, 403), (stranger, 404)):
        client.force_login(user)
        assert client.get(address).status_code == status
    client.force_login(stranger)
    assert client.get(address.replace("/tulip/", "/rose/")).status_code == 404
    client.force_login(researcher)
    assert client.get(reverse(name, args=["tulip", "0" * 64, *more])).status_code == 404


def test_a_figure_that_is_not_there_is_missing(client, stored, researcher):
    client.force_login(researcher)
    assert client.get(reverse("evaluation-snapshot-csv", args=["tulip", stored.sha256, "nothing"])).status_code == 404


def test_without_a_frozen_evaluation_the_page_says_what_comes_next(client, evaluation, researcher):
    client.force_login(researcher)
    body = client.get(reverse("project", args=["tulip"])).content.decode()
    assert "No two versions have been compared yet." in body and "The first one follows the first round" in body


def test_a_document_without_comparisons_is_an_empty_page_too(client, project, researcher):
    documents.store(project, documents.document(versions=[V0], judges=[], cells=[]))
    client.force_login(researcher)
    assert "No two versions have been compared yet." in client.get(reverse("project", args=["tulip"])).content.decode()


def test_names_of_versions_and_judges_can_not_be_markup(client, project, researcher, judged):
    hostile = "</script><script>alert(1)</script>"
    content = documents.full(2, judged.baseline_id, {(judged.candidate_id, judged.baseline_id): judged.pk})
    content["versions"][1]["name"] = content["judges"][1]["name"] = hostile
    documents.store(project, content)
    client.force_login(researcher)
    assert "<script>alert" not in client.get(reverse("project", args=["tulip"])).content.decode()


def test_what_is_being_judged_is_followed(client, judged, stored, researcher):
    client.force_login(researcher)
    by = run(
        judged.project, "judge", Run.State.RUNNING, evaluation=judged, judge=judged.project.judges.get(kind="people")
    )
    url = reverse("project-judging", args=["tulip"])
    asked = {"sha256": stored.sha256}
    quiet = client.get(url, asked)
    assert "no number yet" in quiet.content.decode() and "Newer numbers" not in quiet.content.decode()
    for step in (1, 2):
        values = {"win_rate": 0.5, "low": 0.3, "high": 0.7, "wins": step, "ties": 1, "losses": 2, "unsettled": 0}
        RunMetric.objects.create(run=by, attempt=1, step=step, values=values)
    moved = client.get(url, asked, headers={"If-None-Match": quiet["ETag"]})
    assert moved.status_code == 200 and "2 won, 1 tied, 2 lost, 0 unsettled of 5 prompts" in moved.content.decode()
    (band,) = moved.context["bands"]
    assert (band["version"], band["against"], band["kind"], band["low"]) == ("v1", "the first version", "people", 0.3)
    assert client.get(url, asked, headers={"If-None-Match": moved["ETag"]}).status_code == 304
    assert "Newer numbers" in client.get(url, {"sha256": "0" * 64}).content.decode()


def test_the_overview_asks_the_database_no_more_for_more_versions(
    client, project, judged, researcher, django_assert_max_num_queries
):
    client.force_login(researcher)
    documents.store(project, documents.full(12))
    with django_assert_max_num_queries(20):
        client.get(reverse("project", args=["tulip"]))
