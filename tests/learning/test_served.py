"""Completions from a server: what it says is what is stored, whole or not at all, and never asked for twice."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlhf.learning import sampling
from rlhf.learning.checkpoint import Stopped
from rlhf.learning.configs import ConfigError, SampleConfig, SamplingConfig, ServerConfig, TextConfig, from_dict
from rlhf.learning.endpoint import Endpoint, EndpointFailed, EndpointRefused, Question, ask_all
from rlhf.learning.journal import Journal
from rlhf.learning.policy import load_tokenizer
from rlhf.learning.served import read_choice, written
from rlhf.learning.tables import SAMPLE_ROWS, read_table
from tests.learning.model_server import Mischief, ModelServer
from tests.learning.rankings import metric_lines

Serve = Callable[..., ModelServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[ModelServer] = []

    def start(path: Path, mischief: Mischief | None = None) -> ModelServer:
        servers.append(ModelServer(str(path), mischief=mischief))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def config_for(path: Path, server: ModelServer, prompt_format: str = "chat", **values: Any) -> SampleConfig:
    named = {"num_attempts": 2, "timeout_s": 20.0, "num_parallel": 4} | values.pop("patience", {})
    return SampleConfig(
        model=str(path),
        text=TextConfig(prompt_format, max_prompt_tokens=96, max_completion_tokens=10),  # type: ignore[arg-type]
        sampling=SamplingConfig(
            backend="openai",
            server=ServerConfig(base_url=server.url, model="tiny", **named),
            **({"num_samples": 2} | values),
        ),
    )


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return read_table(folder / "rows.parquet", SAMPLE_ROWS)


def texts(folder: Path) -> list[tuple[int, int, str, int, bool]]:
    names = ("prompt_id", "sample_index", "completion", "num_tokens", "finished")
    return [tuple(row[name] for name in names) for row in rows_of(folder)]  # type: ignore[misc]


def test_greedy_from_a_server_is_our_own_greedy(
    any_model: tuple[Path, str], prompts: Callable[..., Path], serve: Serve
) -> None:
    path, prompt_format = any_model
    config = config_for(path, serve(path), prompt_format, num_samples=1, temperature=0.0)
    sampling.run(prompts("served", count=3), config)
    sampling.run(prompts("local", count=3), replace(config, sampling=replace(config.sampling, backend="local")))
    ours, theirs = (texts(prompts(name, count=3)) for name in ("local", "served"))
    assert [row[:3] + row[4:] for row in ours] == [row[:3] + row[4:] for row in theirs]  # tokens are our tokenizer's
    assert all(math.isnan(row["log_probability"]) for row in rows_of(prompts("served", count=3)))


def test_every_completion_has_a_seed_of_its_own_and_the_same_seed_the_same_text(
    llama_path: Path, prompts: Callable[..., Path], serve: Serve
) -> None:
    def wait_for_company(_: dict[str, Any], before: int) -> None:
        """Asked again, by the second run, nothing is answered before two requests were there at once."""
        until = time.monotonic() + 10
        while before and server.most_at_once < 2 and time.monotonic() < until:
            time.sleep(0.01)

    server = serve(llama_path, wait_for_company)
    found = []
    for name, parallel in (("a", 1), ("b", 4)):
        sampling.run(prompts(name, count=3), config_for(llama_path, server, patience={"num_parallel": parallel}))
        found.append(texts(prompts(name, count=3)))
    assert found[0] == found[1]
    assert [row[:2] for row in found[0]] == [(50 + i, j) for i in range(3) for j in (0, 1)]
    assert len({body["seed"] for body in server.asked}) == 6 and len(server.asked) == 12
    assert len({row[2] for row in found[0]}) > 3
    assert 1 < server.most_at_once <= 4
    assert all(body["n"] == 1 and body["top_p"] == 1 and "return_token_ids" not in body for body in server.asked)


def test_chat_sends_messages_and_the_key_of_the_environment(
    llama_path: Path, prompts: Callable[..., Path], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_API_KEY", "secret")
    server = serve(llama_path)
    named = {"interface": "chat", "api_key_env": "TINY_API_KEY"}
    config = config_for(llama_path, server, num_samples=1, temperature=0.0, patience=named)
    sampling.run(prompts("chat", count=2), config)
    sampling.run(prompts("local", count=2), replace(config, sampling=replace(config.sampling, backend="local")))
    assert server.asked[0]["messages"][0]["role"] == "user" and set(server.keys) == {"Bearer secret"}
    assert [row[2] for row in texts(prompts("chat", count=2))] == [r[2] for r in texts(prompts("local", count=2))]


def test_what_is_stored_is_not_asked_for_again(llama_path: Path, prompts: Callable[..., Path], serve: Serve) -> None:
    server = serve(llama_path, lambda body, _: (400, {"error": "no"}) if len(server.asked) > 5 else None)
    folder, config = prompts(count=4), config_for(llama_path, server, patience={"num_parallel": 1})
    with pytest.raises(EndpointRefused, match=r"/v1/completions, model tiny, prompt 52: found status 400"):
        sampling.run(folder, config)
    assert not (folder / "rows.parquet").exists()
    with (folder / "journal.jsonl").open("a") as file:
        file.write('{"key": "half a li')  # as kill -9 leaves it
    first, server.mischief = list(server.asked), None
    sampling.run(folder, config)
    again = server.asked[len(first) :]
    assert len(again) == 3 and not [body for body in again if body in first[:5]]
    assert len(rows_of(folder)) == 8
    assert metric_lines(folder, "sample")[-1]["step"] == 8
    (folder / "result.json").unlink()
    sampling.run(folder, config)
    assert len(server.asked) == len(first) + 3


GARBAGE: dict[str, tuple[Any, str]] = {
    "no JSON": (b"<html>busy</html>", r"found '<html>busy</html>' .*, expected an OpenAI-compatible answer in JSON"),
    "no choices": ({"choices": []}, "found 0 choices, expected 1 choice|found 0 choices in 2 attempts, expected 1"),
    "two choices": ({"choices": [{}, {}]}, "found 2 choices in 2 attempts, expected 1 choice"),
    "another shape": ([1, 2], "expected an OpenAI-compatible answer"),
    "no text": ({"choices": [{"text": None, "finish_reason": "stop"}]}, "found NoneType as text"),
    "no reason": ({"choices": [{"text": "tea"}]}, "found finish_reason None in 2 attempts, expected one of stop, eos"),
    "cut at nothing": ({"choices": [{"text": "", "finish_reason": "length"}]}, "found an empty text and finish_reason"),
    "too long": (b"x" * 5000, "found more than 2000 bytes in 2 attempts, expected at most 2000 bytes"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_an_error_that_names_the_server_and_the_prompt(
    name: str, llama_path: Path, prompts: Callable[..., Path], serve: Serve
) -> None:
    reply, message = GARBAGE[name]
    server = serve(llama_path, lambda *_: (200, reply))
    config = config_for(llama_path, server, patience={"max_response_bytes": 2000, "num_parallel": 1})
    with pytest.raises(EndpointFailed, match=rf"{server.url}/completions, model tiny, prompt 50: ") as error:
        sampling.run(prompts(), config)
    assert error.match(message)
    assert not (prompts() / "rows.parquet").exists()


def test_a_stumble_is_repeated_after_a_pause_and_a_lasting_one_is_named(serve: Serve, llama_path: Path) -> None:
    reply = {"choices": [{"text": "tea", "finish_reason": "stop"}]}
    server = serve(llama_path, lambda _, before: (503, b"busy") if before < 2 else (200, reply))
    endpoint = Endpoint(server.url, "tiny", num_attempts=3, wait_s=0.1)
    started = time.monotonic()
    (found,) = ask_all(endpoint, [Question(7, "completions", {})], read_choice)
    assert found["text"] == "tea" and time.monotonic() - started > 0.3 and len(server.asked) == 3
    server.asked.clear()
    with pytest.raises(
        EndpointFailed, match=r"prompt 7: found status 503 \('busy'\) in 2 attempts, expected status 200"
    ):
        ask_all(replace(endpoint, num_attempts=2), [Question(7, "completions", {})], read_choice)


def test_a_slow_server_and_none_at_all_are_given_up_in_time(serve: Serve, llama_path: Path) -> None:
    server = serve(llama_path, lambda *_: time.sleep(3) or (200, {}))
    endpoint = Endpoint(server.url, "tiny", num_attempts=2, timeout_s=0.2, wait_s=0.01)
    started = time.monotonic()
    with pytest.raises(EndpointFailed, match="found no whole answer in 2 attempts, expected one within 0.2 s"):
        ask_all(endpoint, [Question(i, "completions", {}) for i in range(50)], read_choice)
    assert time.monotonic() - started < 2.5  # the other 49 are not waited for
    nobody = replace(endpoint, url="http://127.0.0.1:9/v1")
    with pytest.raises(
        EndpointFailed, match=r"http://127.0.0.1:9/v1/completions, model tiny, prompt 1: found ConnectE"
    ):
        ask_all(nobody, [Question(1, "completions", {})], read_choice)


def test_a_run_that_is_stopped_does_not_wait_for_the_server(serve: Serve, llama_path: Path) -> None:
    server = serve(llama_path, lambda *_: time.sleep(3) or (200, {}))
    started = time.monotonic()

    def tick() -> None:
        if time.monotonic() - started > 0.3:
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        ask_all(Endpoint(server.url, "tiny"), [Question(1, "completions", {})], read_choice, tick=tick)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("reason", "finished"), [("stop", True), ("eos", True), ("length", False), ("content_filter", False)]
)
def test_only_an_answer_that_ended_by_itself_is_finished(reason: str, finished: bool, llama_path: Path) -> None:
    tokenizer = load_tokenizer(str(llama_path))
    answer = read_choice({"choices": [{"text": "tea map", "finish_reason": reason}]})
    found = written(tokenizer, answer, 10)
    assert found.finished is finished and (found.ids[-1] == tokenizer.eos_token_id) is finished
    assert tokenizer.decode(found.ids, skip_special_tokens=True) == "tea map"


def test_token_ids_of_the_server_are_taken_as_they_are(llama_path: Path) -> None:
    tokenizer = load_tokenizer(str(llama_path))
    end = tokenizer.eos_token_id
    said = {"text": "tea", "finished": True}
    assert written(tokenizer, said | {"ids": [9, 8]}, 10).ids == [9, 8, end]
    assert written(tokenizer, said | {"ids": [9, 8, end]}, 10).ids == [9, 8, end]
    assert written(tokenizer, said | {"finished": False, "ids": [9, 8]}, 2).ids == [9, 8]
    long = written(tokenizer, {"text": "tea map " * 9, "finished": True, "ids": None}, 4)
    assert len(long.ids) > 4 and long.finished and long.text == "tea map " * 9  # nothing of a text is thrown away here
    assert written(tokenizer, {"text": "", "finished": True, "ids": None}, 4).ids == [end]


def test_a_journal_keeps_whole_lines_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.put("a", {"x": 1})
    journal.put("b", [1.5])
    with (tmp_path / "j.jsonl").open("a") as file:
        file.write('{"key": "c", "va')
    again = Journal(tmp_path / "j.jsonl")
    assert again["a"] == {"x": 1} and again["b"] == [1.5] and "c" not in again
    again.put("c", 2)
    assert [json.loads(line)["key"] for line in (tmp_path / "j.jsonl").read_text().splitlines()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("sample", {"sampling": {"backend": "openai"}}, "sampling.server: expected base_url and model for the backend"),
        ("sample", {"sampling": {"server": {"base_url": "file:///x"}}}, "base_url: expected a URL with http://"),
        ("sample", {"sampling": {"server": {"api_key_env": "SECRET_KEY"}}}, "api_key_env: expected a name that ends"),
        ("sample", {"sampling": {"server": {"timeout_s": 0}}}, "server.timeout_s: expected more than 0"),
        ("sample", {"sampling": {"backend": "vllm", "server": {"interface": "chat"}}}, "expected completions for the"),
        (
            "ppo",
            {"reward_model": "r", "sft_model": "s", "backend": "openai"},
            "backend: expected local for rollouts, fo",
        ),
        ("grpo", {"reward_model": "r", "backend": "vllm"}, "the token ids that were drawn and the new weights in the"),
        (
            "grpo",
            {"reward_model": "r", "algorithm": "rloo", "backend": "openai"},
            "backend: expected local for rollouts",
        ),
    ],
)
def test_a_backend_that_can_not_work_is_refused(kind: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(kind, {"model": "m"} | values)


def test_a_model_that_is_not_here_gets_messages_and_its_texts_need_no_tokenizer(
    llama_path: Path, prompts: Callable[..., Path], serve: Serve
) -> None:
    def reply(body: dict[str, Any], _: int) -> tuple[int, Any]:
        choice = {"message": {"content": f"{body['messages'][-1]['role']} {body['seed']}"}, "finish_reason": "stop"}
        return 200, {"choices": [choice]} | ({"usage": {"completion_tokens": 7}} if body["temperature"] else {})

    server = serve(llama_path, reply)
    named = {"interface": "chat"}
    for folder, temperature, count in ((prompts("a", count=2), 1.0, 7), (prompts("b", count=2), 0.0, 0)):
        config = replace(config_for(llama_path, server, patience=named, temperature=temperature), model="")
        sampling.run(folder, config)
        assert [row[3:] for row in texts(folder)] == [(count, True)] * 4
        assert len({row[2] for row in texts(folder)}) == 4 and all(row[2].startswith("user ") for row in texts(folder))
    assert server.asked[0]["max_tokens"] == 10 and "return_token_ids" not in server.asked[0]
    with pytest.raises(ConfigError, match="model: expected a name or a path"):
        replace(config_for(llama_path, server), model="")  # token ids can't be sent without a tokenizer
