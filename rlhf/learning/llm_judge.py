"""A language model behind an OpenAI-compatible endpoint as a reward: one number from 0 to 10 per answer, as 0 to 1.

The endpoint is asked at temperature 0. Its answers are no part of a checkpoint: a run that resumes asks again, and is
exactly repeatable only as far as the endpoint is. Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.learning.endpoint import Endpoint, Question, Unusable, ask_all
from rlhf.learning.verifiers import last_number

HIGHEST = 10


@dataclass(frozen=True)
class Judge:
    """Where the judge is, and what it is asked."""

    endpoint: Endpoint
    question: str


def scores(judge: Judge, prompt_ids: Sequence[int], prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """The judge's scores in [0, 1], in order.

    Raises:
        EndpointFailed: after `num_attempts`, still no number from 0 to 10.
    """
    rows = zip(prompt_ids, prompts, answers, strict=True)
    return ask_all(judge.endpoint, [_question(judge, *row) for row in rows], _mark)


def _question(judge: Judge, prompt_id: int, prompt: str, answer: str) -> Question:
    messages = [
        {"role": "system", "content": judge.question},
        {"role": "user", "content": f"The conversation:\n{prompt}\n\nThe answer:\n{answer}"},
    ]
    return Question(prompt_id, "chat/completions", {"temperature": 0, "messages": messages})


def _mark(reply: Any) -> float:
    found = str(reply["choices"][0]["message"]["content"])
    number = last_number(found)
    if number is None or not 0 <= number <= HIGHEST:
        raise Unusable(repr(found[:200]), f"a number from 0 to {HIGHEST}")
    return number / HIGHEST
