"""Clients that label as the page does: they hold a prefetched task, which the next submit confirms."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

THREADS = 16  # clients take turns in them: between two answers a person reads, too


@dataclass
class Client:
    """`leased` says when the request was sent that made each task the client's; `told_none` when the answer came."""

    address: str
    token: str
    project: str
    stops_after: int | None = None  # answers; then it vanishes with a task in its hands
    task: dict[str, Any] | None = None
    held: dict[str, Any] | None = None
    leased: dict[int, float] = field(default_factory=dict)
    told_none: float | None = None
    num_answers: int = 0

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)

    @property
    def vanishes_now(self) -> bool:
        return self.stops_after is not None and self.num_answers >= self.stops_after

    def ask(self) -> None:
        self.told_none = None
        self._take(*self._post("next", {}))

    def answer(self) -> None:
        """Submit; every other answer is sent twice."""
        assert self.task is not None
        body = {"submission_id": str(uuid.uuid4()), "text": f"Answer to {self.task['task']}"}
        if self.held is not None:
            body["holds"] = self.held["assignment"]
        path = f"assignments/{self.task['assignment']}/submit"
        sent_at, reply = self._post(path, body)
        assert reply["stored"]["state"] == "submitted"
        self.num_answers += 1
        self._take(sent_at, reply)
        if self.num_answers % 5 == 0:
            assert self._post(path, body)[1]["stored"] == reply["stored"]

    def _take(self, sent_at: float, reply: dict[str, Any]) -> None:
        self.task = self.held if reply["confirmed"] is not None else reply["next"]
        self.held = reply["prefetched"]
        if self.task is None:
            self.told_none = time.monotonic()
        else:
            self.leased.setdefault(self.task["task"], sent_at)

    def _post(self, path: str, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        sent_at = time.monotonic()
        try:
            status, content = self._send(path, body)
        except ConnectionError:  # the server closes a connection that was idle; nothing is stored twice
            self.connection.close()
            status, content = self._send(path, body)
        assert status == 200, f"{path}: {status} {content[:500]!r}"
        return sent_at, json.loads(content)

    def _send(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        self.connection.request("POST", f"/api/v1/labeling/{self.project}/{path}", json.dumps(body), headers)
        response = self.connection.getresponse()
        return response.status, response.read()


def label(clients: Iterable[Client]) -> None:
    """Let them all work until each was told that nothing is left, or has vanished."""
    everybody = list(clients)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(_take_turns, [everybody[index::THREADS] for index in range(THREADS)]))


def _take_turns(clients: list[Client]) -> None:
    for client in clients:
        client.ask()
    while clients:
        clients = [client for client in clients if client.task is not None and not client.vanishes_now]
        for client in clients:
            client.answer()


def told_none_too_early(clients: Iterable[Client]) -> list[tuple[int, int]]:
    """(client, task) where a client was told that nothing is left, and after that somebody else was given a task that
    the client never had: it was free then, or only reserved in advance."""
    everybody = list(clients)
    last = {}
    for client in everybody:
        for task, at in client.leased.items():
            last[task] = max(at, last.get(task, 0.0))
    return [
        (number, task)
        for number, client in enumerate(everybody)
        for task, at in last.items()
        if client.told_none is not None and task not in client.leased and at > client.told_none
    ]
