"""A demo's database from outside: `python -m tests.workers.demo_world token`, or `show` its newest document."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402

from rlhf import evaluation_snapshots  # noqa: E402
from rlhf.models import Project, ProjectToken, Run, Scope  # noqa: E402
from rlhf.overview import document, timelines  # noqa: E402
from rlhf.overview.links import Links  # noqa: E402
from workers import overview  # noqa: E402


def token(project: Project) -> str:
    """Of the demo's manager, for writing."""
    made: str = ProjectToken.objects.create(
        user=User.objects.get(username="admin"), project=project, scope=Scope.WRITE, name="test"
    )[1]
    return made


def show(project: Project) -> dict[str, Any]:
    """Cells by names instead of ids, points of the timeline, what is open and what has been asked.

    `is_quiet`: nothing is at work, and the newest document shows all verdicts.
    """
    snapshot = evaluation_snapshots.newest(project=project)
    found = document.read(snapshot=snapshot) if snapshot else None
    links = Links(project=project.slug, sha256=snapshot.sha256 if snapshot else "")
    at_work = project.runs.filter(state__in=(Run.State.QUEUED, Run.State.RUNNING))
    tasks = project.tasks.values_list("kind", "iteration", "state", "evaluation__candidate__name")
    return {
        "is_quiet": found is not None and not at_work.exists() and overview.is_current(project=project),
        "failed": list(project.runs.filter(state=Run.State.FAILED).values_list("plan_key", "error")),
        "cells": _cells(found) if found else [],
        "points": [
            {name: row[name] for name in ("version", "baseline", "kind", "judge", "win_rate", "low", "high")}
            for row in (timelines.figure(found, links).rows if found else [])
        ],
        "tasks": sorted(tasks, key=str),
        "judged": list(project.runs.filter(kind=Run.Kind.JUDGE).order_by("pk").values("pk", "attempt", "state")),
    }


def _cells(found: document.Document) -> list[dict[str, Any]]:
    ids = ("evaluation", "candidate", "baseline", "judge")
    named = [
        {
            "candidate": found.versions[cell["candidate"]]["name"],
            "baseline": found.versions[cell["baseline"]]["name"],
            "judge": found.judges[cell["judge"]]["name"],
            **{name: value for name, value in cell.items() if name not in ids},
        }
        for cell in found.pieces("cells")
    ]
    return sorted(named, key=lambda cell: (cell["candidate"], cell["baseline"], cell["judge"], cell["split"]))


if __name__ == "__main__":
    demo = Project.objects.get(slug="demo")
    print(json.dumps(token(demo) if sys.argv[1] == "token" else show(demo)))
