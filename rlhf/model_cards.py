"""A version's model card: what it is, what it was made of, how good it is and what is known to be wrong with it.

Its page and its Markdown (README.md as the Hugging Face hub reads it) say the same. Names, phrases and messages may
come from models and from people: in the Markdown they are one line without a mark that acts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rlhf import alarms, charts, evaluation_snapshots, lineage, pairs, report_cards, training_rewards
from rlhf.models import (
    DatasetSnapshot,
    Evaluation,
    EvaluationSnapshot,
    Judge,
    ModelVersion,
    Project,
    ReportCard,
    Run,
    Split,
)
from rlhf.overview.document import read
from rlhf.pairs import Cell

INDEPENDENT = (Judge.Kind.PEOPLE, Judge.Kind.GOLD)
MAX_LIMITS = 20
WAYS = {
    ModelVersion.Kind.BASE: "The model that the project starts from, as it was taken.",
    ModelVersion.Kind.SFT: "Supervised fine-tuning on answers that people wrote.",
    ModelVersion.Kind.REWARD: "A reward model: it scores answers so that differences say what labelers prefer.",
    ModelVersion.Kind.BEST_OF_N: "Fine-tuned on the best of several of its parent's answers by a reward model.",
    ModelVersion.Kind.PPO: "Trained by PPO against a reward model, with a penalty for leaving its reference.",
    ModelVersion.Kind.DPO: "Trained by DPO on people's preferences, without a reward model.",
    ModelVersion.Kind.GRPO: "Trained by GRPO against rewards of groups of answers.",
    ModelVersion.Kind.VALUE: "The value model of a PPO run: it expects rewards, and judges nothing.",
    ModelVersion.Kind.ANSWERS: "A file of answers made elsewhere: there are no weights here.",
    ModelVersion.Kind.ENDPOINT: "A model behind somebody else's server: there are no weights here.",
}


@dataclass(frozen=True)
class Data:
    """A frozen dataset that went into the version, and the run that read it."""

    snapshot: DatasetSnapshot
    run: Run


@dataclass(frozen=True)
class Comparison:
    evaluation: Evaluation
    cell: Cell
    is_training_reward: bool


@dataclass(frozen=True)
class ModelCard:
    version: ModelVersion
    what: str
    chain: list[ModelVersion]
    made_by: Run | None
    reward_model: ModelVersion | None
    data: list[Data]
    comparisons: list[Comparison]
    snapshot: EvaluationSnapshot | None  # that the comparisons are from; None: from the newest estimates
    limits: list[str]


def card(*, version: ModelVersion) -> ModelCard:
    chain = lineage.chain(version=version)
    runs = lineage.made_by(versions=chain)
    own = runs.get(version.pk)
    reward_model = own.reward_model if own else None
    snapshot = evaluation_snapshots.newest(project=version.project)
    comparisons = list(_comparisons(version, snapshot))
    return ModelCard(
        version=version,
        what=WAYS[ModelVersion.Kind(version.kind)],
        chain=chain,
        made_by=own,
        reward_model=reward_model,
        data=list(_data(chain, runs)),
        comparisons=comparisons,
        snapshot=snapshot,
        limits=list(_limits(version, own, reward_model, comparisons, snapshot))[:MAX_LIMITS],
    )


def _data(chain: Iterable[ModelVersion], runs: Mapping[int, Run]) -> Iterator[Data]:
    """What each version of the chain was trained on, that of its reward model beside it; nothing twice."""
    own = [runs[one.pk] for one in chain if one.pk in runs]
    of_rewards = lineage.made_by(versions=[run.reward_model for run in own if run.reward_model is not None])
    seen = set()
    for run in [*own, *of_rewards.values()]:
        for snapshot in (run.snapshot, run.demonstrations):
            if snapshot is not None and snapshot.pk not in seen:
                seen.add(snapshot.pk)
                yield Data(snapshot, run)


def _comparisons(version: ModelVersion, snapshot: EvaluationSnapshot | None) -> Iterator[Comparison]:
    """Held-out win rates over every baseline; over all prompts where none is held out."""
    by_reward_model = training_rewards.by_reward_model(project=version.project)
    trained = {reward_model for reward_model, versions in by_reward_model.items() if version.pk in versions}
    versions = dict(Judge.objects.filter(project=version.project_id).values_list("pk", "version"))
    rows = Evaluation.objects.filter(project=version.project_id, candidate=version)
    for row in rows.select_related("candidate", "baseline", "project"):
        cells = pairs.cells(evaluation=row, snapshot=snapshot)
        held_out = [cell for cell in cells if cell.split == Split.HELD_OUT]
        for cell in held_out or [cell for cell in cells if cell.split == pairs.ALL]:
            yield Comparison(row, cell, versions.get(cell.judge) in trained)


def _limits(
    version: ModelVersion,
    own: Run | None,
    reward_model: ModelVersion | None,
    comparisons: Iterable[Comparison],
    snapshot: EvaluationSnapshot | None,
) -> Iterator[str]:
    yield from _of_the_evaluation(version, comparisons, snapshot)
    if own is not None:
        yield from (f"Alarm in training, step {alarm.step}: {alarm.message}" for alarm in alarms.of_run(run=own))
    scorer = version if version.kind == ModelVersion.Kind.REWARD else reward_model
    found = ReportCard.objects.filter(version=scorer).first() if scorer else None
    if found is not None and scorer is not None:
        yield from _of_the_reward_model(scorer, found)


def _of_the_evaluation(
    version: ModelVersion, comparisons: Iterable[Comparison], snapshot: EvaluationSnapshot | None
) -> Iterator[str]:
    rows = list(comparisons)
    kinds = dict(Judge.objects.filter(project=version.project_id).values_list("pk", "kind"))
    if rows and not any(kinds.get(row.cell.judge) in INDEPENDENT for row in rows):
        yield "No person has judged it."
    if rows and all(row.is_training_reward for row in rows):
        yield "Only reward models that it was trained against have judged it: its win rates say nothing of people."
    if snapshot is not None:
        own = {row.evaluation.pk for row in rows}
        for alarm in read(snapshot=snapshot).pieces("alarms"):
            if alarm["evaluation"] in own:
                yield f"Over-optimisation ({alarm['level']}): {alarm['sentence']}"


def _of_the_reward_model(reward_model: ModelVersion, found: ReportCard) -> Iterator[str]:
    accuracy = found.content.get("accuracy")
    if accuracy:
        right = charts.percent(accuracy["mean"])
        yield f"The reward model {reward_model.name} orders {right} of held-out comparisons as the labelers did."
    for shortcut in report_cards.shortcuts(card=found):
        if shortcut.flagged:
            name = f"the phrase “{shortcut.label}”" if shortcut.is_phrase else str(shortcut.label).lower()
            yield f"Shortcut of {reward_model.name}: it prefers {name} more than the labels do (z {shortcut.z:.1f})."


def markdown(*, card: ModelCard, project: Project) -> str:
    """README.md: a YAML head that the hub reads, then the card."""
    version = card.version
    lines = [*_head(card, project), "", f"# {_line(project.name)} {_line(version.name)}", "", card.what, ""]
    lines += ["## Where it comes from", "", " → ".join(_line(one.name) for one in card.chain), ""]
    if card.made_by is not None:
        lines += [f"Made by {card.made_by} in round {version.iteration}.", ""]
    if card.reward_model is not None:
        lines += [f"Trained against the reward model {_line(card.reward_model.name)}.", ""]
    if card.data:
        lines += ["## Data", "", "| dataset | rows | sha256 of the Parquet file | read by |", "|---|---|---|---|"]
        lines += [
            f"| {one.snapshot.configuration} | {one.snapshot.num_rows} | `{one.snapshot.sha256}` | {one.run} |"
            for one in card.data
        ]
        lines.append("")
    lines += _rates(card)
    if numbers := _numbers(version.metrics):
        lines += ["## Metrics of the run", "", "| metric | value |", "|---|---|"]
        lines += [f"| {_line(name)} | {value!r} |" for name, value in numbers]
        lines.append("")
    lines += ["## Known limits", "", *([f"- {_line(limit)}" for limit in card.limits] or ["None is known."]), ""]
    if version.weights_sha256:
        lines += ["## Weights", "", f"sha256 `{version.weights_sha256}`", ""]
    return "\n".join(lines)


def _rates(card: ModelCard) -> list[str]:
    if not card.comparisons:
        return []
    source = f"frozen evaluation `{card.snapshot.sha256}`" if card.snapshot else "the newest estimates"
    head = ["against", "judge", "prompts", "win rate", "95 % interval", "won", "tied", "lost", "unsettled"]
    lines = ["## Win rates", "", f"Ties count half, intervals are clustered by prompt; from {source}.", ""]
    lines += [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in card.comparisons:
        cell = row.cell
        judge = _line(cell.judge_name) + (" (trained against it)" if row.is_training_reward else "")
        numbers = f"{cell.win_rate:.3f} | {cell.low:.3f} to {cell.high:.3f}"
        counts = " | ".join(str(count) for count in (cell.wins, cell.ties, cell.losses, cell.unsettled))
        lines.append(f"| {_line(row.evaluation.baseline.name)} | {judge} | {cell.num_prompts} | {numbers} | {counts} |")
    return [*lines, ""]


def _head(card: ModelCard, project: Project) -> list[str]:
    """YAML with every text as a JSON string, which YAML reads too."""
    version, base = card.version, card.chain[0].source
    is_reward = version.kind in (ModelVersion.Kind.REWARD, ModelVersion.Kind.VALUE)
    lines = ["---", "library_name: transformers"]
    lines.append(f"pipeline_tag: {'text-classification' if is_reward else 'text-generation'}")
    if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base) and base != version.source:  # a path of a machine means nothing there
        lines.append(f"base_model: {json.dumps(base)}")
    lines += ["tags:", "- rlhf", f"- {version.kind.replace('_', '-')}"]
    if card.comparisons:
        lines += ["model-index:", f"- name: {json.dumps(version.name)}", "  results:"]
    for row in card.comparisons:
        name = f"{project.slug}, {row.cell.split_label} prompts"
        metric = f"win rate over {row.evaluation.baseline.name} by {row.cell.judge_name}"
        lines += [
            "  - task:", "      type: text-generation",
            "    dataset:", f"      type: {json.dumps(project.slug)}", f"      name: {json.dumps(name)}",
            "    metrics:", "    - type: win_rate", f"      name: {json.dumps(metric)}",
            f"      value: {row.cell.win_rate!r}",
        ]  # fmt: skip
    return [*lines, "---"]


def _numbers(metrics: Mapping[str, Any]) -> list[tuple[str, float | int]]:
    return [(name, value) for name, value in metrics.items() if isinstance(value, int | float)]


def _line(text: str) -> str:
    """One line of plain text in Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", " ".join(str(text).split()))
