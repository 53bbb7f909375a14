"""Versions: weights by their hash, one current version, one decision per candidate."""

from pathlib import Path

import pytest
from django.core.files.storage import InMemoryStorage, Storage, storages

from rlhf import judges, versions
from rlhf.models import ModelVersion, Promotion
from tests.rlhf import rows


@pytest.fixture
def people(project):
    return judges.people_judge(project=project)


def decide(evaluation, people, now, low: float) -> Promotion:
    by = rows.run(evaluation.project, kind="estimate", evaluation=evaluation)
    estimate = rows.estimate(evaluation, people, by, low + 0.1, low=low)
    return versions.decide(candidate=evaluation.candidate, baseline=evaluation.baseline, estimate=estimate, now=now)


@pytest.mark.parametrize(("low", "promoted"), [(0.51, True), (0.5, False), (0.4, False)])
def test_a_candidate_is_promoted_where_the_lower_bound_lies_above_one_half(evaluation, people, now, low, promoted):
    versions.promote_first(version=evaluation.baseline, now=now)

    promotion = decide(evaluation, people, now, low)

    expected = evaluation.candidate if promoted else evaluation.baseline
    assert promotion.promoted == promoted
    assert versions.current(project=evaluation.project) == expected
    assert "v0" in promotion.reason and "held-out prompts" in promotion.reason


def test_a_candidate_is_decided_on_once(evaluation, people, now):
    versions.promote_first(version=evaluation.baseline, now=now)
    first = decide(evaluation, people, now, 0.4)

    again = decide(evaluation, people, now, 0.9)

    assert again == first
    assert versions.current(project=evaluation.project) == evaluation.baseline


def test_losses_are_counted_since_the_last_promotion(evaluation, people, now):
    project = evaluation.project
    versions.promote_first(version=evaluation.baseline, now=now)
    assert versions.num_losses(project=project) == 0
    for number in (2, 3):
        candidate = rows.version(project, f"v{number}", number)
        versions.reject_late(candidate=candidate, baseline=evaluation.baseline, hours=1, now=now)
    assert versions.num_losses(project=project) == 2
    decide(evaluation, people, now, 0.6)
    assert versions.num_losses(project=project) == 0


def test_a_version_of_a_name_is_made_once(project):
    first = versions.register(project=project, kind="sft", name="v0", metrics={"loss": 1})
    assert versions.register(project=project, kind="sft", name="v0", metrics={"loss": 2}) == first
    assert ModelVersion.objects.get().metrics == {"loss": 1}


def test_weights_are_kept_under_their_hash_and_found_on_disk(project, tmp_path):
    path = versions.store_weights(project=project, folder=weights(tmp_path), weights_sha256="abc")
    version = versions.register(project=project, kind="sft", name="v0", path=path, weights_sha256="abc")

    found = Path(versions.local_path(version=version))

    assert path.endswith("/abc")
    assert (found / "model.safetensors").read_bytes() == b"weights"
    assert (found / "part" / "more.json").read_text() == "{}"


def test_weights_on_a_storage_elsewhere_are_copied_once(project, settings, tmp_path):
    settings.VAR = tmp_path / "var"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": f"{Elsewhere.__module__}.Elsewhere"}}
    path = versions.store_weights(project=project, folder=weights(tmp_path), weights_sha256="abc")
    version = versions.register(project=project, kind="sft", name="v0", path=path)

    found = Path(versions.local_path(version=version))
    assert (found / "model.safetensors").read_bytes() == b"weights"
    assert (found / "part" / "more.json").read_text() == "{}"
    storages["default"].delete(f"{path}/model.safetensors")
    assert Path(versions.local_path(version=version)) == found


def test_a_model_taken_by_name_stays_a_name(project):
    assert versions.local_path(version=versions.base(project=project)) == "tiny"


class Elsewhere(Storage):
    """A storage that has no paths on this machine."""

    files = InMemoryStorage()

    def _open(self, name, mode="rb"):
        return self.files.open(name, mode)

    def _save(self, name, content):
        return self.files.save(name, content)

    def exists(self, name):
        return self.files.exists(name)

    def delete(self, name):
        self.files.delete(name)

    def listdir(self, path):
        return self.files.listdir(path)


def weights(folder: Path) -> Path:
    model = folder / "model"
    (model / "part").mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "part" / "more.json").write_text("{}")
    return model
