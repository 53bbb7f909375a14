"""Verdicts made elsewhere become verdicts here: prompts, answers, judges and evaluations are found or made.

All rows land or none. The same rows again, in whatever file, are the same import; a verdict that is there already is
counted and left alone, and one with another score is refused.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rlhf import answer_imports, imports, judges, rivals
from rlhf.evaluations import BATCH, NewVerdict, open_evaluation, record_verdicts, visible_verdicts
from rlhf.models import Evaluation, Judge, ModelVersion, Project, Run, Verdict
from rlhf.prompts import add
from rlhf.row_files import BadRows, checked, refuse
from rlhf.verdict_files import VerdictRow, from_row, sha256_of_rows

PURPOSE = "verdicts import"
MAX_VERSIONS = 100  # named in one import, and as many judges
Numbered = tuple[int, VerdictRow]
Key = tuple[int, int, int, str, str, int]  # what tells verdicts of one evaluation and judge apart


@dataclass(frozen=True)
class Imported:
    run: Run
    num_skipped: int
    is_new: bool


@dataclass(frozen=True)
class _Found:
    """What the rows name: versions by name, completion ids by (version, prompt hash), prompts' ids by their hash."""

    versions: Mapping[str, ModelVersion]
    completions: Mapping[tuple[str, str], int]
    prompts: Mapping[str, int]


def import_verdicts(
    *,
    project: Project,
    rows: Iterable[tuple[int, object]],
    now: datetime,
    judge: str = "",
    split: str | None = None,
    skip_missing: bool = False,
) -> Imported:
    """Import rows of rlhf/verdict_files.py.

    judge: of rows that name none. split: of prompts that the project doesn't have yet. skip_missing: leave out rows
    without a score. Raises BadRows, rivals.BadRival, imports.ImportLost.
    """
    all_rows = list(rows)
    found = checked(rows=all_rows, read=lambda row: from_row(row, judge=judge, skip_missing=skip_missing))
    num_skipped = len(all_rows) - len(found)
    if not found:
        raise BadRows(f"expected at least one score, found {num_skipped} rows without", bad_rows=[])
    plan_key = f"import/verdicts/{sha256_of_rows(rows=[row for _, row in found])}"
    if done := imports.succeeded(project=project, plan_key=plan_key):
        return Imported(done, num_skipped, is_new=False)
    refuse(bad=_contradictions(found))
    _check_versions(project, found)
    resolved = _resolve(project, found, split, now)
    with imports.claimed(project=project, plan_key=plan_key, now=now, purpose=PURPOSE) as claim:
        run = Run.objects.get(pk=claim.run_id)
        result = _store(project, found, resolved, run, claim.attempt)
        imports.finish(claim=claim, now=now, result=result)
    return Imported(Run.objects.get(pk=claim.run_id), num_skipped, is_new=True)


def _contradictions(rows: list[Numbered]) -> list[tuple[int, str]]:
    """Rows that say otherwise than an earlier one: another answer of a version to a prompt, or another score."""
    if (num_judges := len({row.judge for _, row in rows})) > MAX_VERSIONS:
        raise BadRows(f"expected at most {MAX_VERSIONS} judges in one import, found {num_judges}", bad_rows=[])
    texts: dict[tuple[str, str], str] = {}
    scores: dict[tuple[object, ...], float] = {}
    bad = []
    for number, row in rows:
        for name, text in ((row.candidate, row.candidate_answer), (row.baseline, row.baseline_answer)):
            if texts.setdefault((name, row.prompt_sha256), text) != text:
                bad.append((number, f"an earlier row has another answer of {name} to this prompt"))
        key = (row.prompt_sha256, row.candidate, row.baseline, row.judge, row.rater, row.position, row.replicate)
        if scores.setdefault(key, row.score) != row.score:
            bad.append((number, f"an earlier row scores the same {scores[key]:g}: give this one another replicate"))
    return bad


def _check_versions(project: Project, rows: list[Numbered]) -> None:
    """Before anything is stored: new names can be registered, and versions have given the answers that rows say."""
    texts, bad = _texts(rows), []
    if len(texts) > MAX_VERSIONS:
        raise BadRows(f"expected at most {MAX_VERSIONS} versions in one import, found {len(texts)}", bad_rows=[])
    there = {version.name: version for version in project.versions.filter(name__in=list(texts))}
    for name, wanted in texts.items():
        if (version := there.get(name)) is None:
            rivals.checked_name(value=name)
            continue
        given = answer_imports.given(version=version, sha256s=list(wanted))
        is_file = version.kind == ModelVersion.Kind.ANSWERS
        for sha256, (number, text) in wanted.items():
            if sha256 not in given and not is_file:
                bad.append((number, f"{name} is a version of this project and has not answered this prompt"))
            elif sha256 in given and given[sha256].text != text:
                bad.append((number, f"{name} has given another answer to this prompt already"))
    refuse(bad=sorted(bad))


def _texts(rows: list[Numbered]) -> dict[str, dict[str, tuple[int, str]]]:
    """The answers of each version by the prompt's hash, with the number of the row that says so first."""
    texts: defaultdict[str, dict[str, tuple[int, str]]] = defaultdict(dict)
    for number, row in rows:
        texts[row.candidate].setdefault(row.prompt_sha256, (number, row.candidate_answer))
        texts[row.baseline].setdefault(row.prompt_sha256, (number, row.baseline_answer))
    return dict(texts)


def _resolve(project: Project, rows: list[Numbered], split: str | None, now: datetime) -> _Found:
    """Prompts, versions and their answers; made where they are missing."""
    add(project=project, prompts=[row.prompt for _, row in rows], source=answer_imports.SOURCE, split=split)
    versions: dict[str, ModelVersion] = {}
    completions: dict[tuple[str, str], int] = {}
    for name, numbered in _texts(rows).items():
        texts = {sha256: text for sha256, (_, text) in numbered.items()}
        there = project.versions.filter(name=name).first()
        versions[name] = there or rivals.register_answers(project=project, name=name)
        stored = answer_imports.store(version=versions[name], texts=texts, now=now)
        completions |= {(name, sha256): pk for sha256, pk in stored.items()}
    ids = answer_imports.prompt_ids(project=project, sha256s=list({row.prompt_sha256 for _, row in rows}))
    return _Found(versions, completions, ids)


def _store(project: Project, rows: list[Numbered], found: _Found, run: Run, attempt: int) -> dict[str, Any]:
    """The verdicts under the run's claim, batch by batch; what the run's result is to say."""
    grouped: defaultdict[tuple[Evaluation, Judge], list[tuple[int, NewVerdict]]] = defaultdict(list)
    for (candidate, baseline, judge), of_one in _grouped(rows).items():
        evaluation = open_evaluation(
            project=project, candidate=found.versions[candidate], baseline=found.versions[baseline], iteration=0
        )
        who = judges.imported_judge(project=project, name=judge.name, declared=json.loads(judge.settings))
        grouped[evaluation, who] += [(number, _new_verdict(row, found)) for number, row in of_one]
    fresh = {key: _without_those_there(*key, of_one) for key, of_one in grouped.items()}
    for (evaluation, who), verdicts in fresh.items():
        record_verdicts(evaluation=evaluation, judge=who, verdicts=verdicts, run=run, attempt=attempt)
    num_stored = Verdict.objects.filter(run=run, attempt=attempt).count()
    if num_stored != (num_wanted := sum(map(len, fresh.values()))):
        lost = f"expected to store {num_wanted} verdicts, stored {num_stored}"
        raise imports.ImportLost(f"{lost}: another import of the same verdicts is at work or was cut off")
    return {
        "num_verdicts": num_stored,
        "num_duplicates": len(rows) - num_stored,
        "evaluations": sorted({evaluation.pk for evaluation, _ in grouped}),
        "judges": sorted({who.pk for _, who in grouped}),
    }


def _grouped(rows: list[Numbered]) -> dict[tuple[str, str, Any], list[Numbered]]:
    grouped: defaultdict[tuple[str, str, Any], list[Numbered]] = defaultdict(list)
    for number, row in rows:
        grouped[row.candidate, row.baseline, row.judge].append((number, row))
    return dict(grouped)


def _new_verdict(row: VerdictRow, found: _Found) -> NewVerdict:
    return NewVerdict(
        prompt_id=found.prompts[row.prompt_sha256],
        candidate_completion_id=found.completions[row.candidate, row.prompt_sha256],
        baseline_completion_id=found.completions[row.baseline, row.prompt_sha256],
        score=row.score,
        rater=row.rater,
        position=row.position,
        replicate=row.replicate,
        note=row.note,
    )


def _without_those_there(evaluation: Evaluation, judge: Judge, new: list[tuple[int, NewVerdict]]) -> list[NewVerdict]:
    """Each once, and none that everybody sees already. Raises BadRows where the one there has another score."""
    there: dict[Key, float] = {}
    wanted = [verdict.prompt_id for _, verdict in new]
    for start in range(0, len(wanted), BATCH):
        some = visible_verdicts().filter(
            evaluation=evaluation, judge=judge, prompt__in=wanted[start : start + BATCH]
        )  # fmt: skip
        there |= {_key(verdict): verdict.score for verdict in some}
    fresh: dict[Key, NewVerdict] = {}
    bad = []
    for number, verdict in new:
        key = _key(verdict)
        if key not in there:
            fresh[key] = verdict
        elif there[key] != verdict.score:
            bad.append((number, f"this verdict is there with the score {there[key]:g}: give it another replicate"))
    refuse(bad=bad)
    return list(fresh.values())


def _key(verdict: Verdict | NewVerdict) -> Key:
    pair = verdict.candidate_completion_id, verdict.baseline_completion_id
    return (verdict.prompt_id, *pair, verdict.rater, verdict.position, verdict.replicate)
