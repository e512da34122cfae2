"""Results against the journal: lies that keep all sums right are named, and what a redelivery does is none."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from support.ledger_records import BASE, PROVIDER_BATCH, RATES, batch_pair, call_pair, result
from support.tool_loop import call
from support.verify_judge import CUT, LATER, judge, served_calls

from streams.calls.pricing import PriceBook
from streams.config.settings_sections import ProviderSettings
from tierstream.verify.findings import Check, Findings
from tierstream.verify.rates import RatesAudit
from topics.events import DROPPED, Hop, Hops
from topics.journal import Purpose, Rates, attempt_id
from topics.messages import ToolCall
from topics.results import ResultError, ResultStatus

NUMBERS = (1, 2, 5, 7)
SHADOW = attempt_id("r5", 0, "shadow", 0)
IN_VAIN = attempt_id("r5", 0, "infer", 7)
"""An attempt of request r5 that is in no route."""
NO_ANSWER = {
    "status": ResultStatus.FAILED,
    "attempt_id": None,
    "content": None,
    "usage": None,
    "error": ResultError(code="no_provider", message="nobody"),
}


class World:
    """A healthy deployment in memory; a test makes it lie."""

    def __init__(self) -> None:
        self.calls = [record for n in NUMBERS for record in call_pair(n)]
        self.results = {n: result(n) for n in NUMBERS}
        self.served = served_calls(*NUMBERS)

    def ended(self, n: int):
        return next(call for call in self.calls if call == call_pair(n)[1])

    def change_end(self, n: int, **changed) -> None:
        """Change a call's end, and the costs of its result with it, so that all sums agree."""
        end = call_pair(n)[1]
        lie = end.model_copy(update=changed)
        self.calls[self.calls.index(end)] = lie
        found = self.results[n]
        line = found.route[0].model_copy(update={"cost_usd": lie.cost_usd})
        self.results[n] = found.model_copy(update={"route": (line,), "cost_usd": lie.cost_usd, "usage": lie.usage})

    def change_result(self, n: int, **changed) -> None:
        self.results[n] = self.results[n].model_copy(update=changed)

    def judge(self, **options):
        return judge(self.calls, self.results.values(), served=self.served, **options)


def call_id(n: int) -> str:
    return str(call_pair(n)[0].call_id)


def free_of_charge(world: World) -> dict[Check, list[str]]:
    """A result that says that it cost nothing, and that nobody was asked."""
    world.change_result(5, route=(), cost_usd=Decimal(0))
    return {Check.UNROUTED: ["r5", call_id(5)]}


def paid_for_nobody(world: World) -> dict[Check, list[str]]:
    """A further call of a request that is in no route."""
    started, ended = call_pair(5)
    another = {"call_id": uuid4(), "n": 7, "attempt_id": IN_VAIN}
    world.calls += [started.model_copy(update=another), ended.model_copy(update=another)]
    served = {"input_tokens": ended.usage.input, "output_tokens": ended.usage.output}
    world.served.add({"call_id": str(another["call_id"]), "usage": {**served, "cached_tokens": ended.usage.cached}})
    return {Check.UNROUTED: [str(another["call_id"])]}


def calls_of_a_shadow(world: World, *, n: int = 0, **changed) -> str:
    """Another call of a request, made for a comparison before its result was there."""
    started, ended = call_pair(5)
    another = {
        "call_id": uuid4(),
        "n": n,
        "stage": "shadow",
        "attempt_id": SHADOW,
        "purpose": Purpose.SHADOW,
        **changed,
    }
    world.calls += [started.model_copy(update=another), ended.model_copy(update=another)]
    served = {"input_tokens": ended.usage.input, "output_tokens": ended.usage.output}
    world.served.add({"call_id": str(another["call_id"]), "usage": {**served, "cached_tokens": ended.usage.cached}})
    return str(another["call_id"])


def pays_for_a_shadow(world: World) -> dict[Check, list[str]]:
    """A result that has a comparison in its route, though all sums agree."""
    calls_of_a_shadow(world)
    found = world.results[5]
    line = found.route[0].model_copy(update={"attempt_id": SHADOW, "stage": "shadow"})
    world.change_result(5, route=(*found.route, line), cost_usd=2 * found.cost_usd)
    return {Check.SHADOWED: ["r5"]}


def pays_twice_for_a_comparison(world: World) -> dict[Check, list[str]]:
    calls_of_a_shadow(world)
    again = calls_of_a_shadow(world)
    return {Check.REPEATED: [again], Check.SURPLUS: [again]}


def anothers_content(world: World) -> dict[Check, list[str]]:
    world.change_result(5, content="the answer to another question")
    return {Check.FOREIGN_ANSWER: ["r5"]}


def anothers_calls(world: World) -> dict[Check, list[str]]:
    """A result that gives other arguments than the journal has; the calls of the others are their own."""
    own, others = (ToolCall.model_validate(call("c1", arguments=given)) for given in ('{"n":1}', '{"n":2}'))
    for n in NUMBERS:
        world.change_end(n, tool_calls=(own,))
        world.change_result(n, tool_calls=(own,))
    world.change_result(5, tool_calls=(others,))
    return {Check.FOREIGN_ANSWER: ["r5"]}


def withheld_calls(world: World) -> dict[Check, list[str]]:
    """An answer of nothing but calls is an answer."""
    world.change_end(5, content="", tool_calls=(ToolCall.model_validate(call("c1")),))
    world.change_result(5, **NO_ANSWER)
    return {Check.WITHHELD: ["r5"]}


def anothers_model(world: World) -> dict[Check, list[str]]:
    world.change_result(5, model="large")
    return {Check.FOREIGN_ANSWER: ["r5"]}


def content_of_a_degraded_result(world: World) -> dict[Check, list[str]]:
    world.change_result(5, status=ResultStatus.DEGRADED, content="")
    return {Check.FOREIGN_ANSWER: ["r5"]}


def swapped(world: World) -> dict[Check, list[str]]:
    one, other = world.results[1], world.results[5]
    world.results[1] = other.model_copy(update={"request_id": "r1"})
    world.results[5] = one.model_copy(update={"request_id": "r5"})
    return {Check.UNRECORDED: ["r1", "r5"], Check.UNROUTED: [call_id(1), call_id(5)]}


def failed_with_an_answer(world: World) -> dict[Check, list[str]]:
    world.change_result(5, **NO_ANSWER)
    return {Check.WITHHELD: ["r5"]}


def rates_that_never_held(world: World) -> dict[Check, list[str]]:
    rates = RATES.model_copy(update={"output": Decimal("0.31")})
    world.change_end(5, rates=rates, cost_usd=rates.cost(call_pair(5)[1].usage))
    return {Check.MISPRICED: [call_id(5)]}


def estimate_of_what_the_provider_said(world: World) -> dict[Check, list[str]]:
    usage = call_pair(5)[1].usage.model_copy(update={"source": "estimated", "output": 1})
    world.change_end(5, usage=usage, cost_usd=RATES.cost(usage))
    return {Check.MISPRICED: [call_id(5)]}


def answer_without_usage(world: World) -> dict[Check, list[str]]:
    world.change_end(5, usage=None, rates=None, cost_usd=Decimal(0))
    return {Check.MISPRICED: [call_id(5)]}


LIES = [
    pays_for_a_shadow,
    pays_twice_for_a_comparison,
    free_of_charge,
    paid_for_nobody,
    anothers_content,
    anothers_calls,
    withheld_calls,
    anothers_model,
    content_of_a_degraded_result,
    swapped,
    failed_with_an_answer,
    rates_that_never_held,
    estimate_of_what_the_provider_said,
    answer_without_usage,
]


def test_a_healthy_world_has_no_findings():
    assert World().judge() == {}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_is_named(lie):
    world = World()
    named = lie(world)
    assert {check: sorted(subjects) for check, subjects in world.judge().items()} == {
        check: sorted(subjects) for check, subjects in named.items()
    }


def hop(outcome: str, *, stage: str = "infer:1", attempt=None, tier: int = 1, request_id: str = "r5") -> Hops:
    step = Hop(stage=stage, started_at=BASE, ended_at=BASE, queue_ms=0, outcome=outcome, tier=tier, attempt_id=attempt)
    return Hops(request_id=request_id, hops=(step,))


ATTEMPT = call_pair(5)[1].attempt_id
ONCE = [
    hop("routed", stage="classify"),
    hop("timeout", attempt=uuid4()),
    hop("ok", attempt=ATTEMPT),
    hop("ok", stage="settle", attempt=ATTEMPT),
]


@pytest.mark.parametrize(
    ("hops", "is_explained"),
    [
        (ONCE, False),
        ([*ONCE, hop(DROPPED, attempt=IN_VAIN)], True),
        ([*ONCE, hop(DROPPED, stage="settle", attempt=IN_VAIN), hop(DROPPED, attempt=ATTEMPT)], True),
        # Told of another attempt, of none, of another request, or of one that came to something.
        ([*ONCE, hop(DROPPED, attempt=ATTEMPT)], False),
        ([*ONCE, hop(DROPPED)], False),
        ([*ONCE, hop(DROPPED, attempt=IN_VAIN, request_id="r7")], False),
        ([*ONCE, hop("ok", attempt=IN_VAIN)], False),
        ([*ONCE, hop("parked"), hop("promoted", tier=2)], False),
    ],
)
def test_a_redelivery_explains_a_call_that_is_in_no_route(hops, is_explained):
    world = World()
    [[_, [name]]] = paid_for_nobody(world).items()
    assert world.judge(hops=hops) == {Check.REDELIVERED if is_explained else Check.UNROUTED: [name]}


def test_a_call_that_ended_when_its_request_had_a_result_is_only_noted():
    world = World()
    [[_, [name]]] = paid_for_nobody(world).items()
    others = {n: world.results.pop(n) for n in NUMBERS if n != 5}
    assert world.judge(settled_at=BASE - timedelta(seconds=1)) == {Check.REDELIVERED: [name]}
    assert len(others) == 3


def test_a_failed_call_that_cost_nothing_needs_no_route():
    world = World()
    started, ended = call_pair(5, failed=True)
    world.calls += [started, ended]
    assert world.judge() == {}


def test_a_duplicate_of_an_attempt_may_have_given_the_answer():
    """A stopped process and the one that took over have both got an answer; the result may have either."""
    world = World()
    started, ended = call_pair(5)
    again = {"call_id": uuid4(), "started_at": started.started_at + timedelta(seconds=11)}
    late = ended.model_copy(update={**again, "content": "another answer"})
    at = world.calls.index(ended)
    world.calls[at:at] = [started.model_copy(update=again), late]
    usage = {"input_tokens": ended.usage.input, "output_tokens": ended.usage.output}
    world.served.add({"call_id": str(late.call_id), "usage": {**usage, "cached_tokens": ended.usage.cached}})
    for content in ("answer 5", "another answer"):
        world.change_result(5, content=content)
        assert world.judge() == {Check.DUPLICATE: [str(late.call_id)]}


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_answer_is_none(content):
    world = World()
    world.change_end(5, content=content)
    world.change_result(5, **NO_ANSWER)
    assert world.judge() == {}


def test_what_a_judge_says_is_no_answer():
    world = World()
    judged = [record.model_copy(update={"purpose": Purpose.JUDGE}) for record in call_pair(5)]
    world.calls = [call for call in world.calls if call not in call_pair(5)] + judged
    assert world.judge() == {Check.FOREIGN_ANSWER: ["r5"]}
    world.change_result(5, **NO_ANSWER)
    assert world.judge() == {}


def test_a_handler_that_raised_leaves_its_calls_behind():
    """What it had paid is in no route, and there is a dead letter of it."""
    world = World()
    internal = {**NO_ANSWER, "error": ResultError(code="internal", message="ValueError")}
    world.change_result(5, **internal, route=(), cost_usd=Decimal(0))
    assert world.judge(raised=["r5"]) == {}
    assert world.judge() == {Check.UNROUTED: [call_id(5)]}


def priced(rates: Rates, *, n: int, minutes: float):
    started, ended = call_pair(n)
    later = timedelta(minutes=minutes)
    times = {"started_at": started.started_at + later}
    cost = {"rates": rates, "cost_usd": rates.cost(ended.usage)}
    ended = ended.model_copy(update={**times, **cost, "ended_at": ended.ended_at + later})
    return [started.model_copy(update=times), ended]


OLD = RATES.model_copy(update={"input": Decimal("0.1")})


@pytest.mark.parametrize(
    ("calls", "check"),
    [
        ([(RATES, 0), (RATES, 60)], None),
        ([(OLD, 0), (RATES, 60)], Check.REPRICED),
        ([(OLD, 0), (RATES, 5), (OLD, 6)], Check.REPRICED),
        ([(OLD, 0), (OLD, 60)], Check.REPRICED),
        ([(RATES, 0), (OLD, 60)], Check.MISPRICED),
        ([(OLD, 0), (RATES, 5), (OLD, 60)], Check.MISPRICED),
        ([(RATES.model_copy(update={"source": "genai-prices 0.0.1"}), 0)], None),
        ([(OLD.model_copy(update={"source": "genai-prices 0.0.1"}), 0)], Check.REPRICED),
    ],
)
def test_rates_that_held_before_are_not_called_wrong(calls, check):
    records = [
        record for n, (rates, minutes) in enumerate(calls, start=1) for record in priced(rates, n=n, minutes=minutes)
    ]
    assert list(judge(records, now=LATER + timedelta(hours=1))) == ([] if check is None else [check])


HALF = batch_pair(1)[1].rates
THIRD = HALF.model_copy(update={"input": Decimal("0.025")})
LISTED = {"source": "genai-prices 0.0.1, batch"}


def in_batch(rates: Rates, *, n: int, minutes: float):
    started, ended = priced(rates, n=n, minutes=minutes)
    return [started, ended.model_copy(update={"provider_batch": PROVIDER_BATCH})]


@pytest.mark.parametrize(
    ("calls", "check"),
    [
        ([(HALF, 0), (HALF, 60)], None),
        ([(RATES, 0)], Check.REPRICED),
        ([(HALF, 0), (RATES, 60)], Check.MISPRICED),
        ([(THIRD, 0), (HALF, 60)], Check.REPRICED),
        ([(HALF, 0), (THIRD, 60)], Check.MISPRICED),
        ([(HALF.model_copy(update=LISTED), 0)], None),
    ],
)
def test_calls_of_batches_have_rates_of_their_own(calls, check):
    alone = [record for n in (7, 8) for record in priced(RATES, n=n, minutes=30)]
    records = [
        record for n, (rates, minutes) in enumerate(calls, start=1) for record in in_batch(rates, n=n, minutes=minutes)
    ]
    assert list(judge([*records, *alone], now=LATER + timedelta(hours=1))) == ([] if check is None else [check])


def test_the_share_that_batches_cost_may_change_although_the_list_does_not():
    book = PriceBook({}, {"groq": ProviderSettings(protocol="groq", api_key_env="KEY")})
    started, ended = call_pair(1)
    model, at = "openai/gpt-oss-20b", started.started_at
    other = PriceBook({}, {"groq": ProviderSettings(protocol="groq", api_key_env="KEY", batch_price=Decimal("0.7"))})
    found = {}
    for batch in (True, False):
        findings = Findings()
        audit = RatesAudit(findings, book)
        rates = other.rates("groq", model, at, batch=batch)
        if not batch:
            rates = rates.model_copy(update={"input": rates.input * 2})
        call = {"model": model, "rates": rates, "provider_batch": PROVIDER_BATCH if batch else None}
        audit.add(ended.model_copy(update=call), 0)
        audit.finish()
        found[batch] = [check for check in Check if findings.counts[check]]
    assert found == {True: [Check.REPRICED], False: [Check.MISPRICED]}


def test_a_model_that_nobody_prices_any_more_is_not_judged():
    started, ended = (record.model_copy(update={"provider": "gone"}) for record in call_pair(1))
    assert judge([started, ended]) == {}


def test_an_estimate_of_a_call_that_broke_is_only_noted():
    started, ended = call_pair(1)
    usage = ended.usage.model_copy(update={"source": "estimated", "output": 2})
    broke = ended.model_copy(update={"usage": usage, "cost_usd": RATES.cost(usage), "error": CUT, "content": None})
    assert judge([started, broke], served=served_calls(1)) == {Check.UNBILLED: [str(started.call_id)]}


@pytest.mark.parametrize("settled_at", [BASE - timedelta(seconds=1), LATER], ids=["before", "behind"])
def test_a_comparison_is_in_no_route_whenever_it_was_paid_for(settled_at):
    world = World()
    calls_of_a_shadow(world)
    calls_of_a_shadow(world, n=1, attempt_id=attempt_id("r5", 0, "shadow", 1))
    found = world.judge(settled_at=settled_at)
    assert Check.UNROUTED not in found
    assert found.get(Check.REDELIVERED, []) == []
