"""Asking a language model behind an OpenAI-compatible endpoint about answers: the one place that does. Torch-free.

`scores` wants a number from 0 to 10 for an answer, `compare` which of two is better, in both orders. How texts are
quoted and replies are read stands in `rlhf.learning.verdicts`. The endpoint is asked at temperature 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from rlhf.learning import verdicts
from rlhf.learning.endpoint import Endpoint, EndpointRefused, Question, Unusable, ask_all
from rlhf.learning.journal import Journal, key_of
from rlhf.learning.verdicts import LETTERS
from rlhf.learning.verifiers import last_number

HIGHEST = 10
PATH = "chat/completions"


@dataclass(frozen=True)
class Judge:
    """Where the judge is, what it is asked, and how it gives its verdict on a pair."""

    endpoint: Endpoint
    question: str
    verdict: Literal["text", "logprobs"] = "text"
    max_tokens: int = 512  # of a verdict by text


@dataclass(frozen=True)
class Pair:
    """Two answers to the last message of a conversation."""

    prompt_id: int
    conversation: str
    a: str
    b: str


@dataclass(frozen=True)
class Verdict:
    """What was said of a pair in one order."""

    score: float | None  # of a: 1 won, 0.5 tie, 0 lost, between them a probability; None: unreadable
    said: str


def scores(judge: Judge, prompt_ids: Sequence[int], prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """The judge's scores in [0, 1], in order.

    They are no part of a checkpoint: a run that resumes asks again, and is exactly repeatable only as far as the
    endpoint is.

    Raises:
        EndpointFailed: after `num_attempts`, still no number from 0 to 10.
    """
    rows = zip(prompt_ids, prompts, answers, strict=True)
    questions = [
        _question(judge, prompt_id, {"The conversation": prompt, "The answer": answer})
        for prompt_id, prompt, answer in rows
    ]
    return ask_all(judge.endpoint, questions, _mark)


def compare(
    judge: Judge,
    pairs: Sequence[Pair],
    journal: Journal,
    on_verdict: Callable[[int, Sequence[tuple[Verdict, Verdict]]], None],
    tick: Callable[[], None],
) -> list[tuple[Verdict, Verdict]]:
    """The verdict on each pair with a shown first, and with b.

    A reply is asked for `num_attempts` times until its last line is readable (`read_verdict`). Readable ones go into
    the journal, with all that was said, and aren't asked for again; equal questions are asked once.

    Args:
        on_verdict: called with (questions answered, both orders counted; the verdicts on the longest run of first pairs
            that have been answered in both orders, unreadable ones left out): in an order that doesn't hang on the
            answers, whoever is quick.
        tick: as in `ask_all`.

    Raises:
        EndpointFailed, EndpointRefused: the server gave no reply, or no log-probabilities; names server and prompt.
    """
    work = _Comparison(judge, pairs, journal)
    for _ in range(judge.endpoint.num_attempts):
        missing = [key for key in work.of_key if key not in journal]

        def on_reply(names: Sequence[str], place: int, reply: Any) -> None:
            work.keep(names[place], reply)
            on_verdict(work.num_there, work.first())

        read = _said if judge.verdict == "text" else partial(_letters, judge.endpoint)
        ask_all(judge.endpoint, [work.of_key[key] for key in missing], read, partial(on_reply, missing), tick)
    return work.verdicts()


class _Comparison:
    """Questions about pairs, in both orders, and what the journal holds of them."""

    def __init__(self, judge: Judge, pairs: Sequence[Pair], journal: Journal) -> None:
        self.judge, self.journal = judge, journal
        orders = [((pair.a, pair.b), (pair.b, pair.a)) for pair in pairs]
        questions = [
            _question(judge, pair.prompt_id, _texts(pair, *both), **_limits(judge))
            for pair, of_pair in zip(pairs, orders, strict=True)
            for both in of_pair
        ]
        self.keys = [key_of(judge.endpoint.model, question.path, dict(question.body)) for question in questions]
        self.of_key = dict(zip(self.keys, questions, strict=True))
        self._num_equal = Counter(self.keys)
        self.num_there = sum(key in journal for key in self.keys)
        self._heard = {key for key in self.of_key if key in journal}
        self._first: list[tuple[Verdict, Verdict]] = []
        self._num_first = 0

    def keep(self, key: str, reply: Any) -> None:
        self._heard.add(key)
        if self._read(reply).score is not None or self.judge.verdict == "logprobs":
            self.journal.put(key, reply)
            self.num_there += self._num_equal[key]

    def first(self) -> list[tuple[Verdict, Verdict]]:
        while self._num_first < len(self.keys) // 2:
            both = self.keys[2 * self._num_first : 2 * self._num_first + 2]
            if not self._heard.issuperset(both):
                break
            self._num_first += 1
            found = self._of_pair(*both)
            if None not in (found[0].score, found[1].score):
                self._first.append(found)
        return self._first

    def verdicts(self) -> list[tuple[Verdict, Verdict]]:
        return [self._of_pair(*both) for both in zip(self.keys[::2], self.keys[1::2], strict=True)]

    def _of_pair(self, key_ab: str, key_ba: str) -> tuple[Verdict, Verdict]:
        ab, ba = (
            self._read(self.journal[key]) if key in self.journal else Verdict(None, "") for key in (key_ab, key_ba)
        )
        return ab, Verdict(None if ba.score is None else 1 - ba.score, ba.said)

    def _read(self, reply: Any) -> Verdict:
        """Its score is that of the answer shown first."""
        if self.judge.verdict == "text":
            return Verdict(verdicts.by_text(reply), reply)
        return Verdict(verdicts.by_letters(reply), ", ".join(f"{name} {reply[name]:.3f}" for name in LETTERS))


def _texts(pair: Pair, first: str, second: str) -> dict[str, str]:
    return dict(zip(verdicts.NAMES, (pair.conversation, first, second), strict=True))


def _question(judge: Judge, prompt_id: int, texts: Mapping[str, str], **limits: Any) -> Question:
    body = {"temperature": 0, **limits, "messages": verdicts.messages(judge.question, texts)}
    return Question(prompt_id, PATH, body)


def _limits(judge: Judge) -> dict[str, Any]:
    """Of a reply about a pair."""
    if judge.verdict == "text":
        return {"max_tokens": judge.max_tokens}
    return {"max_tokens": 1, "logprobs": True, "top_logprobs": verdicts.NUM_TOP}


def _said(reply: Any) -> str:
    found = reply["choices"][0]["message"]["content"]
    if not isinstance(found, str):
        raise Unusable(f"{type(found).__name__} as text", "a text")
    return found


def _letters(endpoint: Endpoint, reply: Any) -> dict[str, float]:
    given = reply["choices"][0].get("logprobs")
    if not given or not given.get("content") or not given["content"][0].get("top_logprobs"):
        raise EndpointRefused(
            f"{endpoint.url.rstrip('/')}/{PATH}, model {endpoint.model}: found no log-probabilities in the reply, "
            "expected logprobs.content with top_logprobs; take verdict text, or a server that gives them"
        )
    return verdicts.letters(given["content"][0]["top_logprobs"])


def _mark(reply: Any) -> float:
    found = _said(reply)
    number = last_number(found)
    if number is None or not 0 <= number <= HIGHEST:
        raise Unusable(repr(found[:200]), f"a number from 0 to {HIGHEST}")
    return number / HIGHEST
