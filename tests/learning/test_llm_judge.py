"""A judge behind an endpoint: asked for every answer, repeated when it stumbles, named when it fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlhf.learning import llm_judge, rewards
from rlhf.learning.configs import ConfigError, RewardsConfig
from rlhf.learning.endpoint import Endpoint, EndpointFailed
from rlhf.learning.llm_judge import Judge
from rlhf.learning.policy import load_policy
from rlhf.learning.text import encode, right_pad
from tests.learning.conftest import question
from tests.learning.rankings import CPU, text_config
from tests.learning.reply_server import Reply, ReplyServer

Serve = Callable[[Reply], tuple[Judge, list[Any]]]


@pytest.fixture
def endpoint(replying: Callable[[Reply], ReplyServer]) -> Serve:
    """Serve an endpoint that replies as told; gives a judge there, and the list of what it was asked."""

    def serve(reply: Reply) -> tuple[Judge, list[Any]]:
        server = replying(reply)
        return Judge(Endpoint(server.url, "judge-1", api_key="secret", wait_s=0.01), "How good?"), server.asked

    return serve


def _by_answer(body: dict[str, Any], _before: int) -> tuple[int, str]:
    return 200, "I say 9" if "lovely" in body["messages"][1]["content"] else "Score: 2.5"


def test_every_answer_is_asked_for_and_scores_come_back_in_order(endpoint: Serve) -> None:
    served, asked = endpoint(_by_answer)
    found = llm_judge.scores(served, [1, 2, 3], ["p"] * 3, ["lovely", "bad", "lovely too"])
    assert found == [0.9, 0.25, 0.9]
    assert {one["path"] for one in asked} == {"/v1/chat/completions"} and {one["key"] for one in asked} == {
        "Bearer secret"
    }
    assert {one["body"]["temperature"] for one in asked} == {0} and asked[0]["body"]["model"] == "judge-1"


def test_a_stumble_is_repeated_and_a_failure_is_named(endpoint: Serve) -> None:
    served, asked = endpoint(lambda _, before: (500, "") if before == 0 else (200, "7"))
    assert llm_judge.scores(served, [1], ["p"], ["a"]) == [0.7] and len(asked) == 2
    served, asked = endpoint(lambda *_: (200, "eleven of ten: 11"))
    with pytest.raises(
        EndpointFailed, match="prompt 4: found 'eleven of ten: 11' in 3 attempts, expected a number from 0"
    ):
        llm_judge.scores(served, [4], ["p"], ["a"])
    assert len(asked) == 3


def test_the_judges_score_counts_by_its_weight_and_sees_the_visible_part(
    endpoint: Serve, llama_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, asked = endpoint(_by_answer)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    policy = load_policy(str(llama_path), CPU)
    config = RewardsConfig(
        judge_url=served.endpoint.url,
        judge_model="judge-1",
        judge_weight=2.0,
        judge_question="Kind?",
        thinking_end="</think>",
    )
    loaded = rewards.load(config, None, str(llama_path), policy.tokenizer, tmp_path, CPU)
    texts = ["lovely </think> bad", "bad </think> lovely"]
    encoded = [encode(policy.tokenizer, i, question(i), t, text_config("chat")) for i, t in enumerate(texts)]
    found = rewards.score(loaded, right_pad(encoded, policy.pad_id), [[0, 1]])
    assert found.tolist() == pytest.approx([0.5, 1.8])
    assert all("Tell me about the" in one["body"]["messages"][1]["content"] for one in asked)
    assert asked[0]["body"]["messages"][0]["content"] == "Kind?" and asked[0]["key"] is None


def test_a_judge_needs_a_model() -> None:
    with pytest.raises(
        ConfigError, match=r"rewards.judge_model: expected a name for the judge at http://x, found nothing"
    ):
        RewardsConfig(judge_url="http://x")
