"""What two answers do not share, word by word, in bounded time; texts that are too long for it are said to be."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

MAX_WORDS = 5_000  # of a text; the slowest pair that was tried (a hundred words, each a hundredth) took 0.07 s
SHORT = 2  # shared words between two longer changes: they only disturb reading
_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"  # Thai, Lao, Japanese, Chinese: a sign is a word
_WORDS = re.compile(rf"\s*(?:[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s])|\s+$")


@dataclass(frozen=True)
class Piece:
    """A stretch of a text; `is_own`: the other text doesn't have it here."""

    text: str
    is_own: bool


def word_diff(*, first: str, second: str) -> tuple[list[Piece], list[Piece]] | None:
    """Both texts in pieces, which add up to them exactly; None where one has more than MAX_WORDS words."""
    words = [_WORDS.findall(text) for text in (first, second)]
    if any(len(found) > MAX_WORDS for found in words):
        return None
    a, b = ([word.strip() or " " for word in found] for found in words)
    # Words that are frequent in a long text are no anchors (autojunk): that bounds the time, and reads better.
    blocks = difflib.SequenceMatcher(None, a, b).get_matching_blocks()
    kept = [block for block in blocks if block.size > SHORT or block.size == 0 or min(len(a), len(b)) <= 2 * SHORT]
    return _pieces(words[0], [(x.a, x.size) for x in kept]), _pieces(words[1], [(x.b, x.size) for x in kept])


def _pieces(words: list[str], shared: list[tuple[int, int]]) -> list[Piece]:
    pieces, place = [], 0
    for start, size in shared:
        pieces += [Piece("".join(words[place:start]), True), Piece("".join(words[start : start + size]), False)]
        place = start + size
    return [piece for piece in pieces if piece.text]
