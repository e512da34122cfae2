"""What spreadsheets would run is text in CSV files; numbers are numbers."""

import pytest

from tierstream.csv_cells import csv_cell


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1", "\n=1", "＝1", "-", "-1.5.2", "-١"],
)
def test_texts_that_begin_as_formulas_do_get_an_apostrophe(text):
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "value", ["-1.5", "+3", "-1E-12", "-0.000000000000", -2, -1.5, None, "", "ann", "a=b", "'=1", "–"]
)
def test_numbers_and_other_texts_stay(value):
    assert csv_cell(value) == value
