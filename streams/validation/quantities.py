"""Quantities and dates in a text: numbers with their units, and days of the year."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from streams.validation.numbers import NUMBER, readings

_UNITS: Final = {
    "day": "days? tage?n? jours? d[ií]as? giorn[io] dag(?:en)? dni dzień gün дн(?:я|ей|ь|и) день dnů",
    "week": "weeks? wochen? semaines? semanas? settiman[ae] weken? tygodni\\w* hafta недел\\w+ тижн\\w+",
    "month": "months?['’]? monate?n? mois meses mes mes[ei] mês maand(?:en)? miesi[ęą]c\\w* ay месяц\\w* місяц\\w*",
    "year": "years? jahre?n? ans? années? años? ann[io] anos? jaar lat rok\\w* yıl лет год\\w* рок\\w+",
    "hour": "hours? stunden? heures? horas? or[ae] uur godzin\\w* saat час\\w* годин\\w*",
    "minute": "minutes? minuten? minutos? minut[io] minut\\w* dakika минут\\w* хвилин\\w*",
    "%": "% percent prozent percentage",
    "money": "€ \\$ £ ₽ ₹ eur euros? usd dollars? gbp pounds? chf zł pln kč kr tl рубл\\w+ руб\\.? грн\\.?",
    "length": "km m meters? metres? metern? mètres? metros? miles? mph",
    "weight": "kg kilos? kilo tonnes? tons? tonnen",
    "dose": "mg",
    "volume": "ml",
}
_CJK_UNITS: Final = {
    "天": "day", "日間": "day", "일간": "day", "周": "week", "週間": "week", "个月": "month", "個月": "month",
    "か月": "month",
    "ヶ月": "month", "개월": "month", "年間": "year", "小时": "hour", "時間": "hour", "시간": "hour", "分钟": "minute",
    "元": "money", "円": "money", "원": "money", "块": "money",
}  # fmt: skip
_WORDS: Final = (
    "one two three four five six seven eight nine ten eleven twelve",
    "ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    "une deux trois quatre cinq six sept huit neuf dix onze douze",
    "uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
    "uno due tre quattro cinque sei sette otto nove dieci undici dodici",
    "um dois três quatro cinco seis sete oito nove dez onze doze",
    "een twee drie vier vijf zes zeven acht negen tien elf twaalf",
    "jeden dwa trzy cztery pięć sześć siedem osiem dziewięć dziesięć jedenaście dwanaście",
    "bir iki üç dört beş altı yedi sekiz dokuz on onbir oniki",
    "один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать",
)
_SPELLED: Final = {word: n for line in _WORDS for n, word in enumerate(line.split(), 1)} | {
    "fourteen": 14, "fifteen": 15, "eighteen": 18, "twenty": 20, "thirty": 30, "sixty": 60, "ninety": 90,
    "vierzehn": 14,
    "dreißig": 30, "trente": 30, "quinze": 15, "treinta": 30, "quince": 15, "trenta": 30, "zwanzig": 20, "vingt": 20,
    "veinte": 20, "venti": 20, "eine": 1, "einen": 1, "einem": 1, "einer": 1, "两": 2, "两个": 2, "三": 3,
}  # fmt: skip
_UNIT_OF: Final = re.compile(
    "|".join(f"(?P<u{n}>{'|'.join(names.split())})" for n, names in enumerate(_UNITS.values())) + "", re.IGNORECASE
)
_UNIT_NAMES: Final = [*_UNITS]
_AFTER: Final = re.compile(r"[\s\u00a0]{0,2}-?([^\W\d_]+|[%€$£₽₹])(?:['’.]*[\s\u00a0]([^\W\d_]+))?")
_SIGNS: Final = "$€£₽₹¥"
_BEFORE: Final = re.compile(r"(?:[$€£₽₹¥]|EUR|USD|GBP|CHF)[\s\u00a0]\Z")
_SPELLED_AT: Final = re.compile(r"[^\W\d_]+")

_MONTH_NAMES: Final = (
    "january february march april may june july august september october november december",
    "jan feb mar apr mai jun jul aug sep oct nov dec",
    "januar februar märz april mai juni juli august september oktober november dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "januari februari maart april mei juni juli augustus september oktober november december",
    "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık",
    "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня",
    "januari februari mars april maj juni juli augusti september oktober november december",
)
_MONTHS: Final = {word: n for line in _MONTH_NAMES for n, word in enumerate(line.split(), 1)} | {
    "sept": 9,
    "okt": 10,
    "dez": 12,
}
_DAY: Final = re.compile(r"\d{1,2}+(?![\d:/]|[.,-]\d)")
_ORDINAL: Final = re.compile(r"(\d{1,2})(?:st|nd|rd|th|er|º|\.)(?![\s.]?\d)(?!\s(?:of\s)?[A-Z])")
INSIDE: Final = frozenset("0123456789.,:/-")
"""What stands before a digit that a number does not start with."""
_MONTH_AFTER: Final = re.compile(r"(?:st|nd|rd|th|er|º|\.)?\s(?:de |of )?([^\W\d_]{3,12})\b")
_MONTH_BEFORE: Final = re.compile(r"([^\W\d_]{3,12})\.?\s\Z")
_ISO: Final = re.compile(r"\d{4}-(\d{1,2})-(\d{1,2})\b")
_NUMERIC: Final = re.compile(r"(\d{1,2})[./](\d{1,2})[./](?:\d{2,4}\b)?")
_CJK_DATE: Final = re.compile(r"(\d{1,2})\s?[月월]\s?(\d{1,2})\s?[日일]")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit and where it stands."""

    values: tuple[float, ...]
    unit: str
    start: int
    end: int


def quantities(text: str) -> list[Quantity]:
    """Find numbers; those in words count where a unit follows."""
    found = []
    for number in NUMBER.finditer(text):
        values = readings(number[0])
        if values:
            unit = _unit(text, *number.span())
            # Money has no thousandths.
            found.append(Quantity(values[:1] if unit == "money" else values, unit, *number.span()))
    for name in _SPELLED.keys() & {*_SPELLED_AT.findall(text.lower())}:
        spans = [word.span() for word in re.finditer(rf"\b{name}\b", text, re.IGNORECASE)]
        found += [Quantity((float(_SPELLED[name]),), unit, *at) for at in spans if (unit := _unit(text, *at))]
    return found


def days_alone(text: str) -> set[int]:
    """Find days whose month stands elsewhere: the 13th."""
    return {int(day) for day in _ORDINAL.findall(text)}


def _unit(text: str, start: int, end: int) -> str:
    if (start and text[start - 1] in _SIGNS) or _BEFORE.search(text[max(0, start - 4) : start]):
        return "money"
    if text[end : end + 3] and not text[end].isascii():
        for length in (2, 1):
            if unit := _CJK_UNITS.get(text[end : end + length]):
                return unit
    after = _AFTER.match(text, end, end + 40)
    # Other words may stand between: "3 working days".
    return (_unit_of(after[1]) or (_unit_of(after[2]) if after[2] else "")) if after else ""


@lru_cache(4096)
def _unit_of(word: str) -> str:
    named = _UNIT_OF.fullmatch(word)
    return _UNIT_NAMES[int((named.lastgroup or "u0")[1:])] if named else ""


def dates(text: str) -> dict[tuple[int, int], tuple[int, int]]:
    """Find days of the year: (month, day), with the span of each; where the order is open, both."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for day in _DAY.finditer(text):
        if text[day.start() - 1 : day.start()] in INSIDE:
            continue
        after = _MONTH_AFTER.match(text, day.end())
        month = _MONTHS.get(after[1].lower()) if after else None
        if month is None and (before := _MONTH_BEFORE.search(text, max(0, day.start() - 14), day.start())):
            month = _MONTHS.get(before[1].lower())
            span = (before.start(), day.end())
        else:
            span = (day.start(), after.end() if after else day.end())
        if month is not None:
            found.setdefault((month, int(day[0])), span)
    iso = _ISO.finditer(text) if "-" in text else ()
    cjk = () if text.isascii() else _CJK_DATE.finditer(text)
    for date in (*iso, *cjk):
        found.setdefault((int(date[1]), int(date[2])), date.span())
    for date in _NUMERIC.finditer(text):
        found.setdefault((int(date[1]), int(date[2])), date.span())
        found.setdefault((int(date[2]), int(date[1])), date.span())
    return found
