"""Typed readers of environment variables: a setting is read here or not at all, and nonsense fails loudly."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

MAX_SOCKET_PATH = 100  # bytes; Linux allows 107

KNOWN = {
    "HONE_VAR": "folder for everything that Hone writes (default: var/ beside manage.py)",
    "HONE_STORAGE": "where files go: a folder (default: var/storage)",
    "HONE_BASE_MODEL": "base model offered by the project wizard: a name or a path",
    "HONE_DEBUG": "1 shows tracebacks in the browser; never on a public address",
    "HONE_SECRET_KEY": "signing key (default: made once under var/)",
    "HONE_ALLOWED_HOSTS": "comma-separated host names besides loopback",
    "HONE_CSRF_TRUSTED_ORIGINS": "comma-separated origins, such as https://hone.example.org",
    "HONE_RUN_STALE_S": "seconds without a heartbeat after which a run is given to another worker (default: 15)",
    "HONE_DEVICE": "device of gpu runs: auto, cpu or cuda (default: auto)",
}


class Environment:
    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def text(self, name: str, default: str = "") -> str:
        return self.values.get(name, default)

    def flag(self, name: str) -> bool:
        value = self.values.get(name, "0")
        if value not in ("0", "1"):
            raise ImproperlyConfigured(f"{name}: expected 0 or 1, found {value!r}")
        return value == "1"

    def seconds(self, name: str, default: float) -> float:
        text = self.values.get(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not value > 0:
            raise ImproperlyConfigured(f"{name}: expected a number of seconds above 0, found {text!r}")
        return value

    def folder(self, name: str, default: Path) -> Path:
        """An absolute path; made where it is missing."""
        path = Path(self.values.get(name) or default).resolve()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImproperlyConfigured(f"{name}: expected a folder to write to, found {error}") from error
        if not os.access(path, os.W_OK | os.X_OK):
            raise ImproperlyConfigured(f"{name}: expected a folder to write to, found {path}, which we may not write")
        return path

    def names(self, name: str) -> list[str]:
        return [part.strip() for part in self.values.get(name, "").split(",") if part.strip()]

    def choice(self, name: str, options: tuple[str, ...]) -> str:
        value = self.values.get(name, options[0])
        if value not in options:
            raise ImproperlyConfigured(f"{name}: expected one of {', '.join(options)}, found {value!r}")
        return value

    def refuse_unknown(self) -> None:
        unknown = sorted(name for name in self.values if name.startswith("HONE_") and name not in KNOWN)
        if unknown:
            raise ImproperlyConfigured(
                f"unknown setting {', '.join(unknown)}: expected some of {', '.join(sorted(KNOWN))}"
            )


def environment() -> Environment:
    reader = Environment(dict(os.environ))
    reader.refuse_unknown()
    return reader


def secret_key(path: Path) -> str:
    """The signing key, made once. A hard link publishes it whole, so processes that start together agree on one."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent)  # readable by its owner alone
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(50))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        os.unlink(draft)
    return path.read_text()


def socket_folder(var: Path) -> Path:
    """Where unix sockets lie: under `var`, or in a private short folder where that path passes the kernel's limit."""
    folder = var / "run"
    if len(str(folder / "supervisor.sock.12345")) <= MAX_SOCKET_PATH:
        return folder
    name = hashlib.sha256(str(var).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"hone-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise ImproperlyConfigured(f"{folder}: expected a folder of ours, found somebody else's")
    return folder


def database(url: str, sqlite_path: Path) -> dict[str, Any]:
    """Django's database settings from DATABASE_URL; SQLite in `sqlite_path` where the URL is empty."""
    if not url:
        return _sqlite(sqlite_path)
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return _sqlite(Path(unquote(parts.path)))
    if parts.scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured(
            "DATABASE_URL: expected postgresql://user:password@host:port/name or sqlite:///path, "
            f"found scheme {parts.scheme!r}"
        )
    host = parts.netloc.rpartition("@")[2]  # never the password
    try:
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"DATABASE_URL: expected a port number, found {host!r}") from error
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or unquote(parts.hostname or ""),
        "PORT": port or "",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**options, **_preparing(options.get("prepare_threshold", "5"))},
    }


def _preparing(threshold: str) -> dict[str, Any]:
    """Statements are prepared once they ran so often on a connection: a labeler's round trip is a dozen short ones, and
    planning each costs more than running it. `off` is for poolers that can't hand prepared statements on."""
    if threshold == "off":
        return {"prepare_threshold": None}
    if not threshold.isdecimal():
        raise ImproperlyConfigured(f"DATABASE_URL: prepare_threshold: expected a number or off, found {threshold!r}")
    return {"server_side_binding": True, "prepare_threshold": int(threshold)}


def _sqlite(path: Path) -> dict[str, Any]:
    return {
        "ENGINE": "config.sqlite",
        "NAME": str(path),
        "TEST": {"NAME": ":memory:"},  # said aloud: pytest-django knows it only of Django's own engine
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            # WAL with synchronous=NORMAL survives a killed process; a power cut may lose the last transactions.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=30000;",
        },
    }
