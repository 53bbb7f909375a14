"""Databases from before the workbench go on, on both kinds of database."""

from __future__ import annotations

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from annotate import protocols
from annotate.models import Protocol
from rlhf.models import Project


def test_protocols_that_shared_a_name_keep_apart_after_the_upgrade(either_database: None) -> None:
    before = MigrationExecutor(connection)
    before.migrate([("annotate", "0001_initial")])
    apps = before.loader.project_state([("annotate", "0001_initial")]).apps
    project = apps.get_model("rlhf", "Project").objects.create(name="Old", slug="old", base_model="tiny", salt="salt")
    for kind, name in (("demonstrate", "Label"), ("rank", "Label"), ("compare", "Write a prompt")):
        apps.get_model("annotate", "Protocol").objects.create(project=project, kind=kind, name=name)

    after = MigrationExecutor(connection)
    after.migrate(after.loader.graph.leaf_nodes())

    there = dict(Protocol.objects.values_list("kind", "name"))
    assert there == {"demonstrate": "Label", "rank": "Label (rank)", "compare": "Write a prompt (compare)"}
    made = protocols.protocol(project=Project.objects.get(slug="old"), kind="prompt")
    assert made.name == "Write a prompt"
