"""Answers out of files: those of a version that is a file of answers, one for each prompt, visible all at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rlhf import completions, imports, rivals
from rlhf.completions import NewCompletion
from rlhf.evaluations import EVALUATION
from rlhf.models import Completion, ModelVersion, Project, Prompt
from rlhf.prompts import BATCH, BadPrompt, NewPrompt, add, new_prompt, sha256_of
from rlhf.row_files import BadRow, checked, refuse, shown, text

SOURCE = "answers import"


@dataclass(frozen=True)
class NewAnswer:
    prompt: NewPrompt
    prompt_sha256: str
    text: str


@dataclass(frozen=True)
class Imported:
    version: ModelVersion
    num_added: int
    num_duplicates: int
    num_prompts_added: int


def from_row(row: object) -> NewAnswer:
    """{"prompt": a text or messages, "answer"}, perhaps a category. Raises BadRow."""
    if not isinstance(row, dict):
        raise BadRow(f"expected a JSON object, found {shown(row)}")
    if unknown := sorted(set(map(str, row)) - {"prompt", "messages", "answer", "category"}):
        raise BadRow(f"expected the keys prompt (or messages), answer and category, found {', '.join(unknown)[:200]}")
    if ("prompt" in row) == ("messages" in row):
        raise BadRow("expected either prompt or messages")
    try:
        prompt = new_prompt(value=row.get("prompt", row.get("messages")), category=row.get("category") or "")
    except BadPrompt as error:
        raise BadRow(f"prompt: {error.message}") from error
    return NewAnswer(prompt, sha256_of(messages=prompt.messages), text(row.get("answer"), "answer", least=0))


def import_answers(
    *, project: Project, name: str, rows: Iterable[tuple[int, object]], split: str | None, now: datetime
) -> Imported:
    """All rows or none. What the version has answered with the same text already counts as a duplicate.

    split: of prompts that the project doesn't have yet; None leaves it to the project's own rule.
    Raises BadRows, rivals.BadRival, rivals.NameTaken, imports.ImportLost.
    """
    rivals.checked_name(value=name)
    answers = checked(rows=rows, read=from_row)
    version = rivals.register_answers(project=project, name=name)
    texts, bad = _one_each((number, row.prompt_sha256, row.text) for number, row in answers)
    prompts = {row.prompt_sha256: row.prompt for _, row in answers}
    there = given(version=version, sha256s=list(prompts))
    numbers = {row.prompt_sha256: number for number, row in answers}
    bad += [
        (numbers[sha256], f"{version.name} has another answer to this prompt already: one answer for each prompt")
        for sha256, found in there.items()
        if found.text != texts.get(sha256, found.text)
    ]
    refuse(bad=sorted(bad))
    added = add(project=project, prompts=prompts.values(), source=SOURCE, split=split)
    store(version=version, texts=texts, now=now)
    num_added = len(texts) - len(there)
    return Imported(version, num_added, len(answers) - num_added, added.num_added)


def store(*, version: ModelVersion, texts: Mapping[str, str], now: datetime) -> dict[str, int]:
    """The completion of each text by its prompt's sha256; those that the version lacks are stored, one run for all."""
    there = given(version=version, sha256s=list(texts))
    missing = {sha256: found for sha256, found in texts.items() if sha256 not in there}
    if missing:
        digest = hashlib.sha256(repr(sorted(missing.items())).encode()).hexdigest()[:32]
        key = f"import/answers/{version.pk}/{digest}"
        ids = prompt_ids(project=version.project, sha256s=list(missing))
        new = (NewCompletion(ids[sha256], 0, found, num_tokens=0, finished=True) for sha256, found in missing.items())
        with imports.claimed(
            project=version.project, plan_key=key, now=now, purpose=EVALUATION, policy=version
        ) as claim:
            num_rows = completions.store(project=version.project, version=version, claim=claim, rows=new)
            imports.finish(claim=claim, now=now, result={"num_answers": num_rows})
    return {sha256: found.pk for sha256, found in given(version=version, sha256s=list(texts)).items()}


def prompt_ids(*, project: Project, sha256s: Sequence[str]) -> dict[str, int]:
    """Ids of the project's prompts by their hash; one that it has not is not among them."""
    return {
        sha256: pk
        for start in range(0, len(sha256s), BATCH)
        for sha256, pk in Prompt.objects.filter(
            project=project, sha256__in=sha256s[start : start + BATCH]
        ).values_list("sha256", "pk")
    }  # fmt: skip


def given(*, version: ModelVersion, sha256s: Sequence[str]) -> dict[str, Completion]:
    """The version's answers to these prompts, by the prompt's hash: those that evaluations read."""
    of_id = {pk: sha256 for sha256, pk in prompt_ids(project=version.project, sha256s=sha256s).items()}
    wanted = list(of_id)
    rows = completions.visible().filter(version=version, sample_index=0, run__purpose=EVALUATION).order_by("-id")
    return {
        of_id[found.prompt_id]: found
        for start in range(0, len(wanted), BATCH)
        for found in rows.filter(prompt__in=wanted[start : start + BATCH])
    }


def _one_each(rows: Iterable[tuple[int, str, str]]) -> tuple[dict[str, str], list[tuple[int, str]]]:
    texts: dict[str, str] = {}
    bad = []
    for number, sha256, found in rows:
        if texts.setdefault(sha256, found) != found:
            bad.append((number, "an earlier row has another answer to this prompt: one answer for each prompt"))
    return texts, bad
