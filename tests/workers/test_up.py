"""`manage.py up`: everything starts, is restarted when it dies, and goes when it is told to or is killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import ROOT
from tests.workers.processes import Command, named, processes, wait_for

PARTS = ("gunicorn", "--queues gpu", "--queues cpu", "manage.py dispatch", "valkey")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with Command("up", var=tmp_path_factory.mktemp("up")) as command:
        wait_for(lambda: "Ctrl-C" in command.said() or command.process.poll() is not None, "the greeting")
        yield command


def test_it_says_where_it_is_and_that_the_first_visit_makes_the_admin(up: Command) -> None:
    assert f"http://127.0.0.1:{up.port}/setup/" in up.said()
    assert "nobody has an account yet" in up.said()
    with urllib.request.urlopen(f"http://127.0.0.1:{up.port}/setup/", timeout=10) as page:
        assert page.status == 200


def test_every_part_runs_and_comes_back_when_it_is_killed(up: Command) -> None:
    for words in PARTS:
        wait_for(lambda words=words: named(up.var, words), words)
    for words in ("manage.py dispatch", "valkey"):
        before = {process.pid for process in named(up.var, words)}
        os.kill(min(before), signal.SIGKILL)
        wait_for(lambda words=words, old=before: {each.pid for each in named(up.var, words)} - old, f"{words} again")


ASK_A_JUDGE = """
import django
django.setup()
from django.utils import timezone
from rlhf import runs
from rlhf.models import Project
project = Project.objects.create(name="P", slug="p", base_model="m", salt="s")
server = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
runs.ask(
    project=project, kind="judge", plan_key="x", configuration={"backend": "openai", "server": server},
    now=timezone.now(),
)
"""


def test_a_worker_for_the_network_comes_with_the_first_run_that_needs_one(up: Command) -> None:
    assert not named(up.var, "--queues network")
    environment = {"DATABASE_URL": "", "HONE_VAR": str(up.var), "DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run([sys.executable, "-c", ASK_A_JUDGE], cwd=ROOT, env={**os.environ, **environment}, check=True)
    wait_for(lambda: named(up.var, "--queues network"), "a worker for the network")


def test_a_second_one_in_the_same_folder_is_refused_in_one_sentence(up: Command) -> None:
    second = run("up", HONE_VAR=str(up.var))
    assert second.returncode == 1
    assert told(second) == f"CommandError: {up.var}: another `up` or `demo` runs here; stop it, or set HONE_VAR"


def test_a_port_that_is_taken_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = run("up", "--port", str(port), HONE_VAR=str(tmp_path))
    assert found.returncode == 1
    assert told(found) == f"CommandError: port {port}: expected a free port on 127.0.0.1, found one that is taken"
    assert processes(tmp_path) == []


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("HONE_FOO", "1", "Settings: unknown setting HONE_FOO: expected some of HONE_ALLOWED_HOSTS, .*"),
        ("HONE_DEVICE", "gpu", "Settings: HONE_DEVICE: expected one of auto, cpu, cuda, found 'gpu'"),
        ("HONE_RUN_STALE_S", "soon", "Settings: HONE_RUN_STALE_S: expected a number of seconds above 0, found 'soon'"),
        (
            "DATABASE_URL",
            "mysql://u:secret@host/x",
            "Settings: DATABASE_URL: expected postgresql.* found scheme 'mysql'",
        ),
        ("DATABASE_URL", "postgresql://u:secret@h:x/d", "Settings: DATABASE_URL: expected a port number, found 'h:x'"),
        (
            "DATABASE_URL",
            "postgresql://u:secret@127.0.0.1:1/d",
            "Database: .*refused; `manage.py doctor` checks what is needed",
        ),
    ],
)
@pytest.mark.parametrize("command", ["up", "work"])
def test_what_cannot_be_used_is_told_in_one_sentence(
    tmp_path: Path, command: str, setting: str, value: str, message: str
) -> None:
    found = run(command, **{"HONE_VAR": str(tmp_path), setting: value})

    assert found.returncode == 1
    assert re.fullmatch(message, told(found)), found.stderr
    assert "secret" not in found.stderr
    assert not (tmp_path / "hone.sqlite3").exists()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("HONE_STORAGE", "FILE/storage", "CommandError: storage: expected to write and delete a file, found .*"),
        ("HONE_VAR", "FILE/var", "Settings: HONE_VAR: expected a folder to write to, found .*"),
        ("REDIS_URL", "nonsense", "CommandError: broker: REDIS_URL: expected redis://host:port/0, found 'nonsense'"),
        (
            "REDIS_URL",
            "redis://u:secret@127.0.0.1:1/0",
            "CommandError: broker: redis://127.0.0.1:1/0: expected a Redis or Valkey, found .*",
        ),
    ],
)
def test_nothing_starts_where_files_or_messages_have_no_place(
    tmp_path: Path, setting: str, value: str, message: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    found = run("up", **{"HONE_VAR": str(tmp_path), setting: value.replace("FILE", str(file))})

    assert found.returncode == 1
    assert re.fullmatch(message, told(found)), found.stderr
    assert "secret" not in found.stderr
    assert processes(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_stays_behind(tmp_path: Path, number: signal.Signals) -> None:
    with Command("up", var=tmp_path) as command:
        wait_for(lambda: all(named(tmp_path, words) for words in PARTS), "every part")
        os.kill(command.process.pid, number)
        assert command.wait(60.0) == (-signal.SIGKILL if number == signal.SIGKILL else 0)
        wait_for(lambda: processes(tmp_path) == [], "the end of every process", 10.0)
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", command.port)) != 0


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": "", "REDIS_URL": "", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def told(command: subprocess.CompletedProcess[str]) -> str:
    """The last line; Django's warnings about a front end that is not installed may stand before it."""
    assert "Traceback" not in command.stderr
    return command.stderr.strip().splitlines()[-1]
