"""Whether a text mentions amounts of money or personal data, for routing rules: patterns and checksums, no model.

Each pattern starts at a character that prose has few of (a digit, `@`, `+`) and looks a bounded number of characters
around it, so the time is linear in the length whatever the text is. Names, streets and amounts all in words are not
found, and a bare number is none of these.
"""

import re
from itertools import islice

_SYMBOLS = "$€£¥₹₽₩₺₴₫฿₦₱₪₡₲₵₸₼₾₿￥＄￡"
_CODES = (
    "USD|EUR|GBP|JPY|CNY|RMB|INR|CHF|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|BGN|RUB|UAH|BRL|MXN|ARS|CLP|KRW|SGD|HKD"
    "|TWD|THB|IDR|MYR|VND|AED|SAR|QAR|KWD|EGP|ZAR|NGN|KES|ILS"
)
_CODES_AFTER = f"{_CODES}|TRY|PHP|PEN|COP|TL"
"""Some codes are names or words before a number, and currencies only after it."""
_SCALES = (
    r"k|K|m|M|bn|B|mn|[Tt]housand|[Mm]illion|[Bb]illion|[Mm]io\.?|[Mm]rd\.?|Tsd\.?|Tausend|Millionen|Milliarden"
    r"|mille|(?:millions?|milliards?)\s(?:de|d['’])|mil|mila|(?:millones|milhões|bilhões|milioni|miliardi)\sd[ei]"
    r"|lakhs?|crores?|тыс\.?|млн\.?|млрд\.?|tys\.?|mln|mld|[十百千万萬亿億만억]{1,3}"
)
_WORDS = (
    r"dollars?|euros?|pounds?(?!\sof)|yen|yuan|rupees?|francs?|pesos?|rou?bles?|dirhams?|dinars?|shekels?|cents?|bucks"
    r"|Dollar|Euro|Franken|Pfund|dólar(?:es)?|reais|libras|dollari|złot\w{1,3}|zł|Kč|Ft|kr|lei|lir[aey]|lirası"
    r"|евро|доллар\w{0,3}|рубл\w{1,3}|руб|грн|гривен|元|円|圓|美元|美金|欧元|英镑|日元|人民币|ドル|ユーロ|ポンド|달러|유로|원"
    r"|रुपये|रुपए|डॉलर|دولار|يورو|ريال|درهم|دينار|جنيه|บาท|đồng"
)
_LATIN = "A-Za-zÀ-ɏ"
_MONEY = re.compile(
    rf"""\d (?:
      (?<=[{_SYMBOLS}]\d) (?!["'`}}$\]])
    | (?<=[{_SYMBOLS}]\s\d) | (?<=[{_SYMBOLS}]-\d) | (?<=[{_SYMBOLS}]\s-\d)
    | (?<=[A-Z]\d) (?<=(?:{_CODES})\d) (?<!\w\w\w\w\d)
    | (?<=[A-Z]\s\d) (?<=(?:{_CODES})\s\d) (?<!\w\w\w\w\s\d)
    | (?<=\bRs\d) | (?<=\bRs\s\d) | (?<=\bRs\.\d) | (?<=\bRs\.\s\d) | (?<=\bkr\s\d) | (?<=\bFr\.\s\d)
    | (?![\d.,]\d) (?: \s?(?:{_SCALES})(?:(?<=['’])|(?![{_LATIN}])) )?+ (?:[.,][-–—]{{1,2}})?+ [-\s]?
      (?: [{_SYMBOLS}](?!\d) | (?:US|R|A|C|HK)\$ | (?:{_CODES_AFTER})(?!\w) | (?:{_WORDS})(?![{_LATIN}]) )
    )""",
    re.VERBOSE,
)

_EMAIL = re.compile(r"@(?<=[\w.+%-]@)(?:[\w-]{1,63}\.){1,5}[^\W\d_]{2,24}(?![\w@])")
_SEPARATED = r"(?:[ .()/\u00a0-]{0,2}\d)"
_PHONE = re.compile(
    rf"""\+ (?<![\w+]\+) \(? [1-9] {_SEPARATED}{{7,14}} (?!\d)
    | \d (?<![\d.-]\d) \d\d (?: \)\ ? | [.-] ) \d{{3}} [.-] \d{{4}} (?![\d-])
    | 0 (?<![\d.,-]0) [1-9] (?: ([ .])\d\d(?:\1\d\d){{3}} | \d{{1,3}} [ /-]{{1,3}} \d{{3,4}} [ -]? \d{{3,5}} ) (?![\d-])
    """,
    re.VERBOSE,
)
_ANNOUNCED = re.compile(
    r"(?:\b(?:tel|phone|mobile|cell|whatsapp|telefon\w*|handy\w*|mobil\w*|rufnummer|portable|téléphone|teléfono|móvil"
    r"|telefone|celular|telemóvel|telefono|cellulare|komórk\w*|тел|телефон\w*)\b|电话|手机|電話|携帯|전화)"
    rf"\D{{0,16}}\d{_SEPARATED}{{5,14}}"
    r"|(?:\b(?:date of birth|dob|born on|geburtsdatum|geboren am|date de naissance|née? le|fecha de nacimiento"
    r"|nacid[oa] el|data de nascimento|nascid[oa] em|data di nascita|nat[oa] il|urodzon\w+)\b|生年月日|出生)\D{0,12}\d"
)
"""A number that means a person only because a word says so; matched in the casefolded text."""
_ANNOUNCING = (
    "tel", "phone", "mobil", "cell", "whatsapp", "handy", "rufnummer", "portable", "móvil", "komórk", "тел",
    "电话", "手机", "電話", "携帯", "전화", "birth", "dob", "born on", "geburtsd", "geboren am",
    "naissance", "né le", "née le", "fecha de nac", "nacid", "data de nasc", "nascid", "data di nasc",
    "nato il", "nata il", "urodzon", "生年月日", "出生",
)  # fmt: skip
"""What a text has one of where that matches: looking for these is faster."""
_DIGIT = re.compile(r"\d")
_SSN = re.compile(r"\d(?<![\d-]\d)(?!00-|66-)(?<!9)\d\d-(?!00)\d\d-(?!0000)\d{4}(?![\d-])")
_CPF = re.compile(r"\d(?<![\d.]\d)\d\d\.\d{3}\.\d{3}-\d\d(?!\d)")
_CARD = re.compile(
    r"[2-6](?<![\d.,-][2-6])(?:\d{12,18}|\d{3}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{3}([ -])\d{6}\2\d{4,5})(?![\d-])"
)
_ISSUED = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7]|35|6[0245])\d{14}|3[47]\d{13}|3[068]\d{12}|62\d{15,17}", re.ASCII
)
"""What the large card networks issue: leading digits and lengths."""
_IBAN = re.compile(r"\d(?<=[A-Za-z]{2}\d)(?<!\w[A-Za-z]{2}\d)\d(?=((?:[ -]?[A-Za-z0-9]){11,32}))", re.ASCII)
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM TL SO",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC",
        32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
"""Length by country, from SWIFT's IBAN registry."""
_MOST_CANDIDATES = 2_000
"""A text with more failed checksums than that is a dump of codes; looking on would take long and tell little."""


def mentions_money(text: str) -> bool:
    """Whether an amount with a currency stands in the text: `$5`, `1.200,50 €`, `CHF 3'000`, `5 Mio. Euro`, `3万円`.

    Errs towards yes where notations meet: `$1` is an amount, though in a shell script it is a parameter.
    """
    return _MONEY.search(text) is not None


def mentions_personal_data(text: str) -> bool:
    """Whether an e-mail address, phone, IBAN, card or social security number or a date of birth stands in the text.

    IBANs, cards and CPFs count only with a valid checksum, phones without an international prefix only where their
    notation or a word before them says what they are.
    """
    if _EMAIL.search(text) is not None:
        return True
    if not _DIGIT.search(text):
        return False
    casefolded = text.casefold()
    return (
        (any(map(casefolded.__contains__, _ANNOUNCING)) and _ANNOUNCED.search(casefolded) is not None)
        or _PHONE.search(text) is not None
        or _SSN.search(text) is not None
        or any(map(_is_cpf, _candidates(_CPF, text)))
        or any(map(_is_card, _candidates(_CARD, text)))
        or any(_is_iban(found, text) for found in islice(_IBAN.finditer(text), _MOST_CANDIDATES))
    )


def _candidates(pattern: re.Pattern[str], text: str) -> list[list[int]]:
    """List the digits of each candidate."""
    found = islice(pattern.finditer(text), _MOST_CANDIDATES)
    return [[int(character) for character in match[0] if character.isdecimal()] for match in found]


def _is_card(digits: list[int]) -> bool:
    """Check length, issuer and Luhn's sum (ISO/IEC 7812-1)."""
    if not _ISSUED.fullmatch("".join(map(str, digits))):
        return False
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[-2::-2])  # noqa: PLR2004 - above 4, two digits
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0


def _is_iban(found: re.Match[str], text: str) -> bool:
    """Check length and ISO 7064's remainder."""
    country = text[found.start() - 2 : found.start()].upper()
    length = _IBAN_LENGTHS.get(country)
    account = re.sub(r"[ -]", "", found[1]).upper()
    if length is None or len(account) < length - 4:
        return False
    rearranged = f"{account[: length - 4]}{country}{found[0]}"
    return int("".join(str(int(character, 36)) for character in rearranged)) % 97 == 1


def _is_cpf(digits: list[int]) -> bool:
    """Check both check digits of the Brazilian taxpayer number."""
    if len(set(digits)) == 1:
        return False
    return all(
        sum(weight * digit for weight, digit in zip(range(size + 1, 1, -1), digits, strict=False)) * 10 % 11 % 10
        == digits[size]
        for size in (9, 10)
    )
