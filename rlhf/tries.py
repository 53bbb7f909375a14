"""Trying a version: a typed prompt, and a sample run for each version asked.

Its prompt is kept apart by its source, so that nobody labels it and no run trains on it.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import QuerySet

from rlhf import prompts, runs
from rlhf.completions import visible
from rlhf.errors import Refusal
from rlhf.models import Completion, ModelVersion, Project, Prompt, Run
from rlhf.word_diff import Piece, word_diff

PURPOSE = "try"
MAX_WAITING = 20  # runs of a project that wait for an answer
MAX_SAMPLES = 8  # answers of a version to one prompt
MAX_TEMPERATURE = 2.0
NUM_EARLIER = 20  # tries listed
POLICIES = (
    ModelVersion.Kind.BASE,
    ModelVersion.Kind.SFT,
    ModelVersion.Kind.BEST_OF_N,
    ModelVersion.Kind.PPO,
    ModelVersion.Kind.DPO,
    ModelVersion.Kind.GRPO,
    ModelVersion.Kind.ENDPOINT,
)


class TooManyTries(Refusal):
    status = 429


class BadTry(Refusal):
    pass


@dataclass(frozen=True)
class Answer:
    """What one version was asked and what it has answered so far: nothing, or every sample."""

    run: Run
    prompt: Prompt
    completions: tuple[Completion, ...]


@dataclass(frozen=True)
class Earlier:
    """A try of this person, for the list."""

    key: str
    prompt: Prompt
    versions: tuple[str, ...]
    asked_at: datetime


def versions(*, project: Project) -> QuerySet[ModelVersion]:
    """The policies, the current one first, then the newest."""
    return ModelVersion.objects.filter(project=project, kind__in=POLICIES).order_by("-is_current", "-id")


def temperature(*, project: Project) -> float:
    """What the project samples at, unless another is asked for."""
    return float(project.loop.get("sample", {}).get("sampling", {}).get("temperature", 1.0))


def ask(
    *,
    project: Project,
    author: User,
    text: str,
    versions: Sequence[ModelVersion],
    now: datetime,
    temperature: float | None = None,
    num_samples: int = 1,
) -> str:
    """A sample run for each version; the key under which the answers are found. Raises TooManyTries, BadTry, BadPrompt.

    temperature: 0 takes the likeliest token; None is the project's own.
    """
    if not 1 <= num_samples <= MAX_SAMPLES:
        raise BadTry(f"answers: expected 1 to {MAX_SAMPLES}, found {num_samples}")
    if temperature is not None and not 0 <= temperature <= MAX_TEMPERATURE:
        raise BadTry(f"temperature: expected 0 to {MAX_TEMPERATURE:g}, found {temperature:g}")
    waiting = Run.objects.filter(project=project, purpose=PURPOSE, state__in=(Run.State.QUEUED, Run.State.RUNNING))
    if (num_waiting := waiting.count()) >= MAX_WAITING:
        raise TooManyTries(f"expected fewer than {MAX_WAITING} tries waiting for an answer, found {num_waiting}")
    prompt = _prompt(project, author, text)
    key = f"{author.pk}-{secrets.token_hex(8)}"
    asked = {"num_samples": num_samples, **({} if temperature is None else {"temperature": temperature})}
    for version in dict.fromkeys(versions):
        configuration = {**project.loop.get("sample", {})}
        configuration["text"] = {"prompt_format": project.prompt_format, **configuration.get("text", {})}
        configuration["sampling"] = {**configuration.get("sampling", {}), **asked}
        # Noise is a hash of seed, prompt and sample: asked again, a version is to say something else.
        configuration["engine"] = {**configuration.get("engine", {}), "seed": secrets.randbits(31)}
        runs.ask(
            project=project, kind=Run.Kind.SAMPLE, plan_key=f"try/{key}/{version.pk}", purpose=PURPOSE, policy=version,
            configuration=configuration, selection={"prompt_ids": [prompt.pk]}, now=now,
        )  # fmt: skip
    return key


def answers(*, project: Project, key: str) -> list[Answer]:
    """In the order asked; without completions while the run has not succeeded."""
    asked = Run.objects.filter(project=project, purpose=PURPOSE, plan_key__startswith=f"try/{key}/")
    asked = asked.select_related("policy").order_by("id")
    found: defaultdict[int, list[Completion]] = defaultdict(list)
    for completion in visible().filter(run__in=list(asked)).order_by("sample_index"):
        found[completion.run_id].append(completion)
    texts = _prompts(asked)
    return [Answer(run, texts[run.pk], tuple(found[run.pk])) for run in asked]


def differences(*, answers: Sequence[Answer]) -> list[tuple[list[Piece], list[Piece]] | None]:
    """What two versions do not share, sample by sample; empty unless both have answered, None for too long a text."""
    if len(answers) != 2:
        return []
    pairs = zip(answers[0].completions, answers[1].completions, strict=False)
    return [word_diff(first=first.text, second=second.text) for first, second in pairs]


def earlier(*, project: Project, author: User) -> list[Earlier]:
    """This person's tries, the newest first."""
    mine = Run.objects.filter(project=project, purpose=PURPOSE, plan_key__startswith=f"try/{author.pk}-")
    recent = list(mine.select_related("policy").order_by("-id")[: 2 * NUM_EARLIER])
    grouped: defaultdict[str, list[Run]] = defaultdict(list)
    for run in recent:
        grouped[run.plan_key.split("/")[1]].insert(0, run)
    texts = _prompts(recent)
    return [
        Earlier(key, texts[of_one[0].pk], tuple(str(run.policy) for run in of_one), of_one[0].created_at)
        for key, of_one in list(grouped.items())[:NUM_EARLIER]
    ]


def _prompts(asked: Sequence[Run] | QuerySet[Run]) -> dict[int, Prompt]:
    ids = {run.pk: run.selection["prompt_ids"][0] for run in asked}
    texts = Prompt.objects.in_bulk(ids.values())
    return {run: texts[prompt] for run, prompt in ids.items()}


def _prompt(project: Project, author: User, text: str) -> Prompt:
    new = prompts.new_prompt(value=text)
    prompts.add(project=project, prompts=[new], source=prompts.TRY, author=author)
    return Prompt.objects.get(project=project, sha256=prompts.sha256_of(messages=new.messages))
