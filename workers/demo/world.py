"""The demo's project, accounts and imports: made once, found again by the next start."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User

from annotate import batches, imports
from annotate.management.demo import chance, grammar, labelers, language_model, recipe
from annotate.management.demo.recipe import Sizes
from annotate.models import Protocol, Task
from rlhf import prompts
from rlhf.models import Membership, Project, ProjectToken, Prompt, Role, Scope, Split
from workers import supervise
from workers.demo import guidelines
from workers.loop import DEMONSTRATIONS

SLUG = "demo"
PASSWORD = "hone-demo"  # noqa: S105 (the demo listens on loopback only, and prints it)
PEOPLE = {"admin": Role.MANAGER, "researcher": Role.RESEARCHER, "labeler": Role.LABELER}
HELD_OUT_SHARE = 0.26  # about 1,300 prompts: the audit of the reward model wants 1,000 that nothing was trained on
IMPORTED = "import"
JUDGE_PORTS = range(20_000, 30_000)  # of the simulated language model: below those that systems give to clients


@dataclass(frozen=True)
class World:
    project: Project
    seed: int
    rounds: int
    sizes: Sizes


def create(*, seed: int, rounds: int, sizes: Sizes) -> World:
    """The project with its people, protocols, prompts and the first batch of tasks; setting up, not yet active."""
    project, _ = Project.objects.get_or_create(
        slug=SLUG,
        defaults={
            "name": "Demo",
            "description": "A small world that Hone made itself: short requests, simulated labelers, a tiny model.",
            "prompt_format": "chat",
            "salt": f"demo-{seed}",
            "held_out_share": HELD_OUT_SHARE,
            "loop": recipe.loop_settings(seed=seed, num_rounds=rounds, judge_port=_judge_port(), sizes=sizes),
        },
    )
    _accounts(project)
    _protocols(project)
    _prompts(project, seed=seed, num_prompts=sizes.num_prompts)
    _first_tasks(project, sizes)
    return World(project=project, seed=seed, rounds=rounds, sizes=sizes)


def language_model_port(*, project: Project) -> int | None:
    """Where the project's settings look for the simulated language model; None where they don't."""
    for judge in project.loop.get("judges", []):
        server = judge.get("server", {})
        if server.get("model") == language_model.MODEL:
            return urlsplit(str(server.get("base_url"))).port
    return None


def activate(*, world: World, base_model: str) -> None:
    """Set the loop going for this many rounds; a finished project takes up the rounds that are new."""
    _activate(world, base_model=base_model, loop=world.project.loop | {"num_rounds": world.rounds})


def keep_open(*, world: World) -> None:
    """After the last simulated round the loop goes on for people: the next round's tasks wait for whoever signs in."""
    _activate(world, loop=world.project.loop | {"num_rounds": None})


def _activate(world: World, **changes: object) -> None:
    Project.objects.filter(pk=world.project.pk).update(state=Project.State.ACTIVE, state_reason="", **changes)


def import_demonstrations(*, world: World) -> int:
    """The rest of the SFT data, which no labeler of the demo writes; returns how many were new."""
    asked = set(Task.objects.filter(project=world.project, batch=DEMONSTRATIONS).values_list("prompt_id", flat=True))
    rest = [prompt for prompt in _prompts_of(world.project, Split.TRAIN) if prompt.pk not in asked]
    num_asked = len(_first_prompts(world.project, world.sizes)[Split.TRAIN])
    wanted = world.sizes.num_demonstrations - num_asked
    rows = []
    for prompt in rest[:wanted]:
        text = prompt.messages[-1]["content"]
        written = labelers.demonstration(world.seed, labelers.task_key(text), 0, text)
        new = prompts.NewPrompt(tuple(prompt.messages), prompt.category)
        rows.append(imports.NewDemonstration(prompt=new, text=written))
    return imports.add(project=world.project, demonstrations=rows, source=IMPORTED).num_added


def num_open_demonstrations(*, project: Project) -> int:
    """Tasks of the first batch that no labeler has answered yet."""
    return project.tasks.filter(batch=DEMONSTRATIONS, state=Task.State.OPEN).count()


def tokens(*, project: Project) -> dict[str, str]:
    """A fresh labeling token for each simulated labeler, by account name."""
    people = User.objects.filter(username__in=labelers.NAMES)
    ProjectToken.objects.filter(project=project, user__in=people, name="simulated").delete()
    return {
        user.username: ProjectToken.objects.create(user=user, project=project, scope=Scope.LABEL, name="simulated")[1]
        for user in people
    }


def _judge_port() -> int:
    """A free port by a hash of the demo's folder, so that worlds that rest keep out of each other's way, too."""
    start = chance.number("judge", str(settings.VAR)) % len(JUDGE_PORTS)
    for port in (*JUDGE_PORTS[start:], *JUDGE_PORTS[:start]):
        if supervise.is_free(port):
            return port
    raise supervise.CannotStart(f"no free port from {JUDGE_PORTS[0]} to {JUDGE_PORTS[-1]}")


def _accounts(project: Project) -> None:
    password = make_password(PASSWORD)
    for name in (*PEOPLE, *labelers.NAMES):
        admin = name == "admin"
        user, _ = User.objects.get_or_create(
            username=name, defaults={"password": password, "is_staff": admin, "is_superuser": admin}
        )
        Membership.objects.get_or_create(
            project=project, user=user, defaults={"role": PEOPLE.get(name, Role.LABELER), "pseudonym": name}
        )


def _protocols(project: Project) -> None:
    for kind, name in (
        (Protocol.Kind.DEMONSTRATE, "Write the answer"),
        (Protocol.Kind.RANK, "Rank four answers"),
        (Protocol.Kind.COMPARE, "Compare two answers"),
    ):
        Protocol.objects.get_or_create(
            project=project,
            kind=kind,
            defaults={
                "name": name,
                "guidelines": guidelines.TEXT[kind],
                "num_completions": recipe.NUM_COMPLETIONS if kind == Protocol.Kind.RANK else 2,
                "auto_pause": False,  # simulated people answer faster than anybody reads
            },
        )


def _prompts(project: Project, *, seed: int, num_prompts: int) -> None:
    if project.prompts.filter(source="grammar").count() >= num_prompts:
        return
    requests = (grammar.request(seed=seed, index=index) for index in range(num_prompts))
    prompts.add(
        project=project,
        prompts=(prompts.NewPrompt(tuple(request.messages), request.kind) for request in requests),
        source="grammar",
    )


def _first_tasks(project: Project, sizes: Sizes) -> None:
    for prompts_of_split in _first_prompts(project, sizes).values():
        batches.open_demonstrations(project=project, prompts=prompts_of_split, batch=DEMONSTRATIONS)


def _first_prompts(project: Project, sizes: Sizes) -> dict[Split, list[Prompt]]:
    """Prompts of the labeled demonstrations, in the project's proportion: on the held-out ones SFT is measured."""
    num_held_out = round(sizes.num_labeled_demonstrations * HELD_OUT_SHARE)
    limits = {Split.TRAIN: sizes.num_labeled_demonstrations - num_held_out, Split.HELD_OUT: num_held_out}
    return {split: _prompts_of(project, split)[:limit] for split, limit in limits.items()}


def _prompts_of(project: Project, split: Split) -> list[Prompt]:
    return list(project.prompts.filter(split=split, source="grammar").order_by("id"))
