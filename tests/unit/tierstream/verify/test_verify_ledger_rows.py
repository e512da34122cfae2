"""Rows against records: what is missing, too much, counted again or different."""

from decimal import Decimal

import pytest
from support.ledger_records import call_pair, hops, result

from tierstream.verify.findings import Check, Findings
from tierstream.verify.ledger_rows import Expected, Rows, compare_rows


def rows(*found: tuple[int, int, int]) -> Rows:
    made = Rows()
    for row in found:
        made.add(*row)
    return made


RECORDS = ((3, 0, 30), (4, 0, 40), (4, 1, 41), (7, 0, 70))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (RECORDS, {}),
        ((), {Check.LEDGER_MISSING: ["t-1@3", "t-1@4", "t-1@4 row 1", "t-1@7"]}),
        (RECORDS[1:], {Check.LEDGER_MISSING: ["t-1@3"]}),
        (RECORDS[:-1], {Check.LEDGER_MISSING: ["t-1@7"]}),
        ((*RECORDS[:2], (4, 1, 41), *RECORDS[2:]), {Check.LEDGER_TWICE: ["t-1@4 row 1"]}),
        (((2, 0, 20), *RECORDS), {Check.LEDGER_SURPLUS: ["t-1@2"]}),
        ((*RECORDS[:3], (5, 0, 50), *RECORDS[3:]), {Check.LEDGER_SURPLUS: ["t-1@5"]}),
        ((*RECORDS, (8, 0, 80), (9, 0, 90)), {}),
        ((*RECORDS, (10, 0, 100)), {Check.LEDGER_SURPLUS: ["t-1@10"]}),
        ((*RECORDS[:3], (7, 0, 71)), {Check.LEDGER_DIFFERING: ["t-1@7"]}),
    ],
)
def test_rows_are_compared_one_by_one(found, expected):
    findings = Findings()
    compare_rows(findings, "t", 1, rows(*RECORDS), rows(*found), end=8, current_end=10)
    assert {check: [f.subject for f in findings.named(check)] for check in findings.counts} == expected


def test_checksums_tell_money_apart_and_costs_are_added_up():
    started, ended = call_pair(7)
    dearer = ended.model_copy(update={"cost_usd": ended.cost_usd + Decimal("0.000000000001")})
    shared = ended.model_copy(update={"shares": 2})
    expected = Expected()
    batched = ended.model_copy(update={"provider_batch": "b1"})
    for offset, record in enumerate((started, ended, ended, dearer, result(7), hops(7), shared, batched)):
        expected.add(offset, 17, record)
    identities = [identity for identity, _ in expected.rows]
    checksums = [checksum for _, checksum in expected.rows]
    assert identities == [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (5, 1), (6, 0), (7, 0)]
    assert checksums[1] == checksums[2] != checksums[3]
    assert len(set(checksums)) == 8
    assert expected.cost_pico == int(7 * ended.cost_usd * 10**12) + 1
