"""A language model behind an OpenAI-compatible endpoint as a reward: one number from 0 to 10 per answer, as 0 to 1.

The endpoint is asked at temperature 0. Its answers are no part of a checkpoint: a run that resumes asks again, and is
exactly repeatable only as far as the endpoint is. Torch-free.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from rlhf.learning.verifiers import last_number

HIGHEST = 10
_WAIT_S = 0.5  # before the second attempt; then twice as long each time


class JudgeFailed(RuntimeError):
    """The endpoint gave no usable answer; the message says for which prompt, what was found and what was expected."""


@dataclass(frozen=True)
class Endpoint:
    """Where the judge is, and what it is asked."""

    url: str  # up to and without /chat/completions
    model: str
    question: str
    api_key: str = ""
    num_attempts: int = 3
    timeout_s: float = 60.0
    num_parallel: int = 8


def scores(
    endpoint: Endpoint, prompt_ids: Sequence[int], prompts: Sequence[str], answers: Sequence[str]
) -> list[float]:
    """The judge's scores in [0, 1], in order.

    Raises:
        JudgeFailed: after `num_attempts`, still no number from 0 to 10.
    """
    headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
    with (
        httpx.Client(timeout=endpoint.timeout_s, headers=headers) as client,
        ThreadPoolExecutor(endpoint.num_parallel) as pool,
    ):
        return list(pool.map(lambda row: _ask(client, endpoint, *row), zip(prompt_ids, prompts, answers, strict=True)))


def _ask(client: httpx.Client, endpoint: Endpoint, prompt_id: int, prompt: str, answer: str) -> float:
    body = {
        "model": endpoint.model,
        "temperature": 0,
        "messages": [
            {"role": "system", "content": endpoint.question},
            {"role": "user", "content": f"The conversation:\n{prompt}\n\nThe answer:\n{answer}"},
        ],
    }
    found = "nothing"
    for attempt in range(endpoint.num_attempts):
        if attempt:
            time.sleep(_WAIT_S * 2 ** (attempt - 1))
        try:
            response = client.post(f"{endpoint.url.rstrip('/')}/chat/completions", json=body).raise_for_status()
            found = str(response.json()["choices"][0]["message"]["content"])
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            found = f"{type(error).__name__}: {error}"
            continue
        number = last_number(found)
        if number is not None and 0 <= number <= HIGHEST:
            return number / HIGHEST
    raise JudgeFailed(
        f"{endpoint.url}, model {endpoint.model}, prompt {prompt_id}: found {found[:200]!r} in {endpoint.num_attempts} "
        f"attempts, expected a number from 0 to {HIGHEST}"
    )
