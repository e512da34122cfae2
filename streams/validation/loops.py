"""Answers that go round: words, sentences or list items over and over, as they are or with slight changes."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from streams.validation.finished import Finished

_TAIL_CHARACTERS: Final = 4_000
"""A loop does not end by itself, so the end shows it."""
_SHORTEST: Final = 60
_TIMES: Final = 4
_TIMES_LONG: Final = 2.5
"""A long passage that comes again and again is no coincidence even the third time."""
_LONG_WORDS: Final = 18
_SHARE: Final = 0.3
"""Of the tail that has to be in the loop."""
_SHORTEST_SENTENCE: Final = 12
_MOST_DIFFERENT: Final = 0.75
"""Share of the words of a text that goes round which are different ones."""
_FEW_WORDS: Final = ((35, 0.3), (90, 0.25), (250, 0.2))
"""From so many words on, a smaller share of different ones is too small."""
_GRAM: Final = 4
_COVERED: Final = 0.7
_COVERED_WORDS: Final = 40

_TOKEN: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+|\d+(?:[.,]\d+)*")
_MARKED: Final = re.compile(r"^[ \t]*(?:[-*•–+]|\d{1,4}[.)])[ \t]+(.+)$", re.MULTILINE)
_VERDICTS: Final = ("yes", "no", "true", "false", "ja", "nein", "oui", "non", "sí", "sì", "да", "нет", "是", "否")
_SENTENCE_END: Final = re.compile(r"[.!?…]+(?=\s)|[。！？।]+")
_SKIPPED: Final = re.compile(r"^[ \t]*[|+].*$|^.*[{}<>=;\t].*$", re.MULTILINE)
_ASKED_FOR: Final = re.compile(
    r"repeat|times|\blines?\b|poem|song|lyric|chant|verse|refrain|rhyme|shanty|mantra|chorus|ballad|villanelle|litany"
    r"|dummy|lorem|placeholder|test data|sample data|fake|csv|ascii|pattern|loop|multipl|count|number|sequence"
    r"|wiederhol|gedicht|lied|strophe|\bmal\b|reim|refrain|répèt|répét|poème|chanson|comptine|fois|couplet"
    r"|repet|repit|poema|canci[oó]n|rima|veces|estribillo|ripet|poesia|canzone|filastrocca|volte|ritornello"
    r"|vezes|refrão|canção|herhaal|gedicht|liedje|keer|powt[oó]rz|wiersz|piosenk|razy|tekrar|şiir|şarkı|kere|kez"
    r"|повтор|стих|песн|раз\b|припев|вірш|пісн|重复|重複|诗|詩|歌|遍|次|繰り返|回|반복|노래|번|시를|كرر|قصيدة|أغنية|مرات|कविता|गीत|बार|दोहरा"
    r"|básn|píse|opakuj|dikt|sång|puisi|lagu|ulang|thơ|bài hát|lặp",
    re.IGNORECASE,
)


def goes_round(answer: Finished) -> bool:
    """Whether the end of the text repeats itself without need."""
    if not answer.is_text or len(answer.text) < _SHORTEST:
        return False
    tail = answer.prose.rstrip()[-_TAIL_CHARACTERS:]
    if not _repeats(tail):
        return False
    question = answer.request.question[-_TAIL_CHARACTERS:]
    return _ASKED_FOR.search(question) is None and not _is_labels(tail, question)


def _is_labels(tail: str, question: str) -> bool:
    """Whether a text has nothing but words of the question and numbers, as where many things are sorted."""
    words = {word for word in _TOKEN.findall(tail.casefold()) if not word[0].isdecimal()}
    return bool(words) and words <= {*_TOKEN.findall(question.casefold()), *_VERDICTS}


def _repeats(tail: str) -> bool:
    # Tables, code without a fence and records look alike line by line, and should.
    text = _SKIPPED.sub("", tail)
    tokens: list[str] = _TOKEN.findall(text.casefold())
    if len(text) < _SHORTEST or len({*tokens}) > _MOST_DIFFERENT * len(tokens):
        return False
    items = [_body(item) for item in _MARKED.findall(text)]
    words = [token for token in tokens if not token[0].isdecimal()]
    return (
        _has_few_words(words)
        or _is_periodic(tokens)
        or _is_few(items)
        or _says_one_sentence(text)
        or (not items and _is_covered(words))
    )


def _body(item: str) -> str:
    return " ".join(sorted(set(_TOKEN.findall(item.casefold()))))


def _has_few_words(words: Sequence[str]) -> bool:
    """Whether a text makes do with very few words."""
    return any(len(words) >= least and len({*words}) < share * len(words) for least, share in _FEW_WORDS)


def _is_periodic(tokens: Sequence[str]) -> bool:
    """Whether the text ends with the same passage several times over, by the borders of the reversed text.

    Passages that differ in their numbers alone are counting, which is the task of many a list.
    """
    back = tokens[::-1]
    borders = [0] * len(back)
    k = 0
    for i in range(1, len(back)):
        while k and back[i] != back[k]:
            k = borders[k - 1]
        k += back[i] == back[k]
        borders[i] = k
        length = i + 1
        period = length - k
        times = length / period
        is_long = period >= _LONG_WORDS and times >= _TIMES_LONG
        if (is_long or (times >= _TIMES and length >= 4 * _TIMES)) and length >= _SHARE * len(back):
            return True
    return False


def _is_few(items: Sequence[str]) -> bool:
    """Whether a list has few different items, each of more than a word or many times."""
    if len(items) < 2 * _TIMES:
        return False
    counts = Counter(items)
    (_, most), *_ = counts.most_common(1)
    return 2 * len(counts) <= len(items) and most >= _TIMES


def _says_one_sentence(text: str) -> bool:
    ended = (
        _SENTENCE_END.split(text)[:-1]
        if not text.rstrip().endswith((".", "!", "?", "…"))
        else _SENTENCE_END.split(text)
    )
    found = [" ".join(token for token in _TOKEN.findall(one.casefold()) if not token[0].isdecimal()) for one in ended]
    # "Yes." may come again.
    found = [one for one in found if len(one) > _SHORTEST_SENTENCE]
    if len(found) < _TIMES + 1:
        return False
    (_, most), *_ = Counter(found).most_common(1)
    return most > _TIMES and 2 * most >= len(found)


def _is_covered(words: Sequence[str]) -> bool:
    """Whether most of the text is made of runs of words that come again and again."""
    if len(words) < _COVERED_WORDS:
        return False
    counts = Counter(zip(*(words[i:] for i in range(_GRAM)), strict=False))
    covered, until = 0, 0
    for at, gram in enumerate(zip(*(words[i:] for i in range(_GRAM)), strict=False)):
        if counts[gram] >= _TIMES:
            covered += at + _GRAM - max(at, until)
            until = at + _GRAM
    return covered >= _COVERED * len(words)
