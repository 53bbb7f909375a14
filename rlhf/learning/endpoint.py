"""Questions to an OpenAI-compatible server: bounded in time and size, repeated where that may help, never skipped.

What sampling, best-of-N and the judge share. Every question is answered or the whole call fails with the server's
address and the prompt's id. Torch-free.
"""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from rlhf.learning.configs import InputError

T = TypeVar("T")
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})  # statuses that another attempt may not meet
_LONGEST_WAIT_S = 30.0
_TICK_S = 0.2


class EndpointFailed(RuntimeError):
    """A server gave no usable answer, however often it was asked; the message names it and the prompt."""


class EndpointRefused(InputError):
    """A server says that the question itself is wrong (its model, key or length): asking again is no use."""


class Unusable(ValueError):
    """An answer that can't be used: what was found, and what was expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.found, self.expected = found, expected


@dataclass(frozen=True)
class Endpoint:
    """Where a server is, and how patient we are with it."""

    url: str  # up to and without /completions or /chat/completions
    model: str
    api_key: str = field(default="", repr=False)
    num_attempts: int = 3
    timeout_s: float = 60.0  # of one attempt, from the first byte sent to the last one read
    num_parallel: int = 8
    max_response_bytes: int = 4_000_000
    wait_s: float = 0.5  # before the second attempt; then twice as long each time


@dataclass(frozen=True)
class Question:
    """One request: for which prompt, to which path under the url, and its body without the model."""

    prompt_id: int
    path: str
    body: Mapping[str, Any]


def ask_all(
    endpoint: Endpoint,
    questions: Sequence[Question],
    read: Callable[[Any], T],
    on_answer: Callable[[int, T], None] | None = None,
    tick: Callable[[], None] | None = None,
) -> list[T]:
    """The answers to all questions in their order, `num_parallel` of them under way at a time.

    Args:
        read: from the decoded JSON to an answer; raises Unusable (or KeyError, IndexError, TypeError) otherwise.
        on_answer: called in this thread as answers come, with (place of the question, answer).
        tick: called in this thread every fifth of a second; what it raises ends everything at once.

    Raises:
        EndpointFailed: a question had no usable answer after `num_attempts`; no other one is waited for.
        EndpointRefused: a status in the 400s that another attempt would meet again.
    """
    answers: queue.Queue[tuple[int, T]] = queue.Queue()
    found: dict[int, T] = {}
    loop = asyncio.new_event_loop()
    # In a thread of its own: the caller's may have a running loop already, as a notebook's has.
    with ThreadPoolExecutor(1, "endpoint") as thread:
        task = loop.create_task(_ask_all(endpoint, questions, read, answers))
        work = thread.submit(loop.run_until_complete, task)
        try:
            while len(found) < len(questions):
                if tick is not None:
                    tick()
                try:
                    place, answer = answers.get(timeout=_TICK_S)
                except queue.Empty:
                    if work.done():
                        work.result()
                    continue
                found[place] = answer
                if on_answer is not None:
                    on_answer(place, answer)
        except BaseException:
            loop.call_soon_threadsafe(task.cancel)
            raise
        finally:
            thread.shutdown()
            loop.close()
    return [found[place] for place in range(len(questions))]


async def _ask_all(
    endpoint: Endpoint,
    questions: Sequence[Question],
    read: Callable[[Any], T],
    answers: queue.Queue[tuple[int, T]],
) -> None:
    room = asyncio.Semaphore(endpoint.num_parallel)
    headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}

    async def answer(place: int, question: Question) -> None:
        async with room:
            answers.put((place, await _ask(client, endpoint, question, read)))

    is_near = httpx.URL(endpoint.url).host in ("127.0.0.1", "localhost", "::1")  # no proxy leads there
    client = httpx.AsyncClient(timeout=None, headers=headers, trust_env=not is_near)  # noqa: S113 (_ask has one)
    try:
        async with client, asyncio.TaskGroup() as group:
            for place, question in enumerate(questions):
                group.create_task(answer(place, question))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _ask(client: httpx.AsyncClient, endpoint: Endpoint, question: Question, read: Callable[[Any], T]) -> T:
    url = f"{endpoint.url.rstrip('/')}/{question.path}"
    where = f"{url}, model {endpoint.model}, prompt {question.prompt_id}"
    problem = Unusable("nothing", "an answer")
    for attempt in range(endpoint.num_attempts):
        if attempt:
            await asyncio.sleep(min(_LONGEST_WAIT_S, endpoint.wait_s * 2 ** (attempt - 1)))
        try:
            async with asyncio.timeout(endpoint.timeout_s):
                status, content = await _post(client, url, endpoint, question)
            if status == 200:
                return _read(content, read)
            problem = Unusable(f"status {status} ({_short(content)})", "status 200")
            if status not in _PASSING:
                raise EndpointRefused(f"{where}: {problem}")
        except TimeoutError:
            problem = Unusable("no whole answer", f"one within {endpoint.timeout_s:g} s")
        except httpx.HTTPError as error:
            problem = Unusable(f"{type(error).__name__} ({error})", "an answer")
        except Unusable as error:
            problem = error
    raise EndpointFailed(
        f"{where}: found {problem.found} in {endpoint.num_attempts} attempts, expected {problem.expected}"
    )


async def _post(client: httpx.AsyncClient, url: str, endpoint: Endpoint, question: Question) -> tuple[int, bytes]:
    async with client.stream("POST", url, json={"model": endpoint.model, **question.body}) as response:
        content = b""
        async for part in response.aiter_bytes():
            content += part
            if len(content) > endpoint.max_response_bytes:
                raise Unusable(
                    f"more than {endpoint.max_response_bytes} bytes", f"at most {endpoint.max_response_bytes} bytes"
                )
        return response.status_code, content


def _read(content: bytes, read: Callable[[Any], T]) -> T:
    try:
        return read(json.loads(content))
    except (Unusable, EndpointRefused):
        raise
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise Unusable(
            f"{_short(content)} ({type(error).__name__}: {error})", "an OpenAI-compatible answer in JSON"
        ) from error


def _short(content: bytes) -> str:
    text = " ".join(content.decode("utf-8", "replace").split())
    return repr(text if len(text) <= 200 else f"{text[:197]}...")
