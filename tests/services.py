"""Real services for tests: a PostgreSQL of our own and gunicorn processes on free ports, ended by their own ids."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
START_S = 60  # a loaded machine takes its time


@dataclass(frozen=True)
class Servers:
    urls: list[str]
    environment: dict[str, str]
    parts: list[Gunicorn] = field(default_factory=list)

    def run(self, *arguments: str) -> str:
        """The output of `python <arguments>` with the servers' environment."""
        return _run([sys.executable, *arguments], self.environment)


@dataclass
class Gunicorn:
    """A web server at an address that stays; WEB_CONCURRENCY in the environment says how many processes it has."""

    log: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    bind: str = "127.0.0.1:0"

    def start(self) -> None:
        options = ["--bind", self.bind, "--worker-class", "gthread", "--threads", "8", "--graceful-timeout", "2"]
        command = [sys.executable, "-m", "gunicorn", "config.wsgi", *options]
        self.process = _start(command, self.log, environment=self.environment)
        _wait_for_answer(self.process, self.log)
        self.bind = urlsplit(_address(self.log)).netloc

    def stop(self) -> None:
        if self.process is not None:
            _stop(self.process, signal.SIGTERM)

    def kill(self) -> None:
        """All its processes at once, as a power cut would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def servers(*, num: int, database_url: str, var: Path, **environment: str) -> Iterator[Servers]:
    """`num` gunicorn processes over one migrated database; DATABASE_URL "" is SQLite in `var`."""
    shared = {**os.environ, "DATABASE_URL": database_url, "HONE_VAR": str(var), **environment}
    with contextlib.ExitStack() as stack:
        parts = [Gunicorn(log=var / f"gunicorn-{index}.log", environment=shared) for index in range(num)]
        for part in parts:
            stack.callback(part.stop)
            part.start()
        yield Servers([_address(part.log) for part in parts], shared, parts)


def migrate(*, database_url: str, var: Path) -> None:
    """In a process of its own: Django refuses queries in a thread where Playwright runs."""
    environment = {**os.environ, "DATABASE_URL": database_url, "HONE_VAR": str(var)}
    _run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], environment)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server: DATABASE_URL_TEST, or one that lives in a folder of its own until the end."""
    given = os.environ.get("DATABASE_URL_TEST")
    if given:
        yield given
        return
    programs, user = _postgres_programs(), _unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="hone-pg-", dir="/tmp"))  # short: a socket's path has at most 107 bytes
    try:
        if user is not None:
            shutil.chown(folder, user)
        setup = ["-D", str(folder / "data"), "-U", "hone", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        _run([str(programs / "initdb"), *setup], dict(os.environ), user=user)
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", str(folder)]
        server = _start([str(programs / "postgres"), "-D", str(folder / "data"), *options], folder / "log", user=user)
        url = f"postgresql://hone@/postgres?host={folder}"
        try:
            _wait_for_postgres(url, server, folder / "log")
            yield url
        finally:
            _stop(server, signal.SIGINT)  # SIGINT: disconnect everybody and stop
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def new_database(*, url: str, template: str = "template1") -> Iterator[str]:
    """The URL of a new database on the server behind `url`, a copy of the template, dropped at the end."""
    name = f"hone_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        names = sql.Identifier(name), sql.Identifier(template)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _postgres_programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if installed:
        return installed[-1].parent
    wheel = importlib.util.find_spec("pgserver")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("expected DATABASE_URL_TEST, initdb on the PATH or the pgserver wheel, found none of them")
    return Path(wheel.origin).parent / "pginstall" / "bin"


def _unprivileged_user() -> str | None:
    """Who runs PostgreSQL, which refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _wait_for_postgres(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
            return
        time.sleep(0.1)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()[-2_000:]}")


def _wait_for_answer(server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, LookupError):
            try:
                urllib.request.urlopen(f"{_address(log)}/api/v1/labeling/none/next", timeout=10).close()  # noqa: S310
            except urllib.error.HTTPError:  # any answer is a sign of life
                return
        time.sleep(0.1)
    raise RuntimeError(f"gunicorn did not start:\n{log.read_text()[-2_000:]}")


def _address(log: Path) -> str:
    found = re.search(r"Listening at: (http://127\.0\.0\.1:\d+)", log.read_text())
    if found is None:
        raise LookupError(f"no address yet in {log}")
    return found[1]


def _start(
    command: list[str], log: Path, *, environment: dict[str, str] | None = None, user: str | None = None
) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command, cwd=ROOT if user is None else "/", env=environment, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True, **_as_user(user),
        )  # fmt: skip


def _run(command: list[str], environment: dict[str, str], *, user: str | None = None) -> str:
    folder = ROOT if user is None else "/"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, **_as_user(user))
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:4])} ended with {done.returncode}:\n{done.stderr[-3_000:]}")
    return done.stdout


def _as_user(user: str | None) -> dict:
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _stop(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    if process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
