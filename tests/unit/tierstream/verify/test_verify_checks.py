"""The pure checks of verify: the journal against itself and the providers' log."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from support.ledger_records import BASE, RATES, batch_pair, call_pair, result, shared_call
from support.verify_judge import CUT, LATER, judge, ms, served_calls

from tierstream.client.request_file import InputError
from tierstream.verify.ended_calls import pico_usd
from tierstream.verify.findings import LEDGER, Check, Findings
from tierstream.verify.served import ServedCalls, Tokens, read_usage_logs
from topics.journal import ABANDONED, CallError, Purpose
from topics.partitioning import partition_for


def another(call, **changed):
    return call.model_copy(update={"call_id": uuid4(), **changed})


def test_a_whole_journal_has_no_findings():
    pairs = [record for n in (1, 2, 5) for record in call_pair(n)]
    assert judge(pairs, [result(n) for n in (1, 2, 5)], served=served_calls(1, 2, 5)) == {}
    assert judge(call_pair(1, failed=True)) == {}


def test_a_call_without_an_end_is_in_flight_and_then_unknown():
    started = call_pair(1)[0]
    subject = [str(started.call_id)]
    assert judge([started], now=started.started_at + timedelta(seconds=59)) == {Check.IN_FLIGHT: subject}
    assert judge([started], now=started.started_at + timedelta(seconds=61)) == {Check.UNKNOWN: subject}


def test_a_call_that_may_wait_for_a_batch_is_in_flight_as_long_as_its_request_has_time():
    started = batch_pair(1)[0]
    subject = [str(started.call_id)]
    assert judge([started]) == {Check.UNKNOWN: subject}
    assert judge([started], wait_for_batches=True) == {Check.IN_FLIGHT: subject}
    late = started.deadline + timedelta(seconds=1)
    assert judge([started], wait_for_batches=True, now=late) == {Check.UNKNOWN: subject}


def test_a_start_that_is_told_again_is_the_same_call():
    started, ended = batch_pair(1)
    again = started.model_copy(update={"started_at": started.started_at + timedelta(minutes=3)})
    assert judge([started, again, ended], now=LATER + timedelta(hours=1), wire=(1, 1)) == {}
    # Another call of the attempt is told apart all the same.
    name = str((other := another(started)).call_id)
    assert judge([started, again, other, ended], now=LATER + timedelta(days=2)) == {Check.UNKNOWN: [name]}


def test_an_attempt_that_travels_again():
    started, ended = call_pair(1)
    again = another(started)
    name = str(again.call_id)
    # The first call died with its process, the second one ended: that is what a crash does.
    assert judge([again, started, ended]) == {Check.UNKNOWN: [name], Check.DUPLICATE: [str(started.call_id)]}
    assert judge([started, ended, again], served=served_calls(1, also=again)) == {
        Check.REPEATED: [name],
        Check.UNKNOWN: [name],
    }
    both = judge([started, again, ended, another(ended, call_id=again.call_id)])
    assert both == {Check.DUPLICATE: [name], Check.SURPLUS: [name]}


def classification(**changed):
    started, ended = call_pair(1, purpose=Purpose.CLASSIFY)
    if changed:
        started, ended = another(started), ended.model_copy(update=changed)
    return started, ended.model_copy(update={"call_id": started.call_id})


def given_up():
    """A classification that was left to another process."""
    error = CallError(kind=ABANDONED, message="another process had the attempt")
    return classification(content=None, error=error, usage=None, cost_usd=Decimal(0))


def test_a_classification_that_was_left_to_another_process_is_no_further_call():
    """It is known only from the order of the starts that another process was there first."""
    (started, ended), (further, nothing) = classification(), given_up()
    open_too = {Check.UNKNOWN: [str(started.call_id)]}
    assert judge([started, ended, further, nothing]) == {}
    assert judge([started, further, nothing, ended]) == {}
    assert judge([started, further, nothing]) == open_too


def test_a_classification_that_was_paid_twice_is_found():
    (started, ended), (again, ended_again) = classification(), classification(first_token_ms=1)
    (_, nothing), name = given_up(), str(again.call_id)
    assert judge([started, ended, again, ended_again]) == {Check.REPEATED: [name], Check.SURPLUS: [name]}
    assert judge([started, again, ended, ended_again]) == {Check.DUPLICATE: [name], Check.SURPLUS: [name]}
    known = another(started)
    left = nothing.model_copy(update={"call_id": known.call_id})
    assert judge([started, known, left, ended, again, ended_again]) == {Check.REPEATED: [name], Check.SURPLUS: [name]}


def test_an_end_without_a_start():
    ended = call_pair(1)[1]
    assert judge([ended]) == {Check.UNRECORDED: [str(ended.call_id)]}
    assert judge([ended], unjudged=[call_pair(1)[0]]) == {}


@pytest.mark.parametrize(
    "changed",
    [{"cost_usd": Decimal("0.01")}, {"rates": None}, {"usage": None}],
    ids=["another cost", "no rates", "no usage"],
)
def test_a_cost_must_be_rates_times_usage(changed):
    started, ended = call_pair(7)
    assert judge([started, ended.model_copy(update=changed)]) == {Check.MISPRICED: [str(started.call_id)]}


def test_usage_must_be_the_providers():
    started, ended = call_pair(7)
    subject = [str(started.call_id)]
    assert judge([started, ended], served=served_calls(7, cached_tokens=0)) == {Check.MISPRICED: subject}
    silent = ServedCalls()
    silent.add({"call_id": str(started.call_id), "usage": None})
    assert judge([started, ended], served=silent) == {Check.MISPRICED: subject}
    estimated = ended.model_copy(update={"usage": ended.usage.model_copy(update={"source": "estimated"})})
    assert judge([started, estimated], served=silent) == {}


def test_what_only_one_side_knows():
    started, ended = call_pair(7)
    subject = [str(started.call_id)]
    assert judge([], served=served_calls(7)) == {Check.UNRECORDED: subject}
    assert judge([started, ended], served=ServedCalls()) == {Check.UNSERVED: subject}
    same = {"call_id": started.call_id, "attempt_id": started.attempt_id}
    failed = call_pair(7, failed=True)[1].model_copy(update=same)
    assert judge([started, failed], served=served_calls(7)) == {Check.UNBILLED: subject}


def test_a_start_whose_call_never_left_is_no_repetition():
    """A stopped process goes on, journals a start that it had in hand, learns that it is late, and calls nobody."""
    started, ended = call_pair(1)
    again = another(started)
    name = [str(again.call_id)]
    assert judge([started, ended, again], served=served_calls(1)) == {Check.UNMADE: name}
    assert judge([started, again, ended], served=served_calls(1)) == {Check.UNMADE: name}
    # Without the providers' log nobody can tell.
    assert judge([started, ended, again]) == {Check.UNKNOWN: name}
    failed = call_pair(1, failed=True)[1].model_copy(update={"attempt_id": again.attempt_id, "call_id": again.call_id})
    assert judge([started, ended, again, failed], served=served_calls(1)) == {}
    twice = {Check.REPEATED: name, Check.SURPLUS: name}
    assert judge([started, ended, again, failed], served=served_calls(1, also=again)) == twice


@pytest.mark.parametrize(("seconds", "is_allowed"), [(11, True), (4, False)], ids=["taken over", "too early for that"])
def test_a_stopped_process_whose_call_ends_after_all_has_done_nothing_wrong(seconds, is_allowed):
    """Nobody takes over what a process had on the wire before the group has missed it."""
    started, ended = call_pair(1)
    later = {"started_at": started.started_at + timedelta(seconds=seconds)}
    again, ended_again = another(started, **later), ended.model_copy(update=later)
    ended_again = ended_again.model_copy(update={"call_id": again.call_id})
    name, first = str(again.call_id), str(started.call_id)
    for ends in ((ended, ended_again), (ended_again, ended)):
        surplus = name if ends[1] is ended_again else first
        found = {Check.DUPLICATE: [name]} | ({} if is_allowed else {Check.SURPLUS: [surplus]})
        assert judge([started, again, *ends]) == found


def use_of(n: int, *, hours: float, marked: bool = True):
    """The call of request n for a copy that came hours after the first one."""
    started, ended = call_pair(n)
    later = timedelta(hours=hours)
    asked = {"asked_ms": ms(BASE + later)} if marked else {}
    began = another(started, started_at=started.started_at + later, **asked)
    whole = {"call_id": began.call_id, "ended_at": ended.ended_at + later, **asked}
    return began, ended.model_copy(update=whole)


@pytest.mark.parametrize("marked", [True, False])
def test_an_id_that_is_used_anew_after_the_window_has_calls_of_its_own(marked):
    later = BASE + timedelta(hours=5)
    first, soon, anew = (use_of(1, hours=hours, marked=marked) for hours in (0, 0.5, 1.1))
    assert judge([*first, *anew], now=later) == {}
    name = str(soon[0].call_id)
    assert judge([*first, *soon], now=later) == {Check.REPEATED: [name], Check.SURPLUS: [name]}
    assert judge([*first, anew[0]], now=later, served=served_calls(also=anew[0])) == {
        Check.UNSERVED: [str(first[0].call_id)],
        Check.UNKNOWN: [str(anew[0].call_id)],
    }


SHARERS = (1, 2, 3)
WIRE_CALL = str(call_pair(7)[0].call_id)


def test_a_shared_call_is_the_sum_of_its_parts_and_counts_once():
    started, ended = shared_call(*SHARERS)
    assert {partition_for(call.request_id, 2) for call in started} == {0, 1}
    assert judge([*started, *ended], served=served_calls(7), wire=(1, 1)) == {}
    assert judge(ended[1:], unjudged=[*started, ended[0]], served=served_calls(7), wire=(0, 1)) == {}
    unpaid = [end.model_copy(update={"usage": None, "rates": None, "cost_usd": Decimal(0)}) for end in ended]
    assert judge([*started, *unpaid], served=served_calls(7)) == {Check.MISPRICED: [WIRE_CALL]}
    failed = [end.model_copy(update={"content": None, "error": CUT}) for end in unpaid]
    assert judge([*started, *failed], served=served_calls(7)) == {Check.UNBILLED: [WIRE_CALL]}
    assert judge([*started, *ended], served=ServedCalls()) == {Check.UNSERVED: [WIRE_CALL]}


def test_a_share_that_is_missing_is_named():
    started, ended = shared_call(*SHARERS)
    assert judge([*started[1:], *ended[1:]], served=served_calls(7)) == {Check.MISPRICED: [WIRE_CALL]}
    assert judge([*started[1:], *ended[1:]]) == {Check.MISPRICED: [WIRE_CALL]}
    again = call_pair(10)
    once_more = [
        again[0].model_copy(update={"call_id": started[0].call_id}),
        ended[0].model_copy(update={"request_id": "r10", "attempt_id": again[0].attempt_id}),
    ]
    assert judge([*started, *ended, *once_more]) == {Check.MISPRICED: [WIRE_CALL]}


def test_shares_of_another_size_are_named():
    started, ended = shared_call(*SHARERS)
    usage = ended[0].usage.model_copy(update={"input": ended[0].usage.input + 1})
    dearer = ended[0].model_copy(update={"usage": usage, "cost_usd": RATES.cost(usage)})
    assert judge([*started, dearer, *ended[1:]], served=served_calls(7)) == {Check.MISPRICED: [WIRE_CALL]}
    free = ended[0].model_copy(update={"usage": None, "rates": None, "cost_usd": Decimal(0)})
    assert judge([*started, free, *ended[1:]], served=served_calls(7)) == {Check.MISPRICED: [WIRE_CALL]}
    wrong_cost = ended[0].model_copy(update={"cost_usd": ended[0].cost_usd * 2})
    assert judge([*started, wrong_cost, *ended[1:]], served=served_calls(7)) == {Check.MISPRICED: [WIRE_CALL]}


def test_a_process_that_died_between_the_parts_leaves_one_unknown_call():
    started, ended = shared_call(*SHARERS)
    unknown = {Check.UNKNOWN: [WIRE_CALL]}
    assert judge(started, served=served_calls(7), wire=(1, 0)) == unknown
    assert judge([*started, ended[0]], served=served_calls(7), wire=(1, 1)) == unknown
    # A request that gave up before the call ended has no part in it.
    left = call_pair(10)[0].model_copy(update={"call_id": started[0].call_id})
    assert judge([*started, left, *ended], served=served_calls(7), wire=(1, 1)) == unknown


def test_a_result_costs_what_its_route_and_the_journal_say():
    good = result(7)
    dearer = good.route[0].model_copy(update={"cost_usd": good.cost_usd * 2})
    assert judge(call_pair(7), [good.model_copy(update={"cost_usd": Decimal(1)})]) == {Check.MISPRICED: ["r7"]}
    both = good.model_copy(update={"cost_usd": good.cost_usd * 2, "route": (dearer,)})
    assert judge(call_pair(7), [both]) == {Check.MISPRICED: ["r7"]}
    assert judge([], [good]) == {Check.UNRECORDED: ["r7"]}


def test_money_adds_up_exactly():
    assert pico_usd(Decimal("0.000000000001")) == 1
    assert pico_usd(Decimal("12345678.123456789012")) == 12345678123456789012


def test_findings_name_the_first_and_count_all():
    findings = Findings(limit=2)
    for n in range(5):
        assert findings.wants_more(Check.UNKNOWN) == (n < 2)
        findings.add(Check.UNKNOWN, f"c{n}", "")
    findings.skip_ledger("no ClickHouse")
    described = findings.as_json()
    assert described["unknown"]["count"] == 5
    assert [finding["subject"] for finding in described["unknown"]["findings"]] == ["c0", "c1"]
    assert described["ledger_missing"] == {"state": "skipped", "count": 0, "findings": [], "skipped": "no ClickHouse"}
    assert findings.ok
    assert all(check.about for check in Check)


def test_the_documentation_has_every_check():
    page = (Path(__file__).parents[4] / "docs" / "operations.md").read_text()
    assert [check for check in Check if check not in LEDGER and f"`{check.value}`" not in page] == []


def test_usage_logs_are_read_as_the_simulator_writes_them(tmp_path):
    path = tmp_path / "served.jsonl"
    usage = {"input_tokens": 3, "output_tokens": 2, "cached_tokens": 1, "reasoning_tokens": 0}
    lines = [
        {"call_id": str(UUID(int=1)), "started_at": "2026-03-31T00:00:00+00:00", "usage": usage},
        {"call_id": str(UUID(int=2)), "started_at": "2026-03-31T00:00:01+00:00", "usage": None},
        {"call_id": None, "started_at": "2026-03-31T00:00:01+00:00", "usage": None},
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    served = ServedCalls()
    read_usage_logs([path], served, since=None)
    assert (len(served), served.nameless) == (2, 1)
    assert served.tokens(UUID(int=1)) == Tokens(3, 2, 1)
    assert served.tokens(UUID(int=2)) is None
    assert UUID(int=2) in served
    late = ServedCalls()
    read_usage_logs([path], late, since=LATER.replace(year=2027))
    assert len(late) == 0
    path.write_text('{"call": 1}\n')
    with pytest.raises(InputError, match=r"served.jsonl:1: not a served call"):
        read_usage_logs([path], served, since=None)
