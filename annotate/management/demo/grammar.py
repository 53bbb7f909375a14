"""Prompts, demonstrations and the corpus of the demo world: each a function of (seed, index), all prompts distinct."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from annotate.management.demo import lexicon
from annotate.management.demo.chance import Draws, permuted

Message = dict[str, str]

_FIELD = re.compile(r"{(\w+)}")


@dataclass(frozen=True)
class Request:
    """What a prompt asks for: its kind, its slots, and its words."""

    kind: str
    slots: Mapping[str, str]
    text: str

    @property
    def messages(self) -> list[Message]:
        return [{"role": "user", "content": self.text}]

    @property
    def fact(self) -> str | None:
        """The known answer, where the prompt is a question."""
        for slot, facts in lexicon.FACTS.items():
            if slot in self.slots:
                return facts[self.slots[slot]]
        return None


@dataclass(frozen=True)
class Manner:
    """How well somebody writes: probabilities of every virtue and fault of an answer."""

    wrong_slot: float  # each slot: another word of its kind instead
    off_topic: float  # the answer to some other prompt
    polite_opening: float
    polite_closing: float
    rude: float
    details: tuple[float, ...] = field(default=(1.0,))  # weights of 0, 1, 2, ... sentences of detail
    repeated: float = 0.0  # one of the sentences again, once or twice
    cut: float = 0.0  # stops in the middle


# People who answer a survey: decent, mixed, with room above them.
DEMONSTRATOR = Manner(0.06, 0.02, 0.3, 0.3, 0.08, (0.4, 0.4, 0.15, 0.05), 0.06, 0.03)
# The web: everything happens.
CORPUS = Manner(0.06, 0.04, 0.2, 0.2, 0.15, (0.6, 0.25, 0.1, 0.05), 0.1, 0.06)


def _forms(kind: str) -> list[tuple[str, list[str], int]]:
    """Phrasing, its slots, and in how many ways they can be filled."""
    forms = []
    for phrasing in lexicon.PHRASINGS[kind]:
        slots = _FIELD.findall(phrasing)
        forms.append((phrasing, slots, prod(len(lexicon.SLOTS[slot]) for slot in slots)))
    return forms


_FORMS = {kind: _forms(kind) for kind in lexicon.KINDS}
NUM_PROMPTS = len(lexicon.KINDS) * min(sum(size for *_, size in forms) for forms in _FORMS.values())


def request(*, seed: int, index: int) -> Request:
    """The prompt number `index` of a world; no two below NUM_PROMPTS are the same."""
    if not 0 <= index < NUM_PROMPTS:
        raise IndexError(f"index: expected 0 to {NUM_PROMPTS - 1}, found {index}")
    place, which = divmod(index, len(lexicon.KINDS))
    kind = lexicon.KINDS[which]
    forms = _FORMS[kind]
    place = permuted(place, sum(size for *_, size in forms), seed, "prompt", kind)
    form = 0
    while place >= forms[form][2]:
        place -= forms[form][2]
        form += 1
    phrasing, names, _ = forms[form]
    slots = {}
    for name in names:
        place, digit = divmod(place, len(lexicon.SLOTS[name]))
        slots[name] = lexicon.SLOTS[name][digit]
    return Request(kind=kind, slots=slots, text=phrasing.format(**slots))


def parse(text: str) -> Request | None:
    """The request behind a prompt's words, or None where the grammar didn't write it."""
    for kind, forms in _PATTERNS.items():
        for pattern in forms:
            if found := pattern.fullmatch(text.strip()):
                return Request(kind=kind, slots=found.groupdict(), text=text.strip())
    return None


def _pattern(phrasing: str) -> re.Pattern[str]:
    parts = _FIELD.split(phrasing)  # text, slot, text, slot, ..., text
    for place in range(1, len(parts), 2):
        parts[place] = f"(?P<{parts[place]}>{'|'.join(lexicon.SLOTS[parts[place]])})"
    parts[0::2] = [re.escape(part) for part in parts[0::2]]
    return re.compile("".join(parts))


_PATTERNS = {kind: [_pattern(phrasing) for phrasing in lexicon.PHRASINGS[kind]] for kind in lexicon.KINDS}


def answer(request: Request, *, manner: Manner, draws: Draws) -> str:
    """An answer as somebody of that manner gives it."""
    if draws.happens(manner.off_topic):
        request = _other(draws)
    sentences = [_core(request, manner, draws), *_details(request.kind, manner, draws)]
    if draws.happens(manner.repeated):
        sentences += [draws.pick(sentences)] * (1 + draws.below(2))
    rude = draws.happens(manner.rude)
    if rude and draws.happens(0.5):
        sentences.insert(0, draws.pick(lexicon.RUDE_OPENINGS))
    elif rude:
        sentences.append(draws.pick(lexicon.RUDE_CLOSINGS))
    if not rude and draws.happens(manner.polite_opening):
        sentences.insert(0, draws.pick(lexicon.POLITE_OPENINGS))
    if not rude and draws.happens(manner.polite_closing):
        sentences.append(draws.pick(lexicon.POLITE_CLOSINGS))
    words = " ".join(sentences).split(" ")
    if draws.happens(manner.cut):
        words = words[: max(3, int(len(words) * (0.3 + 0.1 * draws.below(6))))]
    return " ".join(words)


def _other(draws: Draws) -> Request:
    kind = draws.pick(lexicon.KINDS)
    phrasing, names, _ = draws.pick(_FORMS[kind])
    slots = {name: draws.pick(lexicon.SLOTS[name]) for name in names}
    return Request(kind=kind, slots=slots, text=phrasing.format(**slots))


def _core(request: Request, manner: Manner, draws: Draws) -> str:
    words = dict(request.slots)
    words["answer"] = request.fact or ""
    for slot in list(words):
        if not draws.happens(manner.wrong_slot):
            continue
        if slot != "answer":
            words[slot] = draws.pick(lexicon.SLOTS[slot])
        elif request.fact:
            facts = next(facts for name, facts in lexicon.FACTS.items() if name in request.slots)
            words[slot] = draws.pick(list(facts.values()))
    words["first"], words["second"], words["third"] = draws.several(lexicon.OBJECTS, 3)
    if request.kind == "list" and draws.happens(manner.wrong_slot):
        words["third"] = words["second"] = words["first"]
    return draws.pick(_cores(request)).format(**words)


def _cores(request: Request) -> list[str]:
    if request.kind != "question":
        return lexicon.CORES[request.kind]
    return lexicon.CORES["question:country" if "country" in request.slots else "question:thing"]


def _details(kind: str, manner: Manner, draws: Draws) -> list[str]:
    count = draws.weighted(manner.details)
    return draws.several(lexicon.DETAILS[kind], count)


def demonstration(request: Request, *, key: tuple[object, ...]) -> str:
    """What a person writes when asked to answer the prompt; the key says which person and when."""
    return answer(request, manner=DEMONSTRATOR, draws=Draws("demonstration", *key, request.text))


def corpus_example(*, seed: int, index: int) -> tuple[Request, str]:
    """Prompt and answer number `index` of the corpus, of any quality. Corpus prompts are drawn, so a few repeat."""
    draws = Draws(seed, "corpus", index)
    asked = _other(draws)
    return asked, answer(asked, manner=CORPUS, draws=draws)
