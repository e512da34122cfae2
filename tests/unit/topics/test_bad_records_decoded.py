"""The table of bad records as far as reading decides it, and the page that shows it."""

from pathlib import Path

import pytest
from support.bad_records import FIELDS, REQUEST_MAX_BYTES, SERVED, page, rows
from support.request_fields import request_fields

from topics.codec import DecodeError, decode
from topics.registry import all_topics

PAGE = Path(__file__).parents[3] / "docs" / "bad-records.md"
SPECS = {spec.name: spec for spec in all_topics(3)}
READ = [row for row in rows() if row.topic != "outcomes"]


def refusal_of(row):
    limit = REQUEST_MAX_BYTES if SPECS[row.topic].from_outside else None
    try:
        decode(SPECS[row.topic], row.value_of("bad-000"), row.headers, max_bytes=limit)
    except DecodeError as error:
        return error
    return None


@pytest.mark.parametrize("row", READ, ids=lambda row: f"{row.group}: {row.what}"[:60])
def test_a_record_is_read_or_refused_as_the_table_says(row):
    refusal = refusal_of(row)
    if row.late or row.reason == SERVED:
        assert refusal is None
        return
    assert (refusal.reason, refusal.request_id) == (row.reason, "bad-000" if row.answered else None)
    assert refusal.message.startswith(row.names)
    assert "bad-000" not in refusal.message
    assert len(refusal.message) < 400


def test_each_field_of_a_request_has_values_that_it_must_not_have():
    missing = {name for name, _ in request_fields()} - FIELDS.keys() - {"request_id"}
    assert not missing, f"tests/support/bad_records.py: FIELDS has no bad values of {missing}"


def test_the_page_is_the_table():
    assert PAGE.read_text() == page(), "python tests/support/bad_records.py > docs/bad-records.md"


def test_the_table_has_a_row_for_each_record_once():
    seen = [(row.group, row.what) for row in rows()]
    assert len(seen) == len(set(seen)) > 186
