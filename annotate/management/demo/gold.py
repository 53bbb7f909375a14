"""The hidden taste of the demo world: one number for any text as an answer to any prompt, in points, better is higher.

relevance (slot words said, no foreign ones) + politeness + detail + length + a proper end - repetition - unknown words
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from annotate.management.demo import grammar, lexicon

_WORD = re.compile(r"[A-Za-z]+")
_SLOT_WORDS = {word.lower(): slot for slot, words in lexicon.SLOTS.items() for word in words}
_FACT_WORDS = {word.lower() for facts in lexicon.FACTS.values() for word in facts.values()}
_DETAIL_WORDS = (
    frozenset(
        word
        for sentences in lexicon.DETAILS.values()
        for sentence in sentences
        for word in _WORD.findall(sentence.lower())
    )
    - lexicon.STOP_WORDS
    - _SLOT_WORDS.keys()
    - _FACT_WORDS
)
_SENTENCES = [
    *chain.from_iterable([*lexicon.CORES.values(), *lexicon.DETAILS.values(), *lexicon.PHRASINGS.values()]),
    *lexicon.POLITE_OPENINGS, *lexicon.POLITE_CLOSINGS, *lexicon.RUDE_OPENINGS, *lexicon.RUDE_CLOSINGS,
]  # fmt: skip
_KNOWN_WORDS = {
    *(word for sentence in _SENTENCES for word in _WORD.findall(sentence.lower())),
    *_SLOT_WORDS, *_FACT_WORDS,
}  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """The gold score by part, in points; the score is their sum."""

    relevance: float
    politeness: float
    detail: float
    length: float
    ending: float
    repetition: float
    spelling: float

    @property
    def total(self) -> float:
        content = self.relevance + self.politeness + self.detail
        return content + self.length + self.ending + self.repetition + self.spelling


def normalised(text: str) -> str:
    """Text with every run of white space as one space: what a page shows and what a model wrote become the same."""
    return " ".join(text.split())


def score(prompt: str, completion: str) -> float:
    """The gold score of a completion; a function of the two texts alone."""
    return parts(normalised(prompt), normalised(completion)).total


def preference(prompt: str, completion_a: str, completion_b: str, *, temperature: float) -> float:
    """Probability that a person of this temperature prefers a: the logistic function of the difference in gold."""
    return sigmoid((score(prompt, completion_a) - score(prompt, completion_b)) / temperature)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


@lru_cache(maxsize=65_536)
def parts(prompt: str, completion: str) -> Parts:
    words = _WORD.findall(completion.lower())
    said = set(words)
    return Parts(
        relevance=_relevance(prompt, said),
        politeness=0.8 * min(2, len(said & lexicon.POLITE_WORDS)) - 1.0 * min(2, len(said & lexicon.RUDE_WORDS)),
        detail=0.3 * min(6, len(said & _DETAIL_WORDS)),
        length=-0.12 * max(0, 10 - len(words)) - 0.12 * min(15, max(0, len(words) - 24)),
        ending=0.0 if completion.endswith((".", "!", "?")) else -0.8,
        repetition=-3.0 * _repeated_share(words),
        spelling=-0.4 * min(5, sum(word not in _KNOWN_WORDS for word in words)),
    )


def _relevance(prompt: str, said: set[str]) -> float:
    """Up to 2 points for the share of wanted words, less 0.3 for each foreign slot word (at most three)."""
    wanted, allowed, bonus = _wanted(prompt)
    foreign = sum(word in _SLOT_WORDS or word in _FACT_WORDS for word in said - wanted - allowed)
    share = len(wanted & said) / len(wanted) if wanted else 0.0
    if bonus == "list":
        share = 0.5 * share + 0.5 * min(3, len(said & set(lexicon.OBJECTS))) / 3
    return 2 * share - 0.3 * min(3, foreign)


@lru_cache(maxsize=65_536)
def _wanted(prompt: str) -> tuple[frozenset[str], frozenset[str], str]:
    """Words that an answer should say, slot words that it may say, and the kind of the prompt."""
    request = grammar.parse(prompt)
    if request is None:  # a prompt from outside the grammar: its content words
        content = [word for word in _WORD.findall(prompt.lower()) if len(word) > 3 and word not in lexicon.STOP_WORDS]
        return frozenset(content), frozenset(_SLOT_WORDS), "other"
    slots = {name: word.lower() for name, word in request.slots.items()}
    allowed = set(slots.values())
    if request.kind == "list":
        allowed |= set(lexicon.OBJECTS)
    if request.kind == "question":
        slots.pop("place")
        slots["answer"] = (request.fact or "").lower()
    return frozenset(slots.values()), frozenset(allowed), request.kind


def _repeated_share(words: list[str]) -> float:
    """Share of word triples that were there before."""
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(triples)) / len(triples) if triples else 0.0
