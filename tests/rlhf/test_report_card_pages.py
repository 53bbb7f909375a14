"""The page of a report card: its numbers, its warnings, what it lacks; and whatever labelers wrote is escaped."""

from django.urls import reverse

from rlhf.models import ReportCard
from tests.browser import cards
from tests.rlhf.addresses import address
from tests.rlhf.rows import version


def test_a_report_card_says_its_numbers_and_names_labelers_by_pseudonym_alone(client, judged, labeler, researcher):
    client.force_login(researcher)
    card = ReportCard.objects.get()
    body = client.get(address("report-card", judged.project)).content.decode()
    accuracy = card.content["accuracy"]
    assert f"{accuracy['mean'] * 100:.0f}\N{NO-BREAK SPACE}%" in body and f"{accuracy['num_pairs']} comparisons" in body
    assert (
        all(pseudonym in body for pseudonym in cards.LABELERS) and labeler.username not in body.split("</header>")[-1]
    )
    assert "Labelers never trained on" in body and "Reliability diagram" in body
    assert f"{100 * card.content['scaling']['per_doubling']:+.1f} points" in body
    flagged = body[body.index("Shortcuts") :]
    assert flagged.index("Length") < flagged.index("badge-failed") < flagged.index("Place in the row")
    version_page = client.get(reverse("version", args=["tulip", card.version_id])).content.decode()
    assert address("report-card", judged.project) in version_page


def test_a_report_card_without_anything_held_out_says_so(client, project, researcher):
    empty = cards.empty(version(project, "rm1", kind="reward"))
    client.force_login(researcher)
    body = client.get(reverse("report-card", args=["tulip", empty.version_id])).content.decode()
    for text in ("so nothing is known", "raise the overlap of a protocol", "reward.scaling_shares"):
        assert text in body


def test_hostile_phrases_and_pseudonyms_are_escaped_on_a_report_card(client, judged, researcher):
    hostile = "</script><script>alert(1)</script>"
    card = ReportCard.objects.get()
    card.content["shortcuts"]["phrases"][0]["name"] = hostile
    card.content["by_labeler"] = {hostile: card.content["accuracy"]}
    card.save()
    client.force_login(researcher)
    body = client.get(address("report-card", judged.project)).content.decode()
    assert "<script>alert" not in body and body.count("&lt;/script&gt;&lt;script&gt;alert(1)") >= 2


def test_a_version_without_a_card_has_no_page_of_it(client, judged, researcher):
    client.force_login(researcher)
    sft = judged.baseline
    assert client.get(reverse("report-card", args=["tulip", sft.pk])).status_code == 404
    assert "Report card" not in client.get(reverse("version", args=["tulip", sft.pk])).content.decode()
