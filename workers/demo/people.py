"""Twelve simulated labelers, each with an account of its own, working through the HTTP labeling API that the page uses.

What they answer depends on (seed, task) alone (annotate/management/demo/labelers.py). An answer is sent again,
under the same submission id, until the server has said that it is stored.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import httpx

from annotate.management.demo import labelers

IDLE_S = 0.5  # between two looks at an empty queue
RETRY_S = 0.5  # after an answer that says "not now": a restarting server, a busy database
DRAFT_EVERY = 8  # a draft is sent with every eighth answer or so: simulated people type in one go
TIMEOUT_S = 30.0
SLOT = 0  # the demo asks one person per task

Task = dict[str, Any]


class Refused(RuntimeError):
    """The server refused what a labeler of ours sent: a fault of the demo, not of the network."""


class People:
    """The labelers' threads. `stop` ends them between two answers; `failure` is the first fault, if any."""

    def __init__(self, *, url: str, project: str, tokens: dict[str, str], seed: int) -> None:
        self.stopping = threading.Event()
        self.failure: BaseException | None = None
        self.num_retries = 0
        self._threads = [
            threading.Thread(target=self._work, args=(url, project, token, seed), name=name, daemon=True)
            for name, token in tokens.items()
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    def _work(self, url: str, project: str, token: str, seed: int) -> None:
        headers = {"Authorization": f"Token {token}"}
        base = f"{url}/api/v1/labeling/{project}"
        try:
            with httpx.Client(base_url=base, headers=headers, timeout=TIMEOUT_S) as client:
                self._label(client, seed)
        except Exception as error:  # shown by the terminal view, which ends the demo
            self.failure = self.failure or error

    def _label(self, client: httpx.Client, seed: int) -> None:
        task: Task | None = None
        while not self.stopping.is_set():
            if task is None:
                found = self._send(client, "POST", "/next", {})
                task = found and found["next"]
            if task is None:
                self.stopping.wait(IDLE_S)
                continue
            task = self._answer(client, task, seed)

    def _answer(self, client: httpx.Client, task: Task, seed: int) -> Task | None:
        body = answer(task=task, seed=seed)
        path = f"/assignments/{task['assignment']}"
        if task["assignment"] % DRAFT_EVERY == 0:
            self._send(client, "PUT", f"{path}/draft", {"draft": body})
        submission = {"submission_id": str(uuid.uuid4()), "active_s": 1.0, **body}
        stored = self._send(client, "POST", f"{path}/submit", submission)
        return stored["next"] if stored else None

    def _send(self, client: httpx.Client, method: str, path: str, body: dict[str, Any]) -> Any:
        """The server's answer; retried until there is one, or until the demo stops (then None)."""
        while not self.stopping.is_set():
            try:
                response = client.request(method, path, json=body)
            except httpx.TransportError:
                self.num_retries += 1
                time.sleep(RETRY_S)
                continue
            if response.status_code < 300:
                return response.json() if response.content else None
            if response.status_code < 500:
                raise Refused(f"{method} {path}: {response.status_code} {response.text[:300]}")
            self.num_retries += 1
            time.sleep(RETRY_S)
        return None


def answer(*, task: Task, seed: int) -> dict[str, Any]:
    """What the simulated person of this task answers, as the body of a submission without its id."""
    prompt = task["prompt"][-1]["content"]
    texts = [labelers.text_of_html(completion["html"]) for completion in task["completions"]]
    key = labelers.task_key(prompt, texts)
    if task["kind"] == "demonstrate":
        return {"text": labelers.demonstration(seed, key, SLOT, prompt)}
    ranks = labelers.rank(seed, key, SLOT, prompt, texts)
    return {"ranks": {completion["key"]: rank for completion, rank in zip(task["completions"], ranks, strict=True)}}
