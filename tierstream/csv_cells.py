"""Cells of CSV files that people open in spreadsheets, where a text that begins like a formula is run as one."""

import re
from typing import Final

_BEGINS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""As OWASP lists them under CSV injection."""
_NUMBER: Final = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def csv_cell(value: object) -> object:
    """Put an apostrophe before a text that a spreadsheet would run; numbers, also those written as text, stay."""
    if isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value
