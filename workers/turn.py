"""One turn of planning: a project, its settings, the clock; and how a step is asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rlhf import runs
from rlhf.loop_settings import LoopSettings
from rlhf.models import DatasetSnapshot, ModelVersion, Project, Run


@dataclass(frozen=True)
class Turn:
    project: Project
    settings: LoopSettings
    now: datetime
    iteration: int  # 0 up to the first version, then 1, 2 ...

    def configuration(self, stage: str, **sections: dict[str, Any]) -> dict[str, Any]:
        """The settings of a stage in the project's prompt format; `sections` stand above what the settings say."""
        values: dict[str, Any] = dict(getattr(self.settings, stage))
        values["text"] = {"prompt_format": self.project.prompt_format, **values.get("text", {})}
        for name, section in sections.items():
            values[name] = {**values.get(name, {}), **section}
        return values


def ask(turn: Turn, kind: str, key: str, *, configuration: dict[str, Any], **arguments: Any) -> Run | None:
    """Ask for a step unless that has been done; the run once it has succeeded, None before.

    A failed run is not asked for again: its page says why, and a manager may retry it.
    """
    if kind not in (Run.Kind.FREEZE, Run.Kind.ESTIMATE):
        engine = {**configuration.get("engine", {}), "seed": seed_of(turn.settings.seed, key)}
        configuration = {**configuration, "engine": engine}
    run = runs.ask(
        project=turn.project,
        kind=kind,
        plan_key=key,
        iteration=turn.iteration,
        configuration=configuration,
        now=turn.now,
        **{"purpose": "loop", **arguments},
    )
    return run if run.state == Run.State.SUCCEEDED else None


def seed_of(seed: int, key: str) -> int:
    """The same in every database: no id goes into it."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{key}".encode()).digest()[:4], "big") >> 1


def is_asked(turn: Turn, key: str) -> bool:
    return Run.objects.filter(project=turn.project, plan_key=key).exists()


def succeeded(turn: Turn, key: str) -> Run | None:
    return Run.objects.filter(project=turn.project, plan_key=key, state=Run.State.SUCCEEDED).first()


def made_snapshot(turn: Turn, key: str, selection: dict[str, Any]) -> DatasetSnapshot | None:
    """The snapshot of a freeze step, asked for unless that has been done."""
    run = ask(turn, Run.Kind.FREEZE, key, configuration={}, selection=selection)
    return None if run is None else run.made_snapshot


def version_named(turn: Turn, name: str) -> ModelVersion | None:
    return ModelVersion.objects.filter(project=turn.project, name=name).first()
