"""Rows to test with, as short as a sentence."""

from django.contrib.auth.models import User

from rlhf import prompts as prompt_decisions
from rlhf.models import (
    Completion,
    DatasetSnapshot,
    Estimate,
    Evaluation,
    Membership,
    ModelVersion,
    Project,
    Prompt,
    Role,
    Run,
    Verdict,
)


def member(project: Project, role: Role, name: str) -> User:
    user = User.objects.create_user(name, password="a long password")
    Membership.objects.create(project=project, user=user, role=role, pseudonym=f"{role}-{user.pk}")
    return user


def version(project: Project, name: str, number: int | None = None, **fields: object) -> ModelVersion:
    fields.setdefault("kind", ModelVersion.Kind.PPO if number else ModelVersion.Kind.SFT)
    return ModelVersion.objects.create(project=project, name=name, number=number, **fields)


def run(project: Project, kind: str = "sample", state: str = Run.State.SUCCEEDED, **fields: object) -> Run:
    fields.setdefault("plan_key", f"{kind}-{Run.objects.count()}")
    fields.setdefault("attempt", 1)
    resource = Run.Resource.CPU if kind in ("freeze", "estimate") else Run.Resource.GPU
    return Run.objects.create(project=project, kind=kind, state=state, resource=resource, **fields)


def prompts(project: Project, count: int) -> list[Prompt]:
    texts = [prompt_decisions.new_prompt(value=f"Question number {index}?") for index in range(count)]
    prompt_decisions.add(project=project, prompts=texts, source="test")
    return list(project.prompts.order_by("id"))


def answer(prompt: Prompt, model: ModelVersion, by: Run, text: str = "An answer.", **fields: object) -> Completion:
    fields = {"attempt": by.attempt, "sample_index": 0, "num_tokens": 3, "finished": True, **fields}
    return Completion.objects.create(project=prompt.project, prompt=prompt, version=model, run=by, text=text, **fields)


def verdict(evaluation: Evaluation, judge, prompt: Prompt, score: float, **fields: object) -> Verdict:
    answers = Completion.objects.filter(prompt=prompt, sample_index=0)
    return Verdict.objects.create(
        evaluation=evaluation,
        project=evaluation.project,
        judge=judge,
        prompt=prompt,
        score=score,
        candidate_completion=answers.get(version=evaluation.candidate),
        baseline_completion=answers.get(version=evaluation.baseline),
        **fields,
    )


def snapshot(project: Project, configuration: str = "verdicts", **fields: object) -> DatasetSnapshot:
    fields = {"sha256": "a" * 64, "jsonl_sha256": "b" * 64, "num_rows": 4, "parquet": "x.parquet", **fields}
    return DatasetSnapshot.objects.create(project=project, configuration=configuration, **fields)


def estimate(evaluation: Evaluation, judge, by: Run, win_rate: float, **fields: object) -> Estimate:
    frozen = (
        snapshot(evaluation.project, sha256=f"{by.pk:064d}") if "snapshot" not in fields else fields.pop("snapshot")
    )
    fields = {
        "split": "held_out", "num_prompts": 40, "num_verdicts": 40, "wins": 30, "ties": 0, "losses": 10,
        "standard_error": 0.05, "low": win_rate - 0.1, "high": win_rate + 0.1, "attempt": by.attempt, **fields,
    }  # fmt: skip
    return Estimate.objects.create(
        evaluation=evaluation,
        project=evaluation.project,
        judge=judge,
        run=by,
        snapshot=frozen,
        win_rate=win_rate,
        **fields,
    )
