"""The demo's simulated language model keeps its port, and with it who it is; two demos don't collide."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from annotate.management.demo.recipe import SMALL
from rlhf import judge_settings, judges
from rlhf.models import Project
from workers import supervise
from workers.demo import world
from workers.supervise import CannotStart, Part, Parts

pytestmark = pytest.mark.usefixtures("sqlite_database")


def port(project: Project) -> int:
    found = world.language_model_port(project=project)
    assert found is not None
    return found


def test_the_judge_is_the_same_after_every_start_whatever_is_taken_then() -> None:
    first = world.create(seed=0, rounds=1, sizes=SMALL).project
    with socket.create_server(("127.0.0.1", port(first))):
        again = world.create(seed=0, rounds=2, sizes=SMALL).project
    (judge,), (same,) = (judge_settings.parse(project.loop["judges"]) for project in (first, again))
    assert judges.identity_of_configured(config=judge.config) == judges.identity_of_configured(config=same.config)
    assert urlsplit(judge.config.server.base_url).port == port(again) in world.JUDGE_PORTS


def test_another_folder_and_a_taken_port_lead_to_another_one(settings: object, tmp_path: Path) -> None:
    first = port(world.create(seed=0, rounds=1, sizes=SMALL).project)
    Project.objects.update(slug="first")
    with socket.create_server(("127.0.0.1", first)):
        assert port(world.create(seed=0, rounds=1, sizes=SMALL).project) != first
    Project.objects.filter(slug=world.SLUG).update(slug="second")
    settings.VAR = tmp_path / "elsewhere"
    assert port(world.create(seed=0, rounds=1, sizes=SMALL).project) != first


def test_a_project_whose_settings_name_no_simulated_model_starts_none() -> None:
    real = {"name": "large", "kind": "llm", "server": {"base_url": "https://models.example/v1", "model": "large-4"}}
    assert world.language_model_port(project=Project(loop={"judges": [real]})) is None
    assert world.language_model_port(project=Project(loop={})) is None


def test_parts_do_not_start_where_the_port_of_one_beside_them_is_taken(settings: object, tmp_path: Path) -> None:
    settings.SOCKETS = tmp_path / "sockets"
    parts = Parts(port=supervise.free_port())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"port {number} of language-model: expected a free port"):
            parts.start(beside=[Part("language-model", ["true"], port=number)])
    parts.stop()
    assert parts.pids() == {}
