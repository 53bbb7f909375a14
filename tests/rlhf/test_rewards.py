"""The reward views show the document's numbers and the runs' own, and say what is missing."""

import csv
import io

import pytest
from django.urls import reverse

from rlhf import reward_figures
from rlhf.models import Run, RunMetric
from rlhf.overview.document import read
from tests.rlhf import documents
from tests.rlhf.rows import run, version


def row(judge: int, pk: int, mean: float, **asked: object) -> documents.Document:
    quantiles = [mean + place / 10 for place in range(-10, 11)]
    fields = {"num": 100, "mean": mean, "sd": 0.6, "standard_mean": mean / 0.6, "wasserstein": 0.1, "ks": 0.2}
    return {"judge": judge, "version": pk, "quantiles": quantiles, "share_above_p99": 0.25, **fields, **asked}


@pytest.fixture
def frozen(project):
    """Seven versions under two reward models; the last was trained on the second."""
    made = [version(project, f"v{number}", number) for number in range(7)]
    last = made[-1].pk
    judges = [
        documents.judge(1, "people", "people"),
        documents.judge(2, "reward model rm1", "reward_model", graded=True),
        documents.judge(3, "reward model rm2", "reward_model", graded=True, trained=[last]),
    ]
    rewards = [row(judge, one.pk, place * 0.5) for judge in (2, 3) for place, one in enumerate(made)]
    alarm = {"evaluation": 5, "reward_judge": 3, "judge": 1, "level": "red", "difference": 0.2, "low": 0.1, "high": 0.3,
             "sentence": "The reward says better, <b>people</b> say worse."}  # fmt: skip
    content = documents.document(
        versions=[documents.version(one.pk, one.name, one.number) for one in made], judges=judges,
        cells=[documents.cell(5, last, made[0].pk, 1)], rewards=rewards, alarms=[alarm],
    )  # fmt: skip
    return documents.store(project, content)


def test_the_page_shows_the_newest_reward_model_or_the_one_asked_for(client, project, frozen, researcher):
    client.force_login(researcher)
    url = reverse("rewards", args=["tulip"])
    assert client.get(url).context["chosen"].judge["id"] == 3
    assert client.get(url, {"judge": "2"}).context["chosen"].judge["id"] == 2
    assert client.get(url, {"judge": "1 OR 1"}).context["chosen"].judge["id"] == 3
    body = client.get(url).content.decode()
    assert "v6 was trained on this reward model" in body and "25 % of its answers above 99 % of those of v0" in body
    assert "<strong>Red:</strong>" in body and "&lt;b&gt;people&lt;/b&gt; say worse" in body


def test_the_distribution_has_the_first_version_and_the_newest_and_every_quantile(project, frozen):
    document = read(snapshot=frozen)
    figure = reward_figures.distribution(project=project, document=document, judge=document.judges[3])
    assert figure.options["versions"] == ["v0", "v3", "v4", "v5", "v6"] and len(figure.rows) == 5 * 21
    of_first = [(one["share"], one["reward"]) for one in figure.rows if one["version"] == "v0"]
    assert of_first[0] == (0.0, -1.0) and of_first[10] == (0.5, 0.0) and of_first[-1] == (1.0, 1.0)


def test_every_version_stands_under_every_reward_model_and_training_is_marked(project, frozen):
    figure = reward_figures.by_model(project=project, document=read(snapshot=frozen))
    assert len(figure.rows) == 14 and figure.options["models"] == ["reward model rm1", "reward model rm2"]
    assert [(one["version"], one["reward_model"]) for one in figure.rows if one["trained"]] == [
        ("v6", "reward model rm2")
    ]


def test_best_of_n_and_frontier_are_the_runs_own_numbers(project):
    assert reward_figures.best_of_n(project=project).rows == [] == reward_figures.frontier(project=project).rows
    metrics = {"curve": {"10": 2.5, "2": 1.5, "1": 1.0}, "median_curve": {"1": 1.0, "2": 1.0}}
    run(project, "best_of_n", result={"metrics": metrics})
    run(project, "best_of_n", Run.State.FAILED, result={})
    figure = reward_figures.best_of_n(project=project)
    assert [(one["n"], one["best"], one["median"]) for one in figure.rows] == [
        (1, 1.0, 1.0), (2, 1.5, 1.0), (10, 2.5, None),
    ]  # fmt: skip
    assert "The best of 10 answers scores 1.50 more than one answer alone" in figure.conclusion
    ppo = run(project, "ppo", Run.State.RUNNING)
    for step, values in enumerate(({"kl_sft": -0.01, "score": 0.0}, {"score": 1.0}, {"kl_sft": 4.0, "score": 2.0})):
        RunMetric.objects.create(run=ppo, attempt=1, step=step, values=values)
    figure = reward_figures.frontier(project=project)
    assert [(one["step"], one["sqrt_kl"], one["score"]) for one in figure.rows] == [(0, 0.0, 0.0), (2, 2.0, 2.0)]


@pytest.mark.parametrize("figure", ["distribution", "shift", "by-model", "best-of-n", "frontier"])
def test_the_csv_is_the_table(figure, client, project, frozen, researcher):
    client.force_login(researcher)
    page = client.get(reverse("rewards", args=["tulip"]))
    shown = page.context["figures"][figure.replace("-", "_")]
    got = client.get(reverse("rewards-csv", args=["tulip", figure]), {"judge": 3})
    rows = list(csv.reader(io.StringIO(got.getvalue().decode(), newline="")))
    assert rows[0] == [column.key for column in shown.columns] and len(rows) == 1 + len(shown.rows)
    assert client.get(reverse("rewards-csv", args=["tulip", "nonsense"])).status_code == 404


def test_a_project_without_numbers_says_what_they_need(client, project, researcher):
    client.force_login(researcher)
    body = client.get(reverse("rewards", args=["tulip"])).content.decode()
    assert "both follow the first round" in body and "needs a best-of-N run" in body and "needs a PPO run" in body
