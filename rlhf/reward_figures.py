"""What reward models make of the versions: figures of the newest frozen evaluation and of the runs. Nothing is computed
here but the square root of a logged KL."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.urls import reverse

from rlhf import metrics
from rlhf.figures import COUNT, FINE, FLAG, NUMBER, PERCENT, Column, Figure
from rlhf.models import Project, Run
from rlhf.overview.document import Document, Piece

LINES = 5  # that a chart tells apart
FRONTIER_POINTS = 60  # of a run
STEPS = 20  # between the least and the greatest of a document's quantiles
DISTRIBUTION = (
    Column("version", "Version", is_heading=True, is_link=True),
    Column("share", "Share of answers", PERCENT),
    Column("reward", "Reward at most", NUMBER),
)
SHIFT = (
    Column("version", "Version", is_heading=True, is_link=True),
    Column("num", "Answers", COUNT),
    Column("mean", "Mean", NUMBER),
    Column("sd", "Deviation", NUMBER),
    Column("standard_mean", "In deviations of the first", NUMBER),
    Column("wasserstein", "Wasserstein", NUMBER),
    Column("ks", "Kolmogorov-Smirnov", NUMBER),
    Column("share_above_p99", "Above the first's 99th percentile", FINE),
)
BY_MODEL = (
    Column("version", "Version", is_heading=True, is_link=True),
    Column("reward_model", "Reward model"),
    Column("standard_mean", "Mean in deviations of the first", NUMBER),
    Column("mean", "Mean", NUMBER),
    Column("trained", "Trained on it", FLAG),
)
BEST_OF_N = (
    Column("run", "Run", is_heading=True, is_link=True),
    Column("n", "n", COUNT),
    Column("best", "Expected best", NUMBER),
    Column("median", "Expected median", NUMBER),
)
FRONTIER = (
    Column("run", "Run", is_heading=True, is_link=True),
    Column("step", "Step", COUNT),
    Column("sqrt_kl", "√KL", NUMBER),
    Column("kl_sft", "KL to SFT", NUMBER),
    Column("score", "Score", NUMBER),
)


def judges(*, document: Document) -> list[Piece]:
    """The judges that give rewards, newest last."""
    found = {row["judge"] for row in document.pieces("rewards")}
    return sorted((document.judges[pk] for pk in found), key=lambda judge: int(judge["id"]))


def distribution(*, project: Project, document: Document, judge: Piece, csv_url: str = "") -> Figure:
    """The share of a version's answers whose reward is at most so high; the first version and the newest."""
    found = _of_judge(document, judge)
    shown = found if len(found) <= LINES else [found[0], *found[1 - LINES :]]
    rows = [
        {"version": name, "share": place / STEPS, "reward": value, "href": _version_url(project, row["version"])}
        for row, name in ((row, document.versions[row["version"]]["name"]) for row in shown)
        for place, value in enumerate(row["quantiles"])
    ]
    return Figure(
        key="distribution",
        title=f"How the rewards by {judge['name']} are spread",
        conclusion=_shifted(document, judge, found),
        columns=DISTRIBUTION,
        rows=rows,
        options={"versions": [document.versions[row["version"]]["name"] for row in shown]},
        csv_url=csv_url,
    )


def shift(*, project: Project, document: Document, judge: Piece, csv_url: str = "") -> Figure:
    found = _of_judge(document, judge)
    names = [column.key for column in SHIFT if column.key != "version"]
    return Figure(
        key="shift",
        title=f"How far the rewards by {judge['name']} have moved",
        conclusion="The same prompts for all; distances are to the first version's rewards, in its deviations.",
        columns=SHIFT,
        rows=[
            {"version": document.versions[row["version"]]["name"], "href": _version_url(project, row["version"])}
            | {name: row.get(name) for name in names}
            for row in found
        ],
        csv_url=csv_url,
        is_chart=False,
    )


def by_model(*, project: Project, document: Document, csv_url: str = "") -> Figure:
    """Every version's answers under every reward model; marked where the version was trained on it."""
    rows = [
        {
            "version": document.versions[row["version"]]["name"],
            "reward_model": document.judges[row["judge"]]["name"],
            "standard_mean": row["standard_mean"],
            "mean": row["mean"],
            "trained": document.was_training_reward(row["judge"], row["version"]),
            "href": _version_url(project, row["version"]),
        }
        for judge in judges(document=document)
        for row in _of_judge(document, judge)
    ]
    return Figure(
        key="by-model",
        title="Every version under every reward model",
        conclusion="Down a column: one reward model, in deviations of the first version's rewards under it. Outlined "
        "where the version was trained on that model: a reward that rises there and nowhere else stands for nothing.",
        columns=BY_MODEL,
        rows=rows,
        options={
            "versions": [name for row in document.versions.values() if (name := row["name"]) in _names(rows)],
            "models": [judge["name"] for judge in judges(document=document)],
        },
        needs="The table needs a reward model that has judged two versions.",
        csv_url=csv_url,
    )


def best_of_n(*, project: Project, csv_url: str = "") -> Figure:
    """E[best of n] and E[median of n] of the newest best-of-N runs, as each run computed them from all its samples."""
    runs = _runs(project, Run.Kind.BEST_OF_N, (Run.State.SUCCEEDED,))
    rows = [row for run in runs for row in _curve(project, run)]
    return Figure(
        key="best-of-n",
        title="What choosing the best of n is worth",
        conclusion=_chosen(rows),
        columns=BEST_OF_N,
        rows=rows,
        options={"runs": list(dict.fromkeys(row["run"] for row in rows))},
        needs="The curve needs a best-of-N run that has succeeded.",
        csv_url=csv_url,
    )


def frontier(*, project: Project, csv_url: str = "") -> Figure:
    """The score of PPO runs over the square root of their KL to the SFT version, a line a run."""
    runs = _runs(project, Run.Kind.PPO, (Run.State.SUCCEEDED, Run.State.RUNNING))
    rows = [row for run in runs for row in _path(project, run)]
    last = rows[-1] if rows else None
    said = f" {last['run']} stands at {last['kl_sft']:.2f} nats with a score of {last['score']:.2f}." if last else ""
    return Figure(
        key="frontier",
        title="What is paid for in KL",
        conclusion=f"A line that turns down buys nothing any more: what it leaves the SFT version for is not reward."
        f"{said} The score is the training reward's; KL of another way to train is not comparable.",
        columns=FRONTIER,
        rows=rows,
        options={"runs": list(dict.fromkeys(row["run"] for row in rows))},
        needs="The frontier needs a PPO run with logged steps.",
        csv_url=csv_url,
    )


def _of_judge(document: Document, judge: Piece) -> list[Piece]:
    """Rows of one judge, versions in the document's order."""
    places = {pk: place for place, pk in enumerate(document.versions)}
    found = [row for row in document.pieces("rewards") if row["judge"] == judge["id"]]
    return sorted(found, key=lambda row: places[row["version"]])


def _shifted(document: Document, judge: Piece, found: Sequence[Piece]) -> str:
    if len(found) < 2 or found[-1].get("standard_mean") is None:
        return "One version alone: there is nothing to compare it with."
    first, last = document.versions[found[0]["version"]]["name"], document.versions[found[-1]["version"]]["name"]
    warning = ""
    if document.was_training_reward(judge["id"], found[-1]["version"]):
        warning = f" {last} was trained on this reward model, so this says how well it learned, not how good it is."
    return (
        f"By {judge['name']}, {last} lies {found[-1]['standard_mean']:+.2f} deviations from {first} on average, and "
        f"{found[-1]['share_above_p99'] * 100:.0f} % of its answers above 99 % of those of {first}.{warning}"
    ).replace("-", "\N{MINUS SIGN}", 1)


def _names(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    return {row["version"] for row in rows}


def _runs(project: Project, kind: str, states: Sequence[str]) -> list[Run]:
    """The newest few, oldest first."""
    rows = Run.objects.filter(project=project, kind=kind, state__in=states).defer("log", "selection").order_by("-id")
    return list(rows[:LINES])[::-1]


def _curve(project: Project, run: Run) -> Iterator[dict[str, Any]]:
    found = run.result.get("metrics", {})
    medians = found.get("median_curve", {})
    for n, best in sorted((int(n), best) for n, best in found.get("curve", {}).items()):
        yield {"run": str(run), "n": n, "best": best, "median": medians.get(str(n)), "href": _run_url(project, run)}


def _chosen(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    last = rows[-1]
    first = next(row for row in rows if row["run"] == last["run"])
    gain = last["best"] - first["best"]
    return (
        f"The best of {last['n']} answers scores {gain:.2f} more than one answer alone ({last['run']}). Every point "
        "takes all subsets of the samples, so none is biased by how many there were."
    )


def _path(project: Project, run: Run) -> Iterator[dict[str, Any]]:
    for point in metrics.points(run=run, max_points=FRONTIER_POINTS):
        kl, score = point.get("kl_sft"), point.get("score")
        if isinstance(kl, int | float) and isinstance(score, int | float):
            # A sampled KL near 0 may come out below it.
            yield {
                "run": str(run), "step": point["step"], "sqrt_kl": math.sqrt(max(0.0, kl)), "kl_sft": kl,
                "score": score, "href": _run_url(project, run),
            }  # fmt: skip


def _version_url(project: Project, pk: int) -> str:
    return reverse("version", kwargs={"project": project.slug, "pk": pk})


def _run_url(project: Project, run: Run) -> str:
    return reverse("run", kwargs={"project": project.slug, "pk": run.pk})
