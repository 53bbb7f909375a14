"""Verdicts made elsewhere get the same pages: import, freeze, estimate, document; AlpacaEval's numbers come out."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from rlhf import evaluation_snapshots
from rlhf.models import Project, Run
from rlhf.row_files import numbered
from rlhf.verdict_imports import import_verdicts
from tests.rlhf import alpaca
from workers import overview
from workers.execute import Worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return Project.objects.create(name="A", slug="a", base_model="none", salt="s")


def show(project: Project, worker: Worker) -> dict[str, Any]:
    """The document of the verdicts there are."""
    while True:
        overview.plan(project=project, now=timezone.now(), patient=False)
        if not worker.work():
            break
    assert not Run.objects.exclude(state=Run.State.SUCCEEDED).exists()
    newest = evaluation_snapshots.newest(project=project)
    assert newest is not None
    return evaluation_snapshots.content(snapshot=newest)


def figures(document: dict[str, Any], name: str) -> dict[str, float]:
    (version,) = [row for row in document["versions"] if row["name"] == name]
    (cell,) = [row for row in document["cells"] if row["candidate"] == version["id"] and row["split"] == "all"]
    return {
        "win_rate": 100 * cell["win_rate"], "standard_error": 100 * cell["standard_error"], "n_wins": cell["wins"],
        "n_wins_base": cell["losses"], "n_draws": cell["ties"], "avg_length": version["mean_characters"],
    }  # fmt: skip


def test_the_document_of_imported_verdicts_has_alpaca_evals_numbers(project: Project, cpu: Worker) -> None:
    for file in alpaca.FILES:
        rows = numbered(content=alpaca.lines(file))
        import_verdicts(project=project, rows=rows, judge="AlpacaEval", split="held_out", now=timezone.now())
    document = show(project, cpu)
    for file in alpaca.FILES:
        rows = alpaca.rows(file)
        assert figures(document, rows[0]["candidate"]) == pytest.approx(alpaca.published(rows), abs=1e-9)
    assert document["num_verdicts"] == 60
    assert [(judge["name"], judge["kind"]) for judge in document["judges"]] == [("AlpacaEval", "imported")]
    assert {cell["split"] for cell in document["cells"]} == {"held_out", "all"}
