"""Versions: registered once, stored by their weights, promoted by the lower bound and by nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rlhf import evaluations, versions
from rlhf.models import Evaluation, ModelVersion, Project, Promotion
from tests.rlhf.rows import estimate, run, version

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_name_is_registered_once(project: Project) -> None:
    first = versions.register(project=project, kind="ppo", name="v1", number=1, weights_sha256="a" * 64)
    again = versions.register(project=project, kind="ppo", name="v1", number=1, weights_sha256="a" * 64)
    assert first == again and project.versions.count() == 1


def test_the_base_model_is_taken_by_name(project: Project) -> None:
    base = versions.base(project=project)
    assert (base.kind, base.number, versions.local_path(version=base)) == ("base", None, "tiny")
    assert versions.base(project=project) == base


def test_stored_weights_are_a_folder_that_from_pretrained_takes(project: Project, tmp_path: Path) -> None:
    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "model" / "model.safetensors").write_text("weights")
    (tmp_path / "model" / "sub" / "more.json").write_text("{}")

    path = versions.store_weights(project=project, folder=tmp_path / "model", weights_sha256="ab")
    made = versions.register(project=project, kind="sft", name="v0", path=path)

    folder = Path(versions.local_path(version=made))
    assert (folder / "model.safetensors").read_text() == "weights"
    assert (folder / "sub" / "more.json").read_text() == "{}"


def test_the_first_version_becomes_current(project: Project) -> None:
    assert versions.current(project=project) is None
    first = version(project, "v0", 0)
    promotion = versions.promote_first(version=first, now=NOW)

    assert versions.current(project=project) == first
    assert (promotion.baseline, promotion.decided_at) == (None, NOW)


@pytest.mark.parametrize(("low", "promoted"), [(0.51, True), (0.5, False), (0.49, False)])
def test_the_lower_bound_over_one_half_decides(evaluation: Evaluation, low: float, promoted: bool) -> None:
    project, candidate, baseline = evaluation.project, evaluation.candidate, evaluation.baseline
    versions.promote_first(version=baseline, now=NOW)
    people = evaluations.people_judge(project=project)
    found = estimate(evaluation, people, run(project, "estimate"), 0.6, low=low, high=0.9)

    promotion = versions.decide(candidate=candidate, baseline=baseline, estimate=found, now=NOW)

    assert promotion.promoted == promoted
    assert promotion.estimate == found
    assert versions.current(project=project) == (candidate if promoted else baseline)
    assert f"win rate 0.600 [{low:.3f}, 0.900] over v0 by people" in promotion.reason
    assert ModelVersion.objects.filter(is_current=True).count() == 1


def test_a_candidate_is_decided_on_once(evaluation: Evaluation) -> None:
    candidate, baseline = evaluation.candidate, evaluation.baseline
    versions.promote_first(version=baseline, now=NOW)
    first = versions.reject_late(candidate=candidate, baseline=baseline, hours=2.5, now=NOW)
    second = versions.promote_untested(candidate=candidate, baseline=baseline, now=NOW)

    assert second == first and not second.promoted
    assert first.reason == "not enough comparisons by people within 2.5 hours: v0 stays"
    assert versions.current(project=evaluation.project) == baseline


def test_losses_count_from_the_last_promotion(project: Project) -> None:
    outcomes = [True, False, True, False, False]
    for number, promoted in enumerate(outcomes):
        candidate = version(project, f"v{number}", number)
        Promotion.objects.create(
            project=project, candidate=candidate, promoted=promoted, reason="as the test says", decided_at=NOW
        )
    assert versions.num_losses(project=project) == 2
    versions.promote_untested(
        candidate=version(project, "v9", 9), baseline=ModelVersion.objects.get(name="v2"), now=NOW
    )
    assert versions.num_losses(project=project) == 0
