"""Which language a text is in, by script and by words that every text has, and answers in another than the question."""

import re
from typing import Final

from streams.validation.finished import Finished
from streams.validation.function_words import LANGUAGES_OF

_MOST_CHARACTERS: Final = 700
"""Of the start of a text; that much is enough to know by."""
_MOST_ASKED: Final = 20_000
"""Of what was asked, in which the answer's language must not occur."""
_FEWEST: Final = 3
_TELLING: Final = 5
"""Letters of a word of one language that is enough to know a question by."""
_FEWEST_OF_ANSWER: Final = 4
"""Words of an answer that have to be of its language."""
_SHARE: Final = 0.18
"""Of a text's words that are among those of its language."""
_AHEAD: Final = 1.4
"""By which factor a language leads the next."""
_SHORTEST: Final = 12
"""Letters of a text in a script of its own."""
_OF_SCRIPT: Final = 0.6
_KANA: Final = 0.05

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NOT_PROSE: Final = re.compile(r"`[^`\n]*`|https?://\S+|\S+@\S+|\$[^$\n]+\$|<[^<>\n]{1,200}>")
_MARKS: Final = re.compile(r"[`@$<]|://")
_CODE: Final = re.compile(r"[{};=<>]|\w\(|\w\.[A-Za-z]\w|(?i:\bselect\b|\bend (?:if|sub)\b)")
_SCRIPTS: Final = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "zh": re.compile(r"[\u3400-\u9fff]"),
    "ko": re.compile(r"[\uac00-\ud7a3]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
    "el": re.compile(r"[\u0370-\u03ff]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
}
"""Scripts by the language that most texts in them are in; others that use it pass for that one."""
_FOREIGN: Final = {
    "en": re.compile(r"[¿¡äöüßàâçèêëîïôùûœæñáíóúãõąćęłńśźżğışřěčșțåđơưạ-ỹ]"),
    "de": re.compile(r"[¿¡àâçèêëîïôùûœæñáíóúãõąćęłńśźżğışřěčșțå]"),
    "fr": re.compile(r"[¿¡äößñáíóúãõąćęłńśźżğışřěčșțå]"),
    "es": re.compile(r"[äößàâçèêëîïôùûœæãõąćęłńśźżğışřěčșțå]"),
}
"""Letters that words of a language don't have, loans apart."""
_OTHER_LETTER: Final = re.compile(r"[\u0370-\u1dff\u3040-\ud7a3]")
_LETTER: Final = re.compile(r"[^\W\d_]")

# Whoever names a language or a translation may want the answer in it; that is for a judge to tell.
_NAMES: Final = re.compile(
    r"translat|langu|lingu|bilingual|localiz|localis|subtitle|multiling"
    r"|english|german|french|spanish|italian|portuguese|dutch|polish|turkish|russian|chinese|mandarin|japanese|korean"
    r"|arabic|hindi|czech|ukrainian|swedish|danish|norwegian|finnish|vietnamese|indonesian|romanian|hungarian|greek"
    r"|hebrew|thai|latin\b|catalan|\b(?:en|de|fr|es|it|pt|nl|pl|tr|ru|zh|ja|ko|ar|hi)[-_](?:[A-Z]{2})\b"
    r"|übersetz|sprach|englisch|deutsch|französisch|spanisch|italienisch|portugiesisch|niederländisch|polnisch"
    r"|türkisch"
    r"|russisch|chinesisch|japanisch|koreanisch|arabisch"
    r"|tradu|langue|anglais|allemand|français|espagnol|italien|portugais|néerlandais|polonais|turc\b|russe|chinois"
    r"|japonais|coréen|arabe|idioma|inglés|alemán|francés|español|castellano|italiano|portugués|ruso\b|chino\b"
    r"|japonés"
    r"|inglese|tedesco|francese|spagnolo|portoghese|russo\b|cinese|giapponese|inglês|alemão|francês|espanhol"
    r"|português"
    r"|vertaal|vertal|\btaal|engels|duits|frans\b|spaans|nederlands|tłumacz|przetłumacz|język|angielsk|niemieck|polsk"
    r"|çevir|tercüme|ingilizce|almanca|fransızca|türkçe|přelož|anglick|česk|jazyk|översätt|engelska|svenska|tysk"
    r"|oversæt"
    r"|dansk|terjemah|bahasa|inggris|dịch|tiếng|traduce|engleză|română"
    r"|перев[её]|перевод|язык|английск|немецк|французск|испанск|русск|по-русски|переклад|мов[аиоу]|англійськ"
    r"|українськ"
    r"|翻译|翻譯|英文|英语|英語|中文|汉语|德语|法语|日语|日文|韩语|西班牙语|俄语|语言|翻訳|訳し|和訳|英訳|日本語"
    r"|中国語|韓国語|ドイツ語|フランス語|言語"
    r"|번역|영어|한국어|일본어|중국어|독일어|언어|ترجم|الإنجليزية|بالإنجليزي|العربية|الفرنسية|لغة|اللغة|अनुवाद"
    r"|अंग्रेज़ी|अंग्रेजी|हिंदी|हिन्दी|भाषा",
    re.IGNORECASE,
)


def is_in_another_language(answer: Finished) -> bool:
    """Whether the answer is surely in one language and the question in another, and nothing asks for that."""
    if not answer.is_text or not answer.is_of_text_alone:
        return False
    own, question = language_of(answer.prose), answer.request.question
    asked = None if own is None else language_of(question)
    if own is None or asked == own:
        return False
    if not _is_in_other_script(question, asked, own) and not _is_pure(answer.prose, own, asked):
        return False
    if len(_CODE.findall(question[:_MOST_CHARACTERS])) >= _FEWEST or not _is_of_others(question, asked, own):
        return False
    texts = [message.text for message in answer.request.messages]
    return not any(_has_some(text, own) or _NAMES.search(text[:_MOST_ASKED]) for text in texts)


def _is_pure(text: str, own: str, asked: str | None) -> bool:
    """Whether a text is long enough, no code, and has words of its language that are not the question's as well."""
    plain = _plain(text)
    if len(_CODE.findall(plain)) >= _FEWEST:
        return False
    if own in _SCRIPTS:
        return True
    languages = [LANGUAGES_OF.get(word, ()) for word in _WORD.findall(plain.lower())]
    count = sum(own in found for found in languages)
    if asked is not None and asked not in _SCRIPTS:
        others = sum(asked in found and own not in found for found in languages)
        alone = sum(own in found and asked not in found for found in languages)
        return count >= _FEWEST_OF_ANSWER and alone >= max(2, 3 * others)
    others = max((count for code, count in _scores(_WORD.findall(plain.lower())).items() if code != own), default=0)
    return count >= max(_FEWEST_OF_ANSWER, 2 * others)


def _is_in_other_script(question: str, known: str | None, own: str) -> bool:
    """Whether a question has a script of its own and no Latin letters, and the answer has Latin ones."""
    return known in _SCRIPTS and own not in _SCRIPTS and re.search(r"[A-Za-z]{2}", question) is None


def _is_of_others(question: str, known: str | None, own: str) -> bool:
    """Whether a question is surely in another language than the answer's, although maybe not in which."""
    if known is not None and {known, own} in _ALIKE:
        return False
    if known in _SCRIPTS:
        return True
    if own in _SCRIPTS:
        # Many write their language in Latin letters, if they have no other keyboard.
        return known is not None
    plain = _plain(question)
    words = [word for word in _WORD.findall(plain.lower()) if len(word) > 1]
    scores = _scores(words)
    others = max((count for code, count in scores.items() if code != own), default=0)
    if own in scores:
        return known is not None and others >= _FEWEST * scores[own]
    if any(len(word) >= _TELLING and len(LANGUAGES_OF.get(word, ())) == 1 for word in words):
        return True
    foreign = len(_FOREIGN[own].findall(plain)) if own in _FOREIGN else 0
    return others + min(foreign, 2) >= 2  # noqa: PLR2004


_ALIKE: Final = ({"zh", "ja"}, {"da", "sv"}, {"cs", "pl"})
"""Close enough to be taken for each other in a short text."""


def language_of(text: str) -> str | None:
    """Return the ISO 639-1 code of the language that a text is in, and None where that is not sure."""
    plain = _plain(text)
    return (None if plain.isascii() else _of_script(plain)) or _of_words(plain)


def _plain(text: str) -> str:
    text = text[:_MOST_CHARACTERS]
    return _NOT_PROSE.sub(" ", text) if _MARKS.search(text) else text


def _of_script(plain: str) -> str | None:
    other = len(_OTHER_LETTER.findall(plain))
    if other < _SHORTEST / 2:
        return None
    letters = len(_LETTER.findall(plain))
    for code, script in _SCRIPTS.items():
        count = len(script.findall(plain))
        if code == "ja":
            if count > _KANA * letters and letters >= _SHORTEST:
                return code
        elif count >= _SHORTEST / 2 and count >= _OF_SCRIPT * letters:
            return code
    return None


def _of_words(plain: str) -> str | None:
    words = _WORD.findall(plain.lower())
    scores = _scores(words)
    best = max(scores.values(), default=0)
    if best < _FEWEST or best < _SHARE * len(words):
        return None
    code, *others = sorted(scores, key=scores.__getitem__, reverse=True)
    return code if not others or best >= _AHEAD * scores[others[0]] else None


def _scores(words: list[str]) -> dict[str, int]:
    scores: dict[str, int] = {}
    for word in words:
        for code in LANGUAGES_OF.get(word, ()):
            scores[code] = scores.get(code, 0) + 1
    return scores


def _has_some(text: str, code: str) -> bool:
    """Whether a part of a text is in a language."""
    text = text[:_MOST_ASKED]
    script = _SCRIPTS.get(code)
    if script is not None:
        return script.search(text) is not None
    return any(_is_of(" ".join(block.split("\n")), code) for block in re.split(r"\n\s*\n|[.!?:;\"“”«»„]", text))


def _is_of(sentence: str, code: str) -> bool:
    words = _WORD.findall(sentence.lower())
    scores = _scores(words)
    return scores.get(code, 0) >= max(_FEWEST, max(scores.values(), default=0))
