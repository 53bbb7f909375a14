"""The run folder of an attempt: everything that the child reads, checked, before it starts.

<runs>/<run id>/<attempt>/ as docs/run_folder.md says. An attempt goes on from the newest valid checkpoint of an earlier
one; whatever the earlier one did after that checkpoint is done again, so the result is the same.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet

from rlhf import completions, evaluations, run_kinds, runs, snapshots, versions
from rlhf.learning import checkpoint, configs, journal, tables
from rlhf.models import Completion, DatasetSnapshot, ModelVersion, Project, Prompt, Run
from rlhf.runs import Claim

Row = TypeVar("Row", bound=Model)
Pairs = dict[int, tuple[Completion, Completion]]
SAMPLED = ("bag.parquet", "rows.parquet")  # best-of-N's own data: the checkpoints of its training begin behind them
SAFETY = "safety"  # the category of prompts whose answers have to be safe first: Llama 2's tag


class BadInput(Exception):
    """The run can't be started, now or later; one sentence."""


def folder_of(*, claim: Claim) -> Path:
    return Path(settings.RUNS_ROOT) / str(claim.run_id) / str(claim.attempt)


def prepare(*, run: Run, claim: Claim) -> Path:
    """Write the folder of this attempt. Raises BadInput for a corrupt snapshot or a missing row."""
    folder = folder_of(claim=claim)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    config = dict(run.configuration)
    if run.kind == Run.Kind.DELIVER:
        config["engine"] = {"device": "cpu"}  # one sum for each weight: a device would be held for nothing
    elif run.kind != Run.Kind.ESTIMATE:  # all others compute on a device
        config["engine"] = {"device": settings.DEVICE, **config.get("engine", {})}
    config = _with_endpoint(run, _with_paths(run.project, config))
    paths = {field: versions.local_path(version=version) for field, version in run_kinds.models(run=run).items()}
    try:
        checked = configs.from_dict(run.kind, {**config, **paths})
    except configs.ConfigError as error:
        raise BadInput(f"configuration of run {run.pk}: {error}") from error
    (folder / "config.json").write_text(json.dumps(configs.to_dict(checked), indent=1))
    _write_data(run, folder / "data")
    _continue_from(run, claim, folder)
    return folder


def _with_endpoint(run: Run, config: dict[str, Any]) -> dict[str, Any]:
    """A version behind a server is asked there, whatever the project's sampling says; it holds no device here."""
    if run.policy is None or run.policy.kind != ModelVersion.Kind.ENDPOINT:
        return config
    sampling = {**config.get("sampling", {}), "backend": "openai", "server": run.policy.endpoint}
    return {**config, "sampling": sampling, "engine": {**config.get("engine", {}), "device": "cpu"}}


def _with_paths(project: Project, config: dict[str, Any]) -> dict[str, Any]:
    """The reward models that count besides the run's own are given by their versions' names: here they get paths."""
    found = dict(config)
    if name := config.get("held_out_reward_model"):
        found["held_out_reward_model"] = _reward_model_path(project, "held_out_reward_model", name)
    rewards = dict(config.get("rewards", {}))
    if names := rewards.get("models"):
        rewards["models"] = [_reward_model_path(project, "rewards.models", name) for name in names]
    if name := rewards.get("safety_model"):
        rewards["safety_model"] = _reward_model_path(project, "rewards.safety_model", name)
    return {**found, "rewards": rewards} if rewards else found


def _reward_model_path(project: Project, field: str, name: str) -> str:
    version = project.versions.filter(name=name, kind=ModelVersion.Kind.REWARD).first()
    if version is None:
        raise BadInput(f"{field}: expected the name of a reward model of this project, found {name!r}")
    return versions.local_path(version=version)


def _write_data(run: Run, data: Path) -> None:
    if run.demonstrations is not None:
        _copy_snapshot(run.demonstrations, data)
    if run.snapshot is not None:
        _copy_snapshot(run.snapshot, data)
    if run.kind == Run.Kind.JUDGE:
        found = pairs(run=run)
        tables.write_table(data / "pairs.parquet", tables.PAIRS, _pair_rows(found))
        if _is_verified(run):
            tables.write_table(data / "targets.parquet", tables.TARGETS, _target_rows(run, _prompts_of(found)))
    elif run.kind == Run.Kind.DELIVER:
        return  # it reads weights alone
    elif run.snapshot is None or run.kind == Run.Kind.BEST_OF_N:  # which takes the bag of earlier rounds beside prompts
        prompts = _selected_prompts(run)
        tables.write_table(data / "prompts.parquet", tables.PROMPTS, [_prompt_row(prompt) for prompt in prompts])
        if run.kind in (Run.Kind.PPO, Run.Kind.GRPO):
            tables.write_table(data / "targets.parquet", tables.TARGETS, _target_rows(run, prompts))


def _copy_snapshot(snapshot: DatasetSnapshot, data: Path) -> None:
    target = data / f"{snapshot.configuration}.parquet"
    try:
        with snapshots.open_parquet(snapshot=snapshot) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    except FileNotFoundError as error:
        raise BadInput(
            f"snapshot {snapshot.pk}: expected the file {snapshot.parquet} on storage, found none"
        ) from error
    if (found := tables.sha256(target)) != snapshot.sha256:
        raise BadInput(f"snapshot {snapshot.pk}: expected sha256 {snapshot.sha256}, found {found}")


def _selected_prompts(run: Run) -> list[Prompt]:
    """In the order of the selection: it is part of what the run computes."""
    wanted = run.selection.get("prompt_ids", [])
    prompts = {prompt.pk: prompt for prompt in in_chunks(run.project.prompts.all(), "pk", wanted)}
    if missing := [pk for pk in wanted if pk not in prompts]:
        raise BadInput(f"selection of run {run.pk}: {len(missing)} prompts are gone, the first is {missing[0]}")
    if not wanted:
        raise BadInput(f"selection of run {run.pk}: expected prompt ids, found none")
    return [prompts[pk] for pk in dict.fromkeys(wanted)]


def _prompt_row(prompt: Prompt) -> dict[str, Any]:
    return {"prompt_id": prompt.pk, "prompt": _messages(prompt), "split": prompt.split}


def _target_rows(run: Run, prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
    """What a prompt asks for beyond preference. Raises BadInput where a verifier finds no answer to compare with."""
    if run.configuration.get("rewards", {}).get("verifier", "none") != "none":
        bare = [prompt.pk for prompt in prompts if not prompt.target]
        if bare:
            raise BadInput(f"rewards.verifier: {len(bare)} prompts have no target, the first is prompt {bare[0]}")
    return [
        {"prompt_id": prompt.pk, "answer": prompt.target, "safety": prompt.category.casefold() == SAFETY}
        for prompt in prompts
    ]


def _is_verified(run: Run) -> bool:
    """Whether a judge run asks a verifier."""
    return bool(run.configuration.get("backend") == "verifier")


def _prompts_of(pairs: Pairs) -> list[Prompt]:
    return list({a.prompt_id: a.prompt for a, _ in pairs.values()}.values())


def _pair_rows(pairs: Pairs) -> list[dict[str, Any]]:
    return [
        {
            "pair_id": number,
            "prompt_id": a.prompt_id,
            "prompt": _messages(a.prompt),
            "completion_a": a.text,
            "completion_b": b.text,
        }
        for number, (a, b) in pairs.items()
    ]


def pairs(*, run: Run) -> Pairs:
    """What a judge run compares, by pair id: the prompt's id in an evaluation, else the place in the selection. A
    verifier gets pairs with a target alone.

    Raises BadInput where that is nothing. Asked again after the run, it holds the same pairs under the same ids.
    """
    found = _answer_pairs(run) if run.evaluation is not None else _selected_pairs(run)
    if _is_verified(run):
        found = {number: both for number, both in found.items() if both[0].prompt.target}
    if not found:
        raise BadInput(f"run {run.pk}: expected pairs of completions to judge, found none")
    return found


def _answer_pairs(run: Run) -> Pairs:
    """The answers of candidate and baseline to every prompt that both have answered."""
    assert run.evaluation is not None
    wanted = run.selection.get("prompt_ids")
    candidate = evaluations.answers(version=run.evaluation.candidate)
    baseline = evaluations.answers(version=run.evaluation.baseline)
    both = sorted(candidate.keys() & baseline.keys() & (candidate.keys() if wanted is None else set(wanted)))
    prompts = {prompt.pk: prompt for prompt in in_chunks(Prompt.objects.all(), "pk", both)}
    for pk in both:
        candidate[pk].prompt = prompts[pk]
    return {pk: (candidate[pk], baseline[pk]) for pk in both}


def _selected_pairs(run: Run) -> Pairs:
    wanted: list[tuple[int, int]] = [(a, b) for a, b in run.selection.get("pairs", [])]
    ids = sorted({pk for pair in wanted for pk in pair})
    rows = in_chunks(completions.visible().filter(project=run.project).select_related("prompt"), "pk", ids)
    there = {row.pk: row for row in rows}
    for a, b in wanted:
        if a not in there or b not in there:
            raise BadInput(f"selection of run {run.pk}: expected completions {a} and {b}, found no such pair")
        if there[a].prompt_id != there[b].prompt_id:
            raise BadInput(f"selection of run {run.pk}: completions {a} and {b} answer two prompts, expected one")
    return {number: (there[a], there[b]) for number, (a, b) in enumerate(wanted)}


def in_chunks(rows: QuerySet[Row], field: str, values: Sequence[int]) -> list[Row]:
    """Rows whose field is among many values: SQLite takes a limited number of them in one query."""
    return [
        row
        for start in range(0, len(values), runs.BATCH)
        for row in rows.filter(**{f"{field}__in": values[start : start + runs.BATCH]})
    ]


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message["content"]} for message in prompt.messages]


def _continue_from(run: Run, claim: Claim, folder: Path) -> None:
    """Copy the furthest valid checkpoint of the earlier attempts, with the metric lines up to its step, and what the
    newest of them has paid for: its journal, and best-of-N's samples."""
    earlier = [folder.parent / str(attempt) for attempt in range(claim.attempt - 1, 0, -1)]
    with_journal = next((old / journal.NAME for old in earlier if (old / journal.NAME).exists()), None)
    if with_journal is not None:  # an attempt begins with the journal of the one before it, so the newest has all
        shutil.copyfile(with_journal, folder / journal.NAME)
    found = [(valid.step, valid.path, old) for old in earlier if (valid := checkpoint.newest_valid(old)) is not None]
    sampled = _copy_samples(run, earlier, folder)
    if not found and sampled is None:
        return
    step, old = 0, sampled
    if found:
        step, path, old = max(found, key=lambda each: each[0])
        shutil.copytree(path, folder / "checkpoint" / str(step))
        checkpoint.replace_text(folder / "checkpoint" / "LATEST", str(step))
    assert old is not None
    if (old / "metrics.jsonl").exists():
        shutil.copyfile(old / "metrics.jsonl", folder / "metrics.jsonl")
        checkpoint.cut_metrics(folder, step)


def _copy_samples(run: Run, earlier: Sequence[Path], folder: Path) -> Path | None:
    """The attempt whose samples were copied. rows.parquet is written last, so it says that they are whole."""
    if run.kind != Run.Kind.BEST_OF_N:
        return None  # others write their rows at their end
    source = next((old for old in earlier if (old / SAMPLED[-1]).exists()), None)
    if source is None:
        return None
    for name in SAMPLED:
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)
    return source
