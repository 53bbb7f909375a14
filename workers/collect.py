"""What a child left in its run folder becomes rows: in batches that nobody sees, until one update makes them visible.

Files reach storage before the rows that name them, and the rows are made in the transaction of that update: outputs
exist if and only if the run has succeeded.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from rlhf import completions, evaluation_snapshots, evaluations, judges, run_kinds, runs, snapshots, versions
from rlhf.completions import NewCompletion
from rlhf.evaluations import NewVerdict
from rlhf.learning import tables
from rlhf.models import Completion, DatasetSnapshot, Estimate, Judge, ModelVersion, ReportCard, Run, Verdict
from rlhf.runs import Claim
from workers import rundir

WEIGHTS = "model.safetensors"
CANDIDATE = "candidate"  # purpose of a best-of-N run whose result is the round's candidate, and no step on the way
REPORT = "report.json"  # of a reward model
DOCUMENT = "document.json"  # of an overview
BAG = "bag.parquet"  # of best-of-N: the best answers of all rounds so far
CANDIDATES = (Run.Kind.SFT, Run.Kind.PPO, Run.Kind.DPO, Run.Kind.GRPO)  # what the loop makes numbered versions with
TRAINING = (*CANDIDATES, Run.Kind.REWARD, Run.Kind.BEST_OF_N)


class BadOutput(Exception):
    """The child ended well but its folder does not hold what it should."""


class _Lost(Exception):
    """The claim is no longer good: the transaction is to leave nothing behind."""


def collect(*, run: Run, claim: Claim, now: datetime) -> bool:
    """Store the outputs and end the run. False: the claim was lost or the run is to be cancelled, nothing is visible.

    Raises BadOutput for a folder that does not hold what result.json says.
    """
    folder = rundir.folder_of(claim=claim)
    result = _checked_result(folder)
    if run.kind in TRAINING:
        return _collect_version(run, claim, folder, result, now)
    rows = folder / "rows.parquet"
    if run.kind == Run.Kind.ESTIMATE:
        return _collect_estimates(run, claim, folder, result, now)
    if run.kind == Run.Kind.DELIVER:
        sha256 = _weights_sha256(result, "model")
        result["path"] = versions.store_weights(project=run.project, folder=folder / "model", weights_sha256=sha256)
    elif run.kind == Run.Kind.SAMPLE:
        _store_completions(run, claim, rows)
    elif run.evaluation is not None:
        _store_verdicts(run, claim, rows)
    else:
        result["rows"] = _scores(rows)
    return runs.succeed(claim=claim, now=now, result=result)


def _checked_result(folder: Path) -> dict[str, Any]:
    try:
        result = json.loads((folder / "result.json").read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise BadOutput(f"expected result.json, found {error}") from error
    for name, expected in result["outputs"].items():
        path = folder / name
        found = tables.sha256(path) if path.is_file() else "no file"
        if found != expected:
            raise BadOutput(f"{name}: expected sha256 {expected}, found {found}")
    return {"metrics": result["metrics"], "outputs": result["outputs"]}


def _collect_version(run: Run, claim: Claim, folder: Path, result: dict[str, Any], now: datetime) -> bool:
    """The model, and where there are some the value model and the bag, stored and registered with the run's success."""
    weights = {name: _weights_sha256(result, name) for name in ("model", "value") if (folder / name).is_dir()}
    paths = {
        name: versions.store_weights(project=run.project, folder=folder / name, weights_sha256=sha256)
        for name, sha256 in weights.items()
    }
    try:
        with transaction.atomic():
            bag = _store_bag(run, folder, result)
            made = {name: _register(run, name, paths[name], weights[name], result) for name in paths}
            _store_report(made["model"], folder, result)
            if not runs.succeed(claim=claim, now=now, result=result, made_version=made["model"], made_snapshot=bag):
                raise _Lost
    except _Lost:
        return False
    return True


def _store_report(version: ModelVersion, folder: Path, result: dict[str, Any]) -> None:
    """The report card of a reward model, which the page of the version shows."""
    sha256 = result["outputs"].get(REPORT)
    if sha256 is not None:
        # JSON in a database knows no NaN.
        content = json.loads((folder / REPORT).read_text(), parse_constant=lambda _: None)
        values = {"project": version.project, "content": content, "sha256": sha256}
        ReportCard.objects.update_or_create(version=version, defaults=values)


def _store_bag(run: Run, folder: Path, result: dict[str, Any]) -> DatasetSnapshot | None:
    """The bag as a snapshot: what the next round's best-of-N is given."""
    if BAG not in result["outputs"]:
        return None
    rows = tables.read_table(folder / BAG, tables.BAG)
    twin = folder / "bag.jsonl"
    tables.write_jsonl(twin, tables.BAG, rows)
    return snapshots.store(
        project=run.project,
        configuration="bag",
        iteration=run.iteration,
        parameters={"bag_size": run.configuration["bag_size"]},
        parquet=folder / BAG,
        jsonl=twin,
        num_rows=len(rows),
    )


def _weights_sha256(result: dict[str, Any], name: str) -> str:
    """One file holds the weights of a small model; of a sharded one the hash is that of its shards' hashes."""
    outputs: dict[str, str] = result["outputs"]
    if whole := outputs.get(f"{name}/{WEIGHTS}"):
        return whole
    shards = {file: digest for file, digest in outputs.items() if file.startswith(f"{name}/model-")}
    if not shards:
        raise BadOutput(f"{name}/{WEIGHTS}: expected among the outputs, found {sorted(outputs)}")
    return hashlib.sha256(json.dumps(shards, sort_keys=True).encode()).hexdigest()


def _register(run: Run, output: str, path: str, weights_sha256: str, result: dict[str, Any]) -> ModelVersion:
    kind, name, number = identity(run=run) if output == "model" else _value_identity(run)
    return versions.register(
        project=run.project,
        kind=kind,
        name=name,
        number=number,
        iteration=run.iteration,
        parent=run.reward_model if output == "value" else run_kinds.models(run=run)["model"],
        path=path,
        weights_sha256=weights_sha256,
        metrics=result["metrics"] if output == "model" else {},
    )


def identity(*, run: Run) -> tuple[str, str, int | None]:
    """Kind, name, number: the loop has candidates v0, v1 ... and artifacts rm1, bon1 ...; others bear their run."""
    if run.purpose not in ("loop", CANDIDATE):
        return run.kind, f"{run.kind}-{run.pk}", None
    if run.kind in CANDIDATES or run.purpose == CANDIDATE:
        return run.kind, f"v{run.iteration}", run.iteration
    return run.kind, f"{'rm' if run.kind == Run.Kind.REWARD else 'bon'}{run.iteration}", None


def _value_identity(run: Run) -> tuple[str, str, None]:
    _, name, number = identity(run=run)
    return ModelVersion.Kind.VALUE, f"value{number}" if number is not None else f"{name}-value", None


def _store_completions(run: Run, claim: Claim, path: Path) -> None:
    assert run.policy is not None
    new = (
        NewCompletion(row["prompt_id"], row["sample_index"], row["completion"], row["num_tokens"], row["finished"])
        for row in tables.read_table(path, tables.SAMPLE_ROWS)
    )
    completions.store(project=run.project, version=run.policy, claim=claim, rows=new)


def _store_verdicts(run: Run, claim: Claim, path: Path) -> None:
    """The candidate is a, the baseline b. What a language model said in each order is a verdict of its own; a pair of
    which one can't be read has none, or the place would count."""
    assert run.evaluation is not None
    judge = run.judge
    if judge is None:  # asked for before runs named their judge
        assert run.reward_model is not None
        judge = judges.reward_judge(version=run.reward_model)
    pairs = rundir.pairs(run=run)
    new = (
        verdict
        for row in tables.read_table(path, tables.JUDGE_ROWS)
        for verdict in _verdicts(row, judge, *pairs[row["pair_id"]])
    )
    evaluations.record_verdicts(evaluation=run.evaluation, judge=judge, verdicts=new, run=run, attempt=claim.attempt)


def _verdicts(row: dict[str, Any], judge: Judge, candidate: Completion, baseline: Completion) -> list[NewVerdict]:
    found = NewVerdict(candidate.prompt_id, candidate.pk, baseline.pk, _score(row["score_a"], row["score_b"]))
    if judge.kind == Judge.Kind.REWARD_MODEL:  # it sees each answer alone, so there is no position
        return [replace(found, candidate_reward=row["score_a"], baseline_reward=row["score_b"])]
    if not row["winner_ab"]:
        return [found]
    if "unreadable" in (row["winner_ab"], row["winner_ba"]):
        return []
    return [
        replace(found, score=row["score_ab"], position=Verdict.Position.CANDIDATE_FIRST, note=_note(row["said_ab"])),
        replace(found, score=row["score_ba"], position=Verdict.Position.BASELINE_FIRST, note=_note(row["said_ba"])),
    ]


def _note(said: str) -> str:
    return said.replace("\0", "")  # PostgreSQL stores no NUL character


def _score(candidate: float, baseline: float) -> float:
    return 0.5 if candidate == baseline else float(candidate > baseline)


def _scores(path: Path) -> list[list[float]]:
    """Of pairs that belong to no evaluation: [pair id, score of a, score of b]."""
    rows = tables.read_table(path, tables.JUDGE_ROWS)
    return [[row["pair_id"], row["score_a"], row["score_b"]] for row in rows]


def _collect_estimates(run: Run, claim: Claim, folder: Path, result: dict[str, Any], now: datetime) -> bool:
    """The win rates and, with the run's success, the document of an overview; the rows of older overviews go."""
    _store_estimates(run, claim, folder / "rows.parquet")
    try:
        with transaction.atomic():
            if not runs.succeed(claim=claim, now=now, result=result):
                raise _Lost
            if DOCUMENT in result["outputs"]:
                document = (folder / DOCUMENT).read_bytes()
                evaluation_snapshots.store(run=run, attempt=claim.attempt, document=document)
    except _Lost:
        return False
    if DOCUMENT in result["outputs"]:
        _drop_older_estimates(run)
    return True


def _drop_older_estimates(run: Run) -> None:
    """Of earlier overviews: each has thousands where many versions are compared, and their documents say the same."""
    older = Estimate.objects.filter(project=run.project, run__purpose=run.purpose, run__lt=run.pk, promotions=None)
    while batch := list(older.values_list("pk", flat=True)[: runs.BATCH]):
        Estimate.objects.filter(pk__in=batch).delete()


def _store_estimates(run: Run, claim: Claim, path: Path) -> None:
    assert run.snapshot is not None
    rows = [
        Estimate(project=run.project, snapshot=run.snapshot, run=run, attempt=claim.attempt, **row)
        for row in tables.read_table(path, tables.ESTIMATE_ROWS)
    ]
    for start in range(0, len(rows), runs.BATCH):
        Estimate.objects.bulk_create(rows[start : start + runs.BATCH], ignore_conflicts=True)
