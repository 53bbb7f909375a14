"""Labelers as lean clients: a socket, a session, and one request per answer, as the page makes it."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CSRF = "c" * 32
ACTIVE_S = 25.0


@dataclass
class Labeler:
    """Ranks by the number at the end of each completion. `seconds` are those of each kind of request."""

    url: str
    session: str
    task: dict[str, Any] | None = None
    held: dict[str, Any] | None = None
    num_answers: int = 0
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"next": [], "submit": []})

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self.connection = socket.create_connection((parts.hostname, parts.port))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = (
            f"HTTP/1.1\r\nHost: {parts.netloc}\r\nCookie: sessionid={self.session}; csrftoken={CSRF}\r\n"
            f"X-CSRFToken: {CSRF}\r\nContent-Type: application/json\r\nContent-Length: "
        )

    def next(self) -> None:
        reply = self._post("next", "next", {})
        self.task = reply["next"]

    def prefetch(self) -> None:
        self.held = self._post("prefetch", "prefetch", {})["prefetched"]

    def submit(self) -> bool:
        """One cycle: this answer, and what the page shows and holds next. False once nothing is left."""
        if self.task is None:
            return False
        answer = {
            "submission_id": str(uuid.uuid4()), "active_s": ACTIVE_S, "holds": self.held and self.held["assignment"],
            "ranks": {shown["key"]: int(shown["text"][-1]) for shown in self.task["completions"]},
        }  # fmt: skip
        reply = self._post("submit", f"assignments/{self.task['assignment']}/submit", answer)
        self.num_answers += 1
        self.task = self.held if reply["confirmed"] is not None else reply["next"]
        self.held = reply["prefetched"]
        return True

    def _post(self, kind: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        content = json.dumps(body)
        request = f"POST /api/v1/labeling/pool/{path} {self.head}{len(content)}\r\n\r\n{content}".encode()
        started = time.perf_counter()
        self.connection.sendall(request)
        status, reply = self._reply()
        if kind in self.seconds:
            self.seconds[kind].append(time.perf_counter() - started)
        if status != 200:
            raise RuntimeError(f"{path}: expected 200, found {status} {reply[:300]!r}")
        answer: dict[str, Any] = json.loads(reply)
        return answer

    def _reply(self) -> tuple[int, bytes]:
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        head = received[:end].decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        while len(received) < end + 4 + length:
            received += self._receive()
        return int(head.split(" ", 2)[1]), received[end + 4 :]

    def _receive(self) -> bytes:
        part = self.connection.recv(65_536)
        if not part:
            raise RuntimeError("the server closed the connection")
        return part


def begin(labelers: list[Labeler]) -> None:
    for labeler in labelers:
        labeler.next()
        labeler.prefetch()


def work(labelers: list[Labeler], num_cycles: int) -> float:
    """Each of them at once, this many cycles each. Returns the wall seconds."""
    threads = [threading.Thread(target=_cycles, args=(labeler, num_cycles)) for labeler in labelers]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def _cycles(labeler: Labeler, num: int) -> None:
    for _ in range(num):
        if not labeler.submit():
            return
