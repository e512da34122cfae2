"""Turns of phrase of those who ask again, object, are angry or tired, thank or go on: counted, not understood."""

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Final

KINDS: Final = ("restates", "objects", "angry", "tired", "thanks", "goes_on")

_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
"""Thai, Lao, kana and Han, where words are not told apart, and Hangul, where they have many endings."""
UNSPACED: Final = re.compile(f"[{_UNSPACED}]")
_SIGNS = re.compile(
    r"[!-&(-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u2018\u201a-\u205e\u2190-\u2bff\u3000-\u3020\uff01-\uff0f\uff1a-\uff20"
    r"\u0964\u060c\u061b\u061f]"
)
"""All but the apostrophe; named one by one, because for `\\w` the vowel signs of Hindi are no letters."""
_KEY, _UNSPACED_KEY = 3, 2
"""Characters by which cues are looked up: no cue is shorter, its space included."""

_Entries = dict[str, tuple[tuple[int, tuple[str, ...]], ...]]


def spaced(text: str) -> str:
    """Return the text in lower case without signs, a space before and behind each word."""
    return f" {' '.join(_SIGNS.sub(' ', text.lower().replace('’', chr(39))).split())} "


def count_cues(words: str) -> list[int]:
    """Count the cues of each of the `KINDS` in a text that is `spaced`."""
    opening, by_word, unspaced = _cues()
    found = [0] * len(KINDS)
    for kind, cues in opening:
        found[kind] += words.startswith(cues)
    start = 0
    while (start := words.find(" ", start) + 1) < len(words):
        for kind, cues in by_word.get(words[start : start + _KEY], ()):
            found[kind] += words.startswith(cues, start)
    if UNSPACED.search(words):
        for start in range(len(words) - 1):
            for kind, cues in unspaced.get(words[start : start + _UNSPACED_KEY], ()):
                found[kind] += words.startswith(cues, start)
    return found


@cache
def _cues() -> tuple[tuple[tuple[int, tuple[str, ...]], ...], _Entries, _Entries]:
    """Read the shipped cues: of the beginning of a message, and those of any place by their first characters."""
    text = resources.files("streams.routing").joinpath("conversation_cues.toml").read_text(encoding="utf-8")
    languages = tomllib.loads(text)
    opening: dict[int, list[str]] = {}
    by_word: dict[str, dict[int, list[str]]] = {}
    unspaced: dict[str, dict[int, list[str]]] = {}
    for kind, name in enumerate(KINDS):
        for cue in (cue for cues in languages[name].values() for cue in cues):
            if cue.startswith("^"):
                opening.setdefault(kind, []).append(f" {cue[1:]}")
            elif UNSPACED.match(cue):
                unspaced.setdefault(cue[:_UNSPACED_KEY], {}).setdefault(kind, []).append(cue)
            else:
                by_word.setdefault(cue[:_KEY], {}).setdefault(kind, []).append(cue)
    return tuple((kind, tuple(cues)) for kind, cues in opening.items()), _frozen(by_word), _frozen(unspaced)


def _frozen(entries: dict[str, dict[int, list[str]]]) -> _Entries:
    return {key: tuple((kind, tuple(cues)) for kind, cues in kinds.items()) for key, kinds in entries.items()}
