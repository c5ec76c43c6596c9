"""How far a text is from the one expected, in edits: by RapidFuzz (extra ``scoring``), with a bound on the work.

Texts are compared as they are; where case, accents' composition (``unicodedata.normalize``) or spaces
shouldn't count, level them first. The work grows with the product of the lengths, so both are bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from subnet.scoring import checks

MOST_CHARACTERS: Final = 100_000
"""Longest text that is compared: two of them take some tenths of a second."""


def edit_distance(answer: str, reference: str, *, most: int = MOST_CHARACTERS) -> int:
    """The fewest characters (code points) to insert, delete or replace that turn one text into the other.

    Raises ValueError for a text longer than ``most``, MissingExtra without RapidFuzz.

    Source: Levenshtein, "Binary codes capable of correcting deletions, insertions and reversals", 1966.
    """
    return _edits(_text("answer", answer, most), _text("reference", reference, most))


def character_error_rate(answer: str, reference: str, *, most: int = MOST_CHARACTERS) -> float:
    """:func:`edit_distance` over the reference's length: 0 is perfect, and it may pass 1 (an answer far too long).

    Raises ValueError for an empty reference or a text longer than ``most``, MissingExtra without RapidFuzz.

    Source: Morris, Maier and Green, "From WER and RIL to MER and WIL", Interspeech 2004 (the word error
    rate; the same of characters).
    """
    if not reference:
        raise ValueError("reference is empty, so there is nothing to divide by")
    return edit_distance(answer, reference, most=most) / len(reference)


def word_error_rate(answer: str, reference: str, *, most: int = MOST_CHARACTERS) -> float:
    """As :func:`character_error_rate`, in words as ``str.split`` finds them."""
    words = _text("reference", reference, most).split()
    if not words:
        raise ValueError("reference holds no word, so there is nothing to divide by")
    return _edits(_text("answer", answer, most).split(), words) / len(words)


def _text(name: str, text: str, most: int) -> str:
    given: object = text
    if not isinstance(given, str):
        raise ValueError(f"{name} is {type(given).__name__}, expected str")
    if len(given) > most:
        raise ValueError(f"{name} has {len(given)} characters, at most {most} are compared")
    return given


def _edits(a: Sequence[Any], b: Sequence[Any]) -> int:
    return int(checks.optional("rapidfuzz.distance", "rapidfuzz").Levenshtein.distance(a, b))
