"""Which judge speaks first, and which curves are told first."""

import pytest

from rlhf import charts
from rlhf.judges import reward_judge
from rlhf.models import ModelVersion
from tests.rlhf.rows import estimate, run, version


@pytest.mark.django_db
def test_the_newest_judge_of_a_kind_is_shown(project, evaluation):
    judges = [
        reward_judge(version=version(project, name, kind=ModelVersion.Kind.REWARD, weights_sha256=digit * 64))
        for name, digit in (("rm1", "1"), ("rm2", "2"))
    ]
    by = run(project, "estimate")
    first = estimate(evaluation, judges[0], by, 0.6)
    rows = [first, estimate(evaluation, judges[1], by, 0.7, snapshot=first.snapshot)]
    assert [row.judge for row in charts.newest_by_kind(estimates=rows)] == [judges[1]]


def test_curves_are_the_numbers_that_were_logged():
    points = [{"step": 1, "time": 1.0, "phase": "x", "zeta": 1, "kl": 0.5, "done": True}, {"step": 2, "loss": 0.1}]
    assert charts.curve_names(points=points) == ["loss", "kl", "zeta"]
