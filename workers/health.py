"""What `manage.py doctor` looks at: each check answers in one line, and says what to do where something is wrong."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import redis
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from rlhf import projects

FREE_BYTES = 2 * 1024**3
ASSETS = (("d3", "dist/d3.min.js"), ("@observablehq/plot", "dist/plot.umd.min.js"), ("sortablejs", "Sortable.min.js"))
# In a process of its own: this one stays small, and a broken torch is an answer instead of a crash.
DEVICE_PROBE = (
    "import torch; d = torch.cuda.get_device_name(0) if torch.cuda.is_available() else 'cpu';"
    "print(f'{torch.__version__} on {d}, {torch.get_num_threads()} threads')"
)


class Ill(Exception):
    """What was found, what was expected, what to do."""


@dataclass(frozen=True)
class Finding:
    name: str
    text: str
    is_well: bool


def examine() -> Iterator[Finding]:
    for name, check in CHECKS.items():
        try:
            yield Finding(name, check(), is_well=True)
        except Ill as error:
            yield Finding(name, str(error), is_well=False)


def require(*names: str) -> None:
    """Raises Ill, with the check's name, for the first of these checks that fails."""
    for name in names:
        try:
            CHECKS[name]()
        except Ill as error:
            raise Ill(f"{name}: {error}") from error


def _settings() -> str:
    given = sorted(name for name in os.environ if name.startswith("HONE_") or name in ("DATABASE_URL", "REDIS_URL"))
    return f"{', '.join(given)} set" if given else "all at their defaults"


def _python() -> str:
    if sys.version_info < (3, 11):  # noqa: UP036 (an older one may run this file)
        raise Ill(f"found Python {sys.version.split()[0]}, expected 3.11 or later")
    return f"{sys.version.split()[0]}, Django {importlib.metadata.version('django')}"


def _folder() -> str:
    try:
        with tempfile.TemporaryFile(dir=settings.VAR):
            free = shutil.disk_usage(settings.VAR).free
    except OSError as error:
        raise Ill(f"{settings.VAR}: expected a folder to write to, found {error}") from error
    if free < FREE_BYTES:
        raise Ill(f"{settings.VAR}: expected {FREE_BYTES / 1e9:.1f} GB free, found {free / 1e9:.1f} GB")
    return f"{settings.VAR}, {free / 1e9:.1f} GB free"


def _storage() -> str:
    try:
        name = default_storage.save("doctor/probe", ContentFile(b"well"))
        default_storage.delete(name)
    except Exception as error:  # every storage has its own exceptions
        raise Ill(f"expected to write and delete a file, found {type(error).__name__}: {error}") from error
    return type(default_storage).__name__ + " takes files"


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        raise Ill(f"{connection.vendor}: expected a connection, found {str(error).strip()}") from error
    return f"{connection.vendor}, {connection.settings_dict['NAME']}"


def _migrations() -> str:
    try:
        executor = MigrationExecutor(connection)
    except DatabaseError as error:
        raise Ill("not known without a database") from error
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        raise Ill(f"{len(missing)} are missing, the first is {missing[0][0]}: run manage.py migrate (up and demo do)")
    return "all applied"


def _broker() -> str:
    own = settings.REDIS_URL == settings.OWN_REDIS_URL
    shown = re.sub(r"//.*@", "//", settings.REDIS_URL)  # never the password
    try:
        found = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2)
    except ValueError as error:
        raise Ill(f"REDIS_URL: expected redis://host:port/0, found {shown!r}") from error
    with contextlib.closing(found) as client:
        try:
            version = client.info("server")["redis_version"]
        except redis.RedisError as error:
            if own:
                return "our own Valkey, not running (up and demo start it)"
            raise Ill(f"{shown}: expected a Redis or Valkey, found {error}") from error
    return f"{'our own Valkey' if own else shown}, Redis {version}"


def _assets() -> str:
    folder = settings.BASE_DIR / "node_modules"
    missing = [name for name, file in ASSETS if not (folder / name / file).exists()]
    if missing:
        raise Ill(f"{folder}: expected {', '.join(missing)}: run make node_modules/.installed")
    return "installed"


def _torch() -> str:
    done = subprocess.run(
        [sys.executable, "-c", DEVICE_PROBE], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise Ill(f"expected torch, found {(done.stderr.strip().splitlines() or ['nothing'])[-1]}")
    if settings.DEVICE == "cuda" and " on cpu" in done.stdout:
        raise Ill(f"HONE_DEVICE is cuda, expected a CUDA device, found {done.stdout.strip()}")
    return done.stdout.strip()


def _base_model() -> str:
    if not settings.BASE_MODEL:
        return "none offered by the wizard (HONE_BASE_MODEL)"
    try:
        return projects.checked_base_model(value=settings.BASE_MODEL)
    except projects.BadProject as error:
        raise Ill(f"HONE_BASE_MODEL: {error}") from error


CHECKS: dict[str, Callable[[], str]] = {
    "python": _python,
    "settings": _settings,
    "var": _folder,
    "storage": _storage,
    "database": _database,
    "migrations": _migrations,
    "broker": _broker,
    "front end": _assets,
    "torch": _torch,
    "base model": _base_model,
}
