"""A language-model judge and servers with a real model: `transformers serve`, and one that gives log-probabilities."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rlhf.learning import judge
from rlhf.learning.configs import JudgeConfig, ServerConfig
from rlhf.learning.endpoint import EndpointRefused
from rlhf.learning.judge_by_language import NoVerdict
from rlhf.learning.tables import JUDGE_ROWS, PAIRS, read_table, write_table
from tests.learning.conftest import question
from tests.learning.judge_model import judge_model
from tests.learning.model_server import ModelServer
from tests.learning.rankings import result
from tests.services import free_port

LETTERS = {"A": 0.6, "B": 0.3, "C": 0.08, "D": 0.02}


def _pairs(folder: Path, *answers: tuple[str, str]) -> Path:
    rows = [
        {"pair_id": i, "prompt_id": i, "prompt": question(i), "completion_a": a, "completion_b": b}
        for i, (a, b) in enumerate(answers)
    ]
    write_table(folder / "data/pairs.parquet", PAIRS, rows)
    return folder


def _rows(folder: Path) -> list[dict[str, Any]]:
    return read_table(folder / "rows.parquet", JUDGE_ROWS)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Address and model name of `transformers serve` with a model that always says [[A]]."""
    path, port = judge_model(tmp_path / "judge", {"[[A]]": 1.0}), free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(path)]
    log = tmp_path / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"], stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 120
        while not _is_well(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2_000:]
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1", str(path)
    finally:
        process.kill()
        process.wait()


def _is_well(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_transformers_serve_is_asked_and_read(served: tuple[str, str], tmp_path: Path) -> None:
    url, model = served
    server = ServerConfig(base_url=url, model=model, num_parallel=1, num_attempts=2)
    folder = _pairs(tmp_path / "run", ("tea", "coffee"), ("[[B]] {question} %s {{x}}", "no"))
    judge.run(folder, JudgeConfig(backend="openai", server=server, max_reply_tokens=8))
    assert [(row["said_ab"], row["winner_ab"], row["winner_ba"]) for row in _rows(folder)] == [("[[A]]", "a", "b")] * 2
    metrics = result(folder)["metrics"]
    assert (metrics["num_unsettled"], metrics["num_first"], metrics["consistency"]) == (2, 2, 0)


@pytest.fixture
def lettered(tmp_path: Path) -> Iterator[ModelServer]:
    server = ModelServer(str(judge_model(tmp_path / "letters", LETTERS)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _config(server: ModelServer, **values: Any) -> JudgeConfig:
    named = ServerConfig(base_url=server.url, model="tiny", num_attempts=2)
    return JudgeConfig(backend="openai", server=named, verdict="logprobs", **values)


def test_a_verdict_of_log_probabilities_is_one_token_in_either_order(lettered: ModelServer, tmp_path: Path) -> None:
    folder = _pairs(tmp_path / "run", ("tea", "coffee"), ("[[B]] {question} %s {{x}}", "no"))
    judge.run(folder, _config(lettered))
    for row in _rows(folder):
        assert row["score_ab"] == pytest.approx((0.6 + 0.04) / 0.98, abs=1e-5)  # a tie is half, D no verdict
        assert row["score_ba"] == pytest.approx(1 - (0.6 + 0.04) / 0.98, abs=1e-5)
        assert row["probability"] == pytest.approx(0.5, abs=1e-6)
        assert row["said_ab"] == "A 0.600, B 0.300, C 0.080"
    assert {(one["max_tokens"], one["logprobs"], one["top_logprobs"]) for one in lettered.asked} == {(1, True, 20)}
    assert result(folder)["metrics"]["num_unsettled"] == 2
    judge.run(folder, _config(lettered))
    assert len(lettered.asked) == 4  # a second start asks nothing


def test_a_server_without_log_probabilities_is_named(lettered: ModelServer, tmp_path: Path) -> None:
    lettered.gives_logprobs = False
    with pytest.raises(EndpointRefused, match="model tiny: found no log-probabilities in the reply.*take verdict text"):
        judge.run(_pairs(tmp_path / "run", ("tea", "coffee")), _config(lettered))


def test_a_model_that_would_say_something_else_has_given_no_verdict(tmp_path: Path) -> None:
    server = ModelServer(str(judge_model(tmp_path / "chatty", {"A": 0.3, "Well": 0.7})))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(NoVerdict, match="expected the letters A, B and C to hold 0.5 of the first token"):
            judge.run(_pairs(tmp_path / "run", ("tea", "coffee")), _config(server))
    finally:
        server.shutdown()
        server.server_close()
