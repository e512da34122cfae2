"""Answers that end in the middle although the provider says that they are complete."""

import re
from typing import Final

from streams.validation.finished import Finished, has_open_fence

_TAIL_CHARACTERS: Final = 1_500
"""How much of the end is looked at, code fences apart."""
_SENTENCES: Final = 2
"""That many have to end as sentences do before a last one that doesn't is taken for a part of one."""
_SHORTEST: Final = 25
_PARAGRAPH: Final = 7
"""Words of a line that is more than a name or a heading."""
_FAREWELL: Final = 4
"""Words of "Kind regards, the team"."""

# Articles, possessives, conjunctions and the like: none of them ends anything but a quotation of it.
_NEVER_LAST: Final = frozenset(
    """the a an and or because although whereas which whose my your their our its every than is are was were has been
    of to with from into by for at between through during if that as
    der die das den dem des ein eine einen einem einer und oder weil dass obwohl sowie mit von zum zur im vom für eines
    le la les un une des et ou du au aux de dans pour avec que qui parce leur sa ses cette ces par
    el los las una y o del al por para con su sus que este esta porque
    il lo gli un uno di e della dello delle dei degli nel nella con per che sua suoi
    os as um uma da dos das no na pelo pela com seu sua
    het een en van op voor naar maar omdat wordt werd zijn
    oraz i w z na dla że który która ponieważ albo
    ve veya ile için ki çünkü
    och att för med som eller till är
    и или что который которая которые потому для чтобы также
    і та або що який для""".split()  # noqa: SIM905 - a line a language
)
# Words that end a text in one language though they can't in another, or that a title may end with.
_AMBIGUOUS: Final = frozenset(
    """a i o y e as is no na die per op la un that to of with from for by at between through during if are was were has
    have been than""".split()  # noqa: SIM905 - as above
)
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*\Z")
_SENTENCE_END: Final = re.compile(r"[.!?…][\"'”’»)*_]*\s+(?=[^\W\d_a-z]|[\"“«¿¡(])|[。！？।؟]")
_ENDS: Final = frozenset(".!?…。！？।؟;:»\"”’')]}>*_`~|–—-=/\\%°€$£")
_LAST_LINE_OF_CODE: Final = re.compile(
    r"[=(){}<>;\\]|\A\s*(?:[#$>|]|//|--|return\b|import\b|from\b|print\b|end\b)|\A\s{2,}|https?:|\w@\w|www\."
)
_CJK_END: Final = re.compile(r"[。！？]")
_CJK_CHARACTERS: Final = 4
_CJK: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_LIST_ITEM: Final = re.compile(r"^[ \t]*(?:[-*•–]|\d{1,3}[.)]) +\S", re.MULTILINE)


def breaks_off(answer: Finished) -> bool:
    """Whether the text ends within code, a table, JSON, a list or a sentence."""
    # Where a word of the requester's ends it, it ends anywhere.
    if not answer.is_prose or answer.request.params.stop:
        return False
    text = answer.text
    if not text:
        return False
    if has_open_fence(text):
        return True
    tail = text[-_TAIL_CHARACTERS:]
    if text[0] in "{[":
        return _is_open_json(text)
    *before, line = tail.split("\n")
    if line.startswith("|"):
        return bool(before) and before[-1].rstrip().endswith("|") and not line.rstrip().endswith("|")
    return _ends_within_sentence(tail, line)


def _is_open_json(text: str) -> bool:
    return text[0] == "{" and '"' in text[:20] and text[-1] not in "}`.)" and text.count("{") > text.count("}")


def _ends_within_sentence(tail: str, line: str) -> bool:
    last = line[-1]
    if last in "([{“«":
        return len(tail) > _SHORTEST and not _LAST_LINE_OF_CODE.search(line[:-1])
    if last in ",，、":
        # A greeting or a farewell ends with one as well, and so does a verse.
        return len(line) > 2 * _SHORTEST and _sentences(tail) >= _SENTENCES
    if last in _ENDS or not last.isalnum() or _LAST_LINE_OF_CODE.search(line):
        return False
    if _CJK.match(last):
        return _has_open_end_cjk(tail, line)
    word = _WORD.search(line)
    if word is not None and len(tail) > _SHORTEST and _is_never_last(word[0], tail):
        return True
    return _starts_another_sentence(tail, line) or _is_part_of_paragraph(tail, line) or _is_part_of_list(tail)


def _is_never_last(word: str, tail: str) -> bool:
    if word not in _NEVER_LAST:
        return False
    return word not in _AMBIGUOUS or _sentences(tail) > 0


def _starts_another_sentence(tail: str, line: str) -> bool:
    """Whether the last line has a whole sentence and then the start of one, in a text whose sentences have ends."""
    ends = [*_SENTENCE_END.finditer(line)]
    if not ends or _LIST_ITEM.match(line) or len(line) <= 3 * _SHORTEST:
        return False
    begun = line[ends[-1].end() :]
    words = begun.split()
    if "," in begun and len(words) <= _FAREWELL + 2:
        return False
    # "Kind regards, Ann Lee" and "your colleagues" end no sentence, but a letter.
    if len(words) <= _FAREWELL or (len(words) <= 2 * _FAREWELL and words[-1][0].isupper()):
        return False
    return _sentences(tail) >= _SENTENCES or len(words) >= _PARAGRAPH


def _is_part_of_list(tail: str) -> bool:
    """Whether all items of a list end as sentences do, but the last and shorter one."""
    *before, last = [line.strip() for line in tail.split("\n") if _LIST_ITEM.match(line)] or [""]
    if len(before) < _SENTENCES or not tail.endswith(last) or not all(item[-1] in ".!?。" for item in before):
        return False
    return len(last) * len(before) < sum(map(len, before))


def _is_part_of_paragraph(tail: str, line: str) -> bool:
    """Whether the last of several paragraphs is long, and alone in having no end."""
    before = [part.rstrip() for part in tail.split("\n")[:-1] if part.strip()]
    if len(line.split()) < _PARAGRAPH or line[:1].isspace() or _LIST_ITEM.search(tail) or _sentences(tail) < _SENTENCES:
        return False
    return bool(before) and all(part[-1] in ".!?…:。！？।" for part in before[-2:])


def _has_open_end_cjk(tail: str, line: str) -> bool:
    *ended, begun = _CJK_END.split(line)
    return bool(ended) and len(begun) >= _CJK_CHARACTERS and len(tail) > _SHORTEST // 2


def _sentences(text: str) -> int:
    return sum(1 for _ in _SENTENCE_END.finditer(text))
