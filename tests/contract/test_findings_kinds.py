"""What each kind of finding says of roll-ups with known figures, and what it does not say, on the real engine."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

import pytest

from analytics.clickhouse import AsyncClient, open_client
from analytics.ledger_window import LedgerWindow, PriceList
from analytics.migrate import migrate
from analytics.reports.findings import FindingsReport, findings

START = datetime(2026, 10, 5, tzinfo=UTC)
DAYS = 28
MODELS = {1: ("groq", "small"), 2: ("openai", "middle"), 3: ("anthropic", "large")}
RATES = {1: (Decimal("0.1"), Decimal("0.5")), 2: (Decimal(1), Decimal(5)), 3: (Decimal(4), Decimal(20))}
CACHED = Decimal("0.1")
"""Of what fresh input costs."""
MILLION = Decimal(1_000_000)
_names = count()


class Rollups:
    """The roll-ups of a ledger of its own."""

    def __init__(self, client: AsyncClient, database: str) -> None:
        self.client, self.database = client, database

    async def fill(self, table: str, rows: Sequence[dict]) -> None:
        columns = list(rows[0])
        await self.client.insert(
            table, [[row[name] for name in columns] for row in rows], column_names=columns, database=self.database
        )

    async def found(self, **asked) -> FindingsReport:
        prices = PriceList("none", {"/".join(MODELS[2]): (*RATES[2], RATES[2][0] * CACHED)})
        window = LedgerWindow(self.client, self.database, START, START + timedelta(days=DAYS), prices=lambda: prices)
        return await findings(window, **asked)


@pytest.fixture
async def rollups(module_clickhouse_url: str) -> AsyncIterator[Rollups]:
    async with open_client(module_clickhouse_url) as client:
        database = f"ledger{next(_names)}"
        await migrate(client, database, retention_days=4000, body_retention_days=4000)
        yield Rollups(client, database)


def days() -> list[datetime]:
    return [START + timedelta(days=day) for day in range(DAYS)]


def spent(at, tier, answers, *, feature="chat", kind="faq", tokens=(1_000, 100), cached=0, price=1, wobble=0):
    """What answers cost on a day; it wobbles by so many tokens of output."""
    given, said = tokens[0] * answers, tokens[1] * answers + wobble
    fresh_rate, output_rate = (rate * price / MILLION for rate in RATES[tier])
    fresh, kept, output = (given - cached) * fresh_rate, cached * fresh_rate * CACHED, said * output_rate
    provider, model = MODELS[tier]
    return {
        "bucket": at,
        "purpose": "infer",
        "tier": tier,
        "provider": provider,
        "model": model,
        "feature": feature,
        "query_type": kind,
        "outcome": "ok",
        "rows": answers,
        "calls": answers,
        "input_tokens": given,
        "cached_tokens": cached,
        "output_tokens": said,
        "cost_usd": fresh + kept + output,
        "fresh_cost_usd": fresh,
        "cached_cost_usd": kept,
        "output_cost_usd": output,
    }


def settled(at, first_tier, tier, requests, *, feature="chat", kind="faq", tokens=(1_000, 100)):
    return {
        "bucket": at,
        "status": "ok",
        "first_tier": first_tier,
        "tier": tier,
        "feature": feature,
        "query_type": kind,
        "requests": requests,
        "escalated": requests * (tier > first_tier),
        "input_tokens": requests * tokens[0],
        "output_tokens": requests * tokens[1],
    }


def prefixed(at, requests, *, tokens, cached):
    """What stands before requests of an hour."""
    return {
        "bucket": at,
        "model": "/".join(MODELS[2]),
        "feature": "chat",
        "prefix": 9,
        "requests": requests,
        "prefix_tokens": requests * tokens,
        "cached_tokens": cached,
    }


def repeated(at, requests, *, tokens=1_000, lengths=1):
    """A question that two users ask in an hour, again and again."""
    return {
        "bucket": at,
        "feature": "chat",
        "query_type": "faq",
        "tier": 2,
        "model": "/".join(MODELS[2]),
        "signature": 7,
        "requests": requests,
        "users": 2,
        "lengths": lengths,
        "input_tokens": requests * tokens,
        "cost_usd": requests * (tokens * RATES[2][0] + 100 * RATES[2][1]) / MILLION,
    }


def judged(at, tier, n, bad, *, feature="chat", kind="faq"):
    model = "/".join(MODELS[tier])
    of = {"bucket": at, "tier": tier, "model": model, "source": "judge", "feature": feature, "query_type": kind}
    return {**of, "n": n, "good": float(n - bad), "weight": float(n)}


def office_hours(day: datetime) -> list[datetime]:
    return [day + timedelta(hours=hour) for hour in range(8, 18)]


async def test_an_empty_ledger_has_nothing_to_find(rollups):
    report = await rollups.found()
    assert (report.findings, report.candidates, report.spent_usd) == ((), 0, 0)


@pytest.mark.parametrize("known", ["paid", "listed"])
async def test_instructions_that_the_cache_does_not_keep_are_found_with_what_keeping_them_saves(rollups, known):
    cached = 1_000 if known == "paid" else 0
    await rollups.fill("spend_by_day", [spent(day, 2, 600, tokens=(3_000, 100), cached=cached) for day in days()])
    hours = [hour for day in days() for hour in office_hours(day)]
    await rollups.fill("prefixes_by_hour", [prefixed(hour, 60, tokens=2_000, cached=cached // 10) for hour in hours])
    [finding] = (await rollups.found()).findings
    assert finding.id == "cacheable_prompt:chat:openai/middle:0000000000000009"
    # 60 an hour, of which e^-5 come more than five minutes after the one before.
    could = len(hours) * 60 * 2_000 * 0.99326 - len(hours) * cached / 10
    assert float(finding.usd_month) == pytest.approx(could * 0.9e-6 * 30 / DAYS, rel=1e-3)
    assert finding.usd_month_low <= finding.usd_month <= finding.usd_month_high
    assert finding.confidence > 0.999


@pytest.mark.parametrize(("prefix_tokens", "share"), [(2_000, 0.7), (900, 0.0)], ids=["cached", "short"])
async def test_instructions_that_are_cached_or_too_short_are_no_finding(rollups, prefix_tokens, share):
    await rollups.fill("spend_by_day", [spent(day, 2, 600, tokens=(3_000, 100), cached=1_000) for day in days()])
    cached = round(60 * prefix_tokens * share)
    rows = [prefixed(hour, 60, tokens=prefix_tokens, cached=cached) for day in days() for hour in office_hours(day)]
    await rollups.fill("prefixes_by_hour", rows)
    assert (await rollups.found()).findings == ()


async def test_a_prompt_that_is_answered_again_and_again_is_found(rollups):
    await rollups.fill("spend_by_day", [spent(day, 2, 200) for day in days()])
    hours = [hour for day in days() for hour in office_hours(day)]
    await rollups.fill("repeats_by_hour", [repeated(hour, 20) for hour in hours])
    [finding] = (await rollups.found()).findings
    assert finding.kind == "shareable_prompt"
    assert (finding.figures["requests"], finding.figures["users_an_hour"]) == (20 * len(hours), 2)
    # One of 20 an hour is paid.
    assert float(finding.usd_month) == pytest.approx(len(hours) * 19 * 0.0015 * 30 / DAYS, rel=1e-6)


@pytest.mark.parametrize("differ", ["within an hour", "from hour to hour"])
async def test_prompts_of_different_lengths_are_not_the_same(rollups, differ):
    await rollups.fill("spend_by_day", [spent(day, 2, 200) for day in days()])
    hours = [hour for day in days() for hour in office_hours(day)]
    if differ == "within an hour":
        rows = [repeated(hour, 20, lengths=2 if hour == hours[3] else 1) for hour in hours]
    else:
        rows = [repeated(hour, 20, tokens=1_000 + hour.hour) for hour in hours]
    await rollups.fill("repeats_by_hour", rows)
    assert (await rollups.found()).findings == ()


async def test_a_feature_whose_first_attempts_are_lost_is_found(rollups):
    rows = [spent(day, tier, 100, wobble=day.day % 5) for day in days() for tier in (1, 2)]
    await rollups.fill("spend_by_day", rows)
    ends = [settled(day, 1, tier, n) for day in days() for tier, n in ((1, 3), (2, 97))]
    await rollups.fill("results_by_day", ends)
    [finding] = (await rollups.found()).findings
    assert finding.id == "feature_tier:chat:faq:from tier 1"
    # An attempt on tier 1 costs $0.00015 and one on tier 2 ten times as much, which 3 of 100 would cost more.
    assert float(finding.usd_month) == pytest.approx(30 * 100 * (0.00015 - 0.03 * 0.0015), rel=0.01)


async def test_a_feature_whose_first_attempts_are_worth_it_is_no_finding(rollups):
    await rollups.fill("spend_by_day", [spent(day, tier, 100) for day in days() for tier in (1, 2)])
    await rollups.fill("results_by_day", [settled(day, 1, tier, 50) for day in days() for tier in (1, 2)])
    assert (await rollups.found()).findings == ()


async def test_a_tier_that_a_classifier_chose_is_no_finding_whatever_judges_say(rollups):
    await rollups.fill("spend_by_day", [spent(day, tier, 100) for day in days() for tier in (1, 3)])
    await rollups.fill("results_by_day", [settled(day, tier, tier, 100) for day in days() for tier in (1, 3)])
    await rollups.fill("quality_by_day", [judged(day, tier, 100, 2) for day in days() for tier in (1, 3)])
    assert (await rollups.found()).findings == ()
    [finding] = [one for one in (await rollups.found(min_confidence=0)).findings if one.kind == "feature_tier"] or [
        None
    ]
    assert finding is None


@pytest.mark.parametrize("step_at", [10, DAYS - 1], ids=["long ago", "yesterday"])
async def test_a_price_that_rises_is_found_once_and_not_again_of_each_feature(rollups, step_at):
    rows = [
        spent(day, 2, 100, feature=feature, wobble=17 * place % 29, price=Decimal("1.5") if place >= step_at else 1)
        for place, day in enumerate(days())
        for feature in ("chat", "mail", "code")
    ]
    await rollups.fill("spend_by_day", rows)
    [finding] = (await rollups.found()).findings
    assert finding.id == f"cost_change:price:2:openai/middle:{START + timedelta(days=step_at):%Y-%m-%d}T00"
    assert finding.figures["times_as_much"] == pytest.approx(1.5)
    # Half as much again of 300 answers of $0.0015 a day.
    assert float(finding.usd_month) == pytest.approx(30 * 300 * 0.0015 / 2, rel=0.05)


def in_batches(row):
    """The same answers, given by batches of the provider."""
    money = {name: value / 2 for name, value in row.items() if name.endswith("_usd")}
    return {**row, **money, "in_batch": True}


async def test_that_requests_no_longer_wait_for_batches_is_no_price_that_rises(rollups):
    """Of 200 answers a day half come from batches, and from the tenth day on a fifth."""
    rows = []
    for place, day in enumerate(days()):
        alone = 100 if place < 10 else 160
        answers = {False: spent(day, 2, alone, wobble=17 * place % 29), True: spent(day, 2, 200 - alone)}
        rows += [{**answers[False], "in_batch": False}, in_batches(answers[True])]
    await rollups.fill("spend_by_day", rows)
    assert (await rollups.found()).findings == ()


async def test_a_price_of_batches_that_rises_is_found(rollups):
    rows = []
    for place, day in enumerate(days()):
        rows += [{**spent(day, 2, 100, wobble=17 * place % 29), "in_batch": False}]
        rows += [in_batches(spent(day, 2, 100, price=Decimal("1.5") if place >= 10 else 1))]
    await rollups.fill("spend_by_day", rows)
    [finding] = (await rollups.found()).findings
    assert finding.id == f"cost_change:price:2:openai/middle in batches:{START + timedelta(days=10):%Y-%m-%d}T00"
    assert finding.title.startswith("openai/middle in batches costs 1.50 times as much")


async def test_a_price_that_falls_is_no_finding(rollups):
    rows = [spent(day, 2, 100, price=Decimal("0.5") if place >= 10 else 1) for place, day in enumerate(days())]
    await rollups.fill("spend_by_day", rows)
    assert (await rollups.found()).findings == ()


@pytest.mark.parametrize("what", ["answer", "requests"])
async def test_a_feature_that_costs_more_from_a_day_on_is_found(rollups, what):
    rows = []
    for place, day in enumerate(days()):
        factor = 2 if place >= 15 else 1
        weekday = 1 if day.weekday() < 5 else 0.3
        answers = round((100 + 7 * place % 11) * weekday * (factor if what == "requests" else 1))
        tokens = (1_000 * factor, 100 * factor) if what == "answer" else (1_000, 100)
        rows += [spent(day, 2, answers, tokens=tokens, wobble=13 * place % 31), spent(day, 2, 100, feature="mail")]
    await rollups.fill("spend_by_day", rows)
    [finding] = (await rollups.found()).findings
    assert finding.id == f"cost_change:{what}:chat:{START + timedelta(days=15):%Y-%m-%d}T00"
    assert finding.figures["times_as_much"] == pytest.approx(2, rel=0.1)


async def test_growth_little_by_little_is_no_sudden_change(rollups):
    rows = [spent(day, 2, round(100 * 1.03**place)) for place, day in enumerate(days())]
    await rollups.fill("spend_by_day", rows)
    assert (await rollups.found()).findings == ()


async def test_a_short_window_is_read_by_the_hour(rollups):
    hours = [START + timedelta(hours=hour) for hour in range(48)]
    await rollups.fill("spend_by_hour", [spent(hour, 2, 100, price=2 if hour.day > 5 else 1) for hour in hours])
    window = LedgerWindow(rollups.client, rollups.database, START, START + timedelta(days=2))
    report = await findings(
        LedgerWindow(window.client, window.database, window.since, window.until, prices=lambda: PriceList("none", {}))
    )
    [finding] = report.findings
    assert (report.grain, finding.id) == ("hour", "cost_change:price:2:openai/middle:2026-10-06T00")
    # $0.15 an hour more; a month is of 30 days after the change.
    assert float(finding.usd_month) == pytest.approx(30 * 24 * 0.15, rel=1e-6)
