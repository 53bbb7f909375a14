"""`python -m tests.browser blind PLACE SLUG`: a project of telling names and numbers that no labeler may see."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from annotate import batches, protocols
from annotate.gold_files import GoldTask
from annotate.models import Protocol, Ranking
from rlhf import evaluations
from rlhf.models import Completion, ModelVersion, Project, Prompt, Run
from rlhf.prompts import add, new_prompt
from tests.browser import world

CANDIDATE, BASELINE = "zanzibar-7b-quux", "narwhal-3b-oryx"
NUMBERS = {"version": 8_800_200_000_000, "run": 9_900_300_000_000, "completion": 7_700_100_000_000}
PLANTED = (
    CANDIDATE, BASELINE, "wombat/plover-13b", "/models/okapi.safetensors", "hoopoe-plan", "quokka-batch", "gnu-source",
    "tapir-worker", *(str(number)[:7] for number in NUMBERS.values()),
)  # fmt: skip
PLAIN = "Water it in the evening, number {}."
TELLING = "I am ChatGPT, made by OpenAI, and I would water it in the morning, number {}."


def project(slug: str) -> dict[str, Any]:
    """Two qualification tasks, then comparisons of two versions; in the first of these an answer names itself."""
    made = world.project(slug=slug, name="Kind answers")
    Project.objects.filter(pk=made.pk).update(base_model="wombat/plover-13b")
    protocol = protocols.protocol(project=made, kind=Protocol.Kind.COMPARE)
    protocols.revise(protocol=protocol, qualification_size=2, qualification_percent=50)
    batches.open_gold(
        project=made, protocol=protocol, rows=[_gold(0), _gold(1)], purpose="qualification", now=timezone.now()
    )
    candidate, baseline = (_version(made, name, index) for index, name in enumerate((CANDIDATE, BASELINE)))
    evaluation = evaluations.open_evaluation(project=made, candidate=candidate, baseline=baseline, iteration=1)
    prompts = [_prompt(made, index) for index in range(6)]
    for version in (candidate, baseline):
        _answer(version, prompts)
    batches.open_comparisons(evaluation=evaluation, prompts=prompts, batch="quokka-batch")
    return {"planted": PLANTED, "telling": TELLING.format(0)}


def flagged(slug: str) -> dict[str, Any]:
    """Of each stored ranking, its answers and whether one of them names itself."""
    rankings = Ranking.objects.filter(project__slug=slug, task__purpose="work")
    texts = dict(Completion.objects.filter(project__slug=slug).values_list("pk", "text"))
    return {"rows": [[[texts[pk] for pk in row.completion_ids], row.names_itself] for row in rankings]}


def _gold(index: int) -> GoldTask:
    prompt = new_prompt(value=f"Which note is kinder, number {index}?")
    return GoldTask(prompt, ("You are kind.", "Go away."), {"ranks": [1, 2]}, "The first is **polite**.")


def _version(made: Project, name: str, index: int) -> ModelVersion:
    return ModelVersion.objects.create(
        pk=NUMBERS["version"] + index + 10 * made.pk, project=made, kind=ModelVersion.Kind.PPO, name=name, number=index,
        path="/models/okapi.safetensors", source="wombat/plover-13b", is_current=index == 0,
    )  # fmt: skip


def _prompt(made: Project, index: int) -> Prompt:
    add(project=made, prompts=[new_prompt(value=f"When do I water basil number {index}?")], source="gnu-source")
    return made.prompts.latest("id")


def _answer(version: ModelVersion, prompts: list[Prompt]) -> None:
    run = Run.objects.create(
        pk=NUMBERS["run"] + version.pk % 1_000, project=version.project, kind=Run.Kind.SAMPLE, purpose="evaluation",
        resource=Run.Resource.GPU, plan_key=f"hoopoe-plan-{version.name}", state=Run.State.SUCCEEDED, attempt=1,
        policy=version, worker="tapir-worker",
    )  # fmt: skip
    texts = [TELLING if version.name == CANDIDATE and index == 0 else PLAIN for index in range(len(prompts))]
    Completion.objects.bulk_create(
        Completion(
            pk=NUMBERS["completion"] + 100 * (version.pk % 1_000) + index, project=version.project, prompt=prompt,
            version=version, run=run, attempt=1, sample_index=0, num_tokens=9, finished=True,
            text=texts[index].format(index) + ("" if version.name == CANDIDATE else " Or later."),
        )
        for index, prompt in enumerate(prompts)
    )  # fmt: skip


def main(place: str, slug: str) -> dict[str, Any]:
    return {"project": project, "flagged": flagged}[place](slug)
