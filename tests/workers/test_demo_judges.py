"""A version is registered in the demo and nobody clicks: answers, judges, tasks and numbers, whatever is killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.learning.conftest import replying  # noqa: F401 (a fixture)
from tests.learning.reply_server import Reply, ReplyServer
from tests.workers.killed_judging import kill_in_the_middle, outside, show, silent_model
from tests.workers.processes import Command, processes, wait_for
from tests.workers.records import Records

pytestmark = pytest.mark.slow
LONG_S = 300.0  # for a machine that has much else to do
LANGUAGE_MODEL = "simulated language model"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """One round is over, and the next one's tasks wait for people: nothing moves by itself any more."""
    var = tmp_path_factory.mktemp("demo") / "var"
    with Command("demo", "--size", "small", "--rounds", "1", var=var, HONE_RUN_STALE_S="3") as command:
        wait_for(lambda: "Serving on" in command.said() or command.process.poll() is not None, "the demo", LONG_S)
        assert command.process.poll() is None, command.said()
        wait_for(lambda: Records(var).rows("SELECT 1 FROM annotate_task WHERE iteration = 2"), "the next tasks", LONG_S)
        quiet(command)
        yield command
        os.kill(command.process.pid, signal.SIGINT)
        assert command.wait(60.0) == 0, command.said()
        wait_for(lambda: processes(var) == [], "the end of every process", 10.0)


def quiet(demo: Command, until: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
    """What the demo shows once nothing is at work and this is so."""
    deadline = time.monotonic() + LONG_S
    found: dict[str, Any] = {}
    while time.monotonic() < deadline:
        if not Records(demo.var).rows("SELECT 1 FROM rlhf_run WHERE state IN ('queued', 'running')"):
            found = show(demo.var)  # dear: it starts Django
            assert found["failed"] == []
            if found["is_quiet"] and until(found):
                return found
        time.sleep(0.5)
    raise AssertionError(found)


def register(demo: Command, name: str, server: ReplyServer) -> None:
    url = f"http://127.0.0.1:{demo.port}/api/v1/projects/demo/versions"
    body = {"name": name, "endpoint": {"base_url": server.url, "model": "rival"}}
    headers = {"Authorization": f"Token {json.loads(outside(demo.var, 'token'))}"}
    registered = httpx.post(url, json=body, headers=headers, trust_env=False)
    assert registered.status_code == 201, registered.text


def says(body: dict[str, Any], _: int) -> tuple[int, str]:
    """A rival that is polite, and whose answers differ from prompt to prompt."""
    prompt = body["messages"][-1]["content"]
    words = sorted(prompt.split(), key=lambda word: hashlib.sha256((prompt + word).encode()).digest())
    return 200, f"Thank you, here is the {' '.join(words[:6])}."


def of(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The cells of a version, without its name."""
    return [{**cell, "candidate": ""} for cell in found["cells"] if cell["candidate"] == name]


def test_the_timeline_has_a_point_of_every_judge_for_the_version_that_the_round_made(demo: Command) -> None:
    points = [point for point in show(demo.var)["points"] if point["version"] == "v1"]
    assert {point["kind"] for point in points} == {"people", "gold", "llm", "reward_model"}
    assert all(point["low"] < point["win_rate"] < point["high"] for point in points)
    for judge in ("people", "gold score of the demo", LANGUAGE_MODEL, "reward model rm1"):
        assert judge in demo.said()


def test_a_rival_is_judged_without_a_click_and_a_killed_worker_changes_no_number(
    demo: Command,
    replying: Callable[[Reply], ReplyServer],  # noqa: F811
) -> None:
    server = replying(says)
    register(demo, "alone", server)
    everybody = {LANGUAGE_MODEL, "reward model rm1"}
    expected = quiet(demo, lambda found: {cell["judge"] for cell in of(found, "alone")} >= everybody)
    assert server.asked  # it has answered, and so has the version that it is compared with
    held_out = [cell for cell in of(expected, "alone") if cell["split"] == "held_out"]
    assert {cell["num_prompts"] for cell in held_out} == {held_out[0]["num_prompts"]} and held_out[0][
        "num_prompts"
    ] > 12
    tasks = [task for task in expected["tasks"] if task[3] == "alone"]
    assert len(tasks) == 12 and {(task[0], task[2]) for task in tasks} == {("compare", "open")}

    with silent_model(demo.var) as model:
        register(demo, "disturbed", server)
        killed = kill_in_the_middle(demo.var, model, LONG_S)
    found = quiet(demo, lambda found: len(of(found, "disturbed")) == len(of(expected, "alone")))

    assert of(found, "disturbed") == of(expected, "alone")
    assert of(found, "alone") == of(expected, "alone")
    attempts = {run["pk"]: run["attempt"] for run in found["judged"]}
    assert attempts[killed] > 1
    assert found["points"] == expected["points"]
