"""What names a part of a text, a record or a person, and can be held against a text without understanding it."""

import re
from typing import Final

from streams.validation.quantities import INSIDE

_LAW_LABELS: Final = (
    "article", "articles", "art.", "section", "sections", "sec.", "paragraph", "§", "artikel", "absatz", "abschnitt",
    "artículo",
    "sección", "articolo", "artigo", "seção", "madde", "статья", "статьи", "статье", "статью", "раздел", "разделу",
    "artykuł",
)  # fmt: skip
_OWN_LABELS: Final = (
    "clause", "clauses", "klausel", "ziffer", "position", "pos.", "cláusula", "apartado", "clausola", "пункт", "пункту",
    "пункте",
    "annex", "appendix", "schedule", "anlage", "annexe", "anexo", "allegato", "alinéa",
)  # fmt: skip
_PART_NUMBER: Final = re.compile(r"\d{1,3}+(?:\.\d{1,2})*(?!\d|[.,]\d|\s?%)")
_CJK_LABEL: Final = re.compile(r"第\s?(\d{1,3})\s?[条條項项款章]|제\s?(\d{1,3})\s?[조항]")
_NUMBERED: Final = re.compile(r"^[ \t*#(]*(\d{1,3}(?:\.\d{1,2})*)[.):]?[ \t]", re.MULTILINE)
_TITLES: Final = (
    "Mr", "Ms", "Dr", "Prof", "Cllr", "Councillor", "Herr", "Frau", "Mme", "Mlle", "Monsieur", "Madame", "Do", "Sr",
    "Señor", "Sig",
    "Dott", "Senhor", "Pan", "Judge", "Sergeant", "Captain",
)  # fmt: skip
_LABEL_CHARACTERS: Final = 24
_RECORD: Final = re.compile(r"\d[\dA-Z/-]*\d\b")
_RECORD_PREFIX: Final = re.compile(r"(?<!\w)[A-Z]{1,4}[-/]?\Z|(?<!\w)[-/]\Z")
_NUMBER_LABELS: Final = (
    "no.", "nr.", "nummer", "number", "numéro", "número", "numero", "номер", "n°", "nº", "№", "#", "приказ", "приказу",
    "приказа",
)  # fmt: skip
_RECORD_LABELS: Final = (
    "order", "invoice", "ticket", "case", "ref", "reference", "po", "rma", "iban", "extension", "durchwahl", "auftrag",
    "bestellung", "rechnung", "commande", "dossier", "pedido", "factura", "fattura", "ordine", "заказ", "заказа",
    "tracking", "account", "suivi",
)  # fmt: skip
_LONGEST_COUNT: Final = 3
"""Digits that a number of things can have as well: "in that case 30 days"."""
_FILLERS: Final = ("number", " is", " is the", " ist", "lautet", "est le", "es el", "è il", ":")
_PERSON: Final = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|Cllr|Councillor|Herrn?|Frau|Mme|Mlle|Monsieur|Madame|Doña|Don|Sra?|Señora?|Sig\.ra"
    r"|Signora?|Dott|Senhora?"
    r"|Pani?|Judge|Sergeant|Captain)\.?\s(?P<name>[A-ZÀ-ÝŁŚŻ][\w'’-]+(?:\s[A-ZÀ-ÝŁŚŻ][\w'’-]+){0,2})"
)


_NAME: Final = re.compile(r"(?<![.!?:*#\n] )(?<=[\w,] )([A-ZÀ-Ý][a-zß-ÿ]{2,}) ([A-ZÀ-Ý][a-zß-ÿ]{3,})\b")
_COUNT: Final = re.compile(r"\d{2,5}+(?![\d:/-]|[.,]\d|\s?[%€$£])\b")
_WORD_BEFORE: Final = re.compile(r"([^\W\d_]{4,16}) \Z")


def clauses(text: str) -> list[tuple[str, int, int, bool]]:
    """Find the parts of a text or a law that are named by their numbers.

    Returns:
        Number, start, end, and whether it can't be a law's.
    """
    found = []
    for number in _PART_NUMBER.finditer(text):
        if text[number.start() - 1 : number.start()] in INSIDE:
            continue
        before = text[max(0, number.start() - _LABEL_CHARACTERS) : number.start()].lower().rstrip()
        is_own = before.endswith(_OWN_LABELS)
        if is_own or before.endswith(_LAW_LABELS):
            found.append((number[0], *number.span(), is_own))
    if not text.isascii():
        found += [(label[1] or label[2], *label.span(), True) for label in _CJK_LABEL.finditer(text)]
    return found


def records(text: str) -> list[tuple[str, int]]:
    """Find numbers of orders, tickets, invoices and the like, with their places."""
    found = []
    for record in _RECORD.finditer(text):
        start = record.start()
        if text[start - 1 : start] in INSIDE - {"-", "/"}:
            continue
        if text[start - 1 : start].isupper() or text[start - 1 : start] in {"-", "/"}:
            prefix = _RECORD_PREFIX.search(text, max(0, start - 6), start)
            start = prefix.start() if prefix else start
        before = text[max(0, start - _LABEL_CHARACTERS) : start].lower().rstrip()
        for filler in _FILLERS:
            before = before.removesuffix(filler).rstrip()
        named = text[start : record.end()]
        is_count = named.isdecimal() and len(named) <= _LONGEST_COUNT
        if _ends_with_word(before, _NUMBER_LABELS) or (not is_count and _ends_with_word(before, _RECORD_LABELS)):
            found.append((named, start))
    return found


def _ends_with_word(text: str, words: tuple[str, ...]) -> bool:
    if not text.endswith(words):
        return False
    # A heading starts with the sign of a number, too.
    return any(
        text.endswith(word)
        and not text[: -len(word)][-1:].isalpha()
        and text != "#"
        and not text.endswith(("\n#", "##"))
        for word in words
    )


def people(text: str) -> list[str]:
    """Find the last of the names that stand after a title."""
    if not any(title in text for title in _TITLES):
        return []
    return [person["name"].split()[-1] for person in _PERSON.finditer(text)]


def names_of(text: str) -> list[tuple[str, str]]:
    """Find two words in a row that both start with a capital, as people's names do, but not the start of a sentence."""
    return [(found[1], found[2]) for found in _NAME.finditer(text)]


def numbered(text: str) -> list[tuple[str, str]]:
    """Find words with the number that follows: (route, 14)."""
    found = []
    for number in _COUNT.finditer(text):
        before = _WORD_BEFORE.search(text, max(0, number.start() - 17), number.start())
        if before is not None:
            found.append((before[1].casefold(), number[0]))
    return found


def clause_numbers(text: str) -> set[str]:
    """Return the numbers that parts of a text have."""
    return {*(number for number, *_ in clauses(text)), *_NUMBERED.findall(text)}


def part_places(text: str) -> set[int]:
    """Return where the numbers stand that parts of a text have."""
    return {*(start for _, start, *_ in clauses(text)), *(part.start(1) for part in _NUMBERED.finditer(text))}
