"""What the tests of verify's pure checks share: records are followed as a run follows them, without a broker."""

from datetime import datetime, timedelta

from support.ledger_records import BASE, BATCH_PRICE, RATES, call_pair

from streams.calls.pricing import PriceBook
from streams.config.settings_sections import PriceSettings, ProviderSettings
from tierstream.verify.answers import AnswerBook
from tierstream.verify.calls import CallBook, CallCounts, CallRules
from tierstream.verify.findings import Check, Findings
from tierstream.verify.identity import Window
from tierstream.verify.rates import RatesAudit
from tierstream.verify.redelivery import UnroutedCalls
from tierstream.verify.served import ServedCalls, judge_unrecorded
from tierstream.verify.shared_calls import SharedCalls
from topics.journal import CallError
from topics.partitioning import partition_for

LATER = BASE + timedelta(hours=1)
WINDOW = timedelta(hours=1)
CUT = CallError(kind="cut", message="the stream broke")
PRICES = PriceBook(
    {"groq/small": PriceSettings(input=RATES.input, output=RATES.output, cached=RATES.cached)},
    {"groq": ProviderSettings(protocol="groq", api_key_env="KEY", batch_price=BATCH_PRICE)},
)


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def judge(
    calls,
    results=(),
    *,
    served=None,
    now=LATER,
    unjudged=(),
    wire=None,
    hops=(),
    raised=(),
    settled_at=LATER,
    wait_for_batches=False,
) -> dict[Check, list[str]]:
    """Follow these records over two partitions; return the findings by check.

    A record was appended when it was made, a result at `settled_at`. `wire` is how many calls must have started and
    ended, `raised` are ids of requests whose handler raised.
    """
    findings = Findings()
    counts, shared, window = CallCounts(), SharedCalls(findings, served), Window.of(WINDOW)
    rates, unrouted = RatesAudit(findings, PRICES), UnroutedCalls(findings, window)
    rules = CallRules(window, timedelta(seconds=60), timedelta(seconds=5), now, wait_for_batches)
    books = [CallBook(findings, counts, rules, shared=shared, served=served, rates=rates) for _ in range(2)]
    answers = [AnswerBook(findings, book.ended, unrouted=unrouted, raised=raised) for book in books]
    for call in [*unjudged, *calls]:
        book = books[partition_for(call.request_id, 2)]
        if hasattr(call, "ended_at"):
            book.add_ended(call, ms(call.ended_at), judged=call not in unjudged)
        else:
            book.add_started(call, ms(call.started_at), judged=call not in unjudged)
    for record in results:
        answers[partition_for(record.request_id, 2)].add_result(record, ms(settled_at))
    for book in books:
        book.finish()
    shared.finish()
    rates.finish()
    for steps in hops:
        unrouted.add_hops(steps, ms(BASE))
    unrouted.finish()
    if wire is not None:
        assert (counts.starts - shared.extra_starts, counts.ends - shared.extra_ends) == wire
    if served is not None:
        judge_unrecorded(findings, served)
    return {check: [finding.subject for finding in findings.named(check)] for check in Check if findings.counts[check]}


def served_calls(*numbers: int, also=None, **changed) -> ServedCalls:
    """The providers' log of these calls; `also` is one that the provider answered to nobody."""
    served = ServedCalls()
    if also is not None:
        served.add({"call_id": str(also.call_id), "usage": None})
    for n in numbers:
        ended = call_pair(n)[1]
        usage = {
            "input_tokens": ended.usage.input,
            "output_tokens": ended.usage.output,
            "cached_tokens": ended.usage.cached,
        }
        served.add({"call_id": str(ended.call_id), "usage": {**usage, **changed}})
    return served
