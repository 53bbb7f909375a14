"""Completions from a server with an OpenAI-compatible interface: one request for each (prompt, sample), with its seed.

What comes back is text, and token ids where the server has them (vLLM); text is encoded again with our tokenizer, which
need not give the tokens that were drawn. That is enough for SFT and for scores, and too little for PPO.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlhf.learning.endpoint import Endpoint, Question, Unusable, ask_all
from rlhf.learning.journal import Journal, key_of
from rlhf.learning.noise import mix
from rlhf.learning.text import encode_completion

# Why a server stopped writing. An answer that was filtered did not end by itself.
FINISHED = {"stop": True, "eos": True, "eos_token": True, "end_turn": True, "stop_sequence": True}
CUT = {"length": False, "max_tokens": False, "content_filter": False}
_SEEDS = 2**31  # servers take 32 bits


@dataclass(frozen=True)
class Asked:
    """One completion to ask for."""

    prompt_id: int
    sample_index: int
    prompt_ids: list[int]
    messages: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Written:
    """What a server wrote."""

    text: str
    ids: list[int]  # end-of-text included where it ended by itself; may be more than were allowed, where they are ours
    finished: bool
    num_tokens: int  # len(ids), or without a tokenizer the server's own count; 0 where it gives none


def write(
    endpoint: Endpoint,
    tokenizer: PreTrainedTokenizerBase | None,
    wanted: Sequence[Asked],
    *,
    interface: str,
    asks_for_ids: bool,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    journal: Journal,
    on_answer: Callable[[int, int], None],
    tick: Callable[[], None],
) -> list[Written]:
    """The completions in the order asked for; those of the journal are not asked for again.

    Args:
        tokenizer: None for a model that isn't here: then there are texts and no ids, and the interface is "chat".
        interface: "completions" sends our token ids; "chat" sends the messages, and the server's template counts.
        asks_for_ids: whether to ask for token ids, which vLLM has and others refuse to hear of.
        on_answer: called with (completions there, completions in all).

    Raises:
        EndpointFailed, EndpointRefused: names the server and the prompt.
    """
    questions = [_question(one, interface, asks_for_ids, temperature, max_new_tokens, seed) for one in wanted]
    keys = [key_of(endpoint.model, q.path, dict(q.body)) for q in questions]  # a vLLM server's port changes
    missing = [place for place, key in enumerate(keys) if key not in journal]
    num_there = len(keys) - len(missing)

    def keep(place: int, answer: dict[str, Any]) -> None:
        nonlocal num_there
        num_there += 1
        journal.put(keys[missing[place]], answer)
        on_answer(num_there, len(keys))

    ask_all(endpoint, [questions[place] for place in missing], read_choice, keep, tick)
    return [written(tokenizer, journal[key], max_new_tokens) for key in keys]


def read_choice(reply: Any) -> dict[str, Any]:
    """{"text", "finished", "ids", "num_tokens"} of a reply with exactly one choice. Raises Unusable."""
    choices = reply["choices"]
    if len(choices) != 1:
        raise Unusable(f"{len(choices)} choices", "1 choice")
    choice = choices[0]
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    reason, reasons = choice.get("finish_reason"), FINISHED | CUT
    if not isinstance(text, str):
        raise Unusable(f"{type(text).__name__} as text", "a text")
    if reason not in reasons:
        raise Unusable(f"finish_reason {reason!r}", f"one of {', '.join(reasons)}")
    ids = choice.get("token_ids")
    if ids is not None and not (isinstance(ids, list) and all(type(i) is int and i >= 0 for i in ids)):
        raise Unusable("token_ids that are no list of numbers", "token ids")
    if not text and not ids and not reasons[reason]:
        raise Unusable(f"an empty text and finish_reason {reason!r}", "a text, or an end")
    usage = reply.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    num_tokens = count if type(count) is int and count >= 0 else None
    return {"text": text, "finished": reasons[reason], "ids": ids, "num_tokens": num_tokens}


def written(tokenizer: PreTrainedTokenizerBase | None, answer: Mapping[str, Any], max_new_tokens: int) -> Written:
    """An answer as tokens: the server's where it said them, else those that its text has with our tokenizer."""
    text, finished = answer["text"], answer["finished"]
    if tokenizer is None:
        return Written(text, [], finished, answer.get("num_tokens") or 0)
    if answer["ids"]:
        ids = list(answer["ids"])
        if finished and ids[-1] not in tokenizer.all_special_ids and len(ids) < max_new_tokens:
            ids.append(tokenizer.eos_token_id)
        return Written(text, ids, finished, len(ids))
    ids = encode_completion(tokenizer, text, sys.maxsize)
    ids = ids if finished else ids[:-1]
    return Written(text, ids, finished, len(ids))


def _question(
    one: Asked, interface: str, asks_for_ids: bool, temperature: float, max_new_tokens: int, seed: int
) -> Question:
    body = {
        "max_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": 1,
        "n": 1,
        "seed": mix(seed, one.prompt_id, one.sample_index) % _SEEDS,
    }
    if asks_for_ids:
        body["return_token_ids"] = True
    if interface == "chat":
        messages = [{"role": message["role"], "content": message["content"]} for message in one.messages]
        return Question(one.prompt_id, "chat/completions", body | {"messages": messages})
    return Question(one.prompt_id, "completions", body | {"prompt": one.prompt_ids})
