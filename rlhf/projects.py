"""Projects and their people: made, joined and left here. A project is born whole or not at all."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.utils.text import slugify

from rlhf import loop_settings
from rlhf.errors import Refusal
from rlhf.learning.configs import TextConfig
from rlhf.loop_settings import STAGES
from rlhf.models import Membership, Project, Role

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
ENGINE_GPU = {"device": "auto", "precision": "bfloat16"}
SCALING = [0.25, 0.5]  # what twice the labels would buy: three quarters of the reward model's training again
# What a stage is told besides the defaults of rlhf/learning/configs, for the two sizes that the wizard offers.
PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {
        "num_demonstrations": 20,
        "num_ranking_prompts": 40,
        "num_held_out_ranking_prompts": 10,
        "num_best_of_n_prompts": 64,
        "num_ppo_prompts": 200,
        "num_compare_tasks": 20,
        "sft": {"batch_size": 16, "micro_batch_size": 16},
        "reward": {"batch_size": 8, "micro_batch_size": 8, "scaling_shares": SCALING},
        "sample": {"sampling": {"batch_size": 32}},
        "best_of_n": {"batch_size": 16, "micro_batch_size": 16, "sampling": {"num_samples": 4, "batch_size": 32}},
        "ppo": {
            "num_iterations": 20,
            "rollouts_per_iteration": 64,
            "minibatch_size": 32,
            "micro_batch_size": 32,
        },
        "dpo": {"batch_size": 8, "micro_batch_size": 8},
        "grpo": {
            "num_iterations": 20,
            "prompts_per_iteration": 16,
            "group_size": 4,
            "minibatch_size": 64,
            "micro_batch_size": 32,
        },
    },
    "gpu": {
        "num_demonstrations": 200,
        "num_ranking_prompts": 400,
        "num_held_out_ranking_prompts": 100,
        "num_compare_tasks": 100,
        "sft": {"engine": ENGINE_GPU, "micro_batch_size": 8},
        "reward": {"engine": ENGINE_GPU, "micro_batch_size": 4, "scaling_shares": SCALING},
        "sample": {"engine": ENGINE_GPU, "sampling": {"batch_size": 64}},
        "best_of_n": {"engine": ENGINE_GPU, "micro_batch_size": 8, "sampling": {"num_samples": 8, "batch_size": 64}},
        "ppo": {"engine": {**ENGINE_GPU, "checkpoint_every": 4}, "micro_batch_size": 8},
        "dpo": {"engine": ENGINE_GPU, "micro_batch_size": 4},
        "grpo": {"engine": {**ENGINE_GPU, "checkpoint_every": 4}, "micro_batch_size": 8},
    },
}


class BadProject(Refusal):
    pass


class NotAMember(Refusal):
    status = 404


class LastManager(Refusal):
    status = 409


class AlreadySetUp(Refusal):
    status = 409


def checked_base_model(*, value: str) -> str:
    """A model directory as an absolute path, or a name as it is. Raises BadProject."""
    value = value.strip()
    path = Path(value).expanduser()
    looks_like_path = value.startswith((".", "/", "~")) or value.count("/") > 1 or path.exists()
    if not looks_like_path:
        if not HUB_NAME.fullmatch(value):
            raise BadProject(f"base model: expected a name such as org/model or a directory, found {value!r}")
        return value
    if not path.is_dir():
        raise BadProject(f"base model: expected a directory on the server, found no directory at {value}")
    if not (path / "config.json").is_file():
        raise BadProject(f"base model: expected a model directory with a config.json, found none in {value}")
    if not any(path.glob("*.safetensors")) and not any(path.glob("*.bin")):
        raise BadProject(f"base model: expected weights (*.safetensors) beside config.json, found none in {value}")
    return str(path.resolve())


def prompt_format_of(*, base_model: str) -> str:
    """chat where a model directory brings a chat template, plain where it doesn't; chat for a model by name."""
    path = Path(base_model)
    if not path.is_dir() or (path / "chat_template.jinja").is_file():
        return "chat"
    settings = path / "tokenizer_config.json"
    return "chat" if settings.is_file() and '"chat_template"' in settings.read_text() else "plain"


def text_limits(*, base_model: str) -> dict[str, int]:
    """How many tokens prompts and completions may have, so that both fit into the positions of a model directory.

    Empty where they fit as they are by default, and for a model by name, whose positions are not known here.
    """
    defaults = TextConfig()
    try:
        config = json.loads((Path(base_model) / "config.json").read_text())
    except (OSError, ValueError):
        return {}
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    if not isinstance(positions, int) or positions >= defaults.max_prompt_tokens + defaults.max_completion_tokens:
        return {}
    completion = max(1, positions // 3)
    return {"max_prompt_tokens": max(1, positions - completion), "max_completion_tokens": completion}


def create(
    *,
    name: str,
    base_model: str,
    manager: User,
    loop: dict[str, Any],
    prompt_format: str = "",
    description: str = "",
    state: str = Project.State.SETUP,
) -> Project:
    """A project with its first manager. Raises BadProject or BadLoopSettings, and then nothing is made."""
    base_model = checked_base_model(value=base_model)
    limits = text_limits(base_model=base_model)
    stages = {
        stage: {**loop.get(stage, {}), "text": {**limits, **loop.get(stage, {}).get("text", {})}} for stage in STAGES
    }
    loop = {**loop, **stages} if limits else loop
    loop_settings.parse(loop)
    slug = slugify(name)[:60].strip("-")
    if not slug:
        raise BadProject(f"name: expected at least one letter or digit, found {name!r}")
    with transaction.atomic():
        project, made = Project.objects.get_or_create(
            slug=slug,
            defaults={
                "name": name,
                "description": description,
                "base_model": base_model,
                "prompt_format": prompt_format or prompt_format_of(base_model=base_model),
                "salt": secrets.token_hex(16),
                "loop": loop,
                "state": state,
            },
        )
        if not made:
            raise BadProject(f"name: expected one that is free, found a project at /p/{slug}/")
        join(project=project, user=manager, role=Role.MANAGER)
    return project


def start(*, project: Project) -> None:
    """From now on the loop plans this project."""
    Project.objects.filter(pk=project.pk).exclude(state=Project.State.ACTIVE).update(
        state=Project.State.ACTIVE, state_reason=""
    )


def pause(*, project: Project, reason: str) -> None:
    Project.objects.filter(pk=project.pk, state=Project.State.ACTIVE).update(
        state=Project.State.PAUSED, state_reason=reason[:500]
    )


def join(*, project: Project, user: User, role: str) -> Membership:
    """Make the person a member, or change the role of one. The pseudonym stays. Raises LastManager."""
    with transaction.atomic():
        if role != Role.MANAGER:
            _keep_a_manager(project, user)
        membership, _ = Membership.objects.update_or_create(
            project=project, user=user, defaults={"role": role}, create_defaults={
                "role": role, "pseudonym": f"labeler-{secrets.token_hex(4)}",
            },
        )  # fmt: skip
    return membership


def leave(*, project: Project, user: User) -> None:
    """Raises NotAMember, or LastManager: somebody has to be able to let people in."""
    with transaction.atomic():
        _keep_a_manager(project, user)
        deleted, _ = Membership.objects.filter(project=project, user=user).delete()
    if not deleted:
        raise NotAMember(f"expected a member of {project.slug}, found {user.get_username()}")


def first_admin(*, username: str, password: str) -> User:
    """The account of the first visit. Raises AlreadySetUp once anybody has an account."""
    with transaction.atomic():
        # One row that is always there, locked: of two first visits at once, the second one waits and is refused.
        list(ContentType.objects.select_for_update().order_by("id")[:1])
        if User.objects.exists():
            raise AlreadySetUp("expected no account yet, found one: sign in instead")
        return User.objects.create_superuser(username=username, password=password)


def _keep_a_manager(project: Project, user: User) -> None:
    managers = set(
        Membership.objects.select_for_update()
        .filter(project=project, role=Role.MANAGER)
        .values_list("user_id", flat=True)
    )
    if managers == {user.pk}:
        raise LastManager(f"expected another manager in {project.slug}, found {user.get_username()} alone")
