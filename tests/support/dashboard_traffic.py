"""A company's traffic of some weeks in the tables that the dashboard reads, made by ClickHouse itself."""

from datetime import datetime, timedelta

from analytics.clickhouse import AsyncClient, open_client
from analytics.migrate import migrate

DATABASE = "tierstream"
DAYS = 44
ESCALATED = "req-0007"
"""A request of the last hour whose answer of tier 1 failed a judge; tier 2 answered."""
MODELS = (
    "(1, 'groq', 'openai/gpt-oss-20b', 0.52, 0.00021), (1, 'together', 'openai/gpt-oss-20b', 0.09, 0.00024),"
    "(1, 'groq', 'openai/gpt-oss-120b', 0.15, 0.00044), (2, 'anthropic', 'claude-haiku-5-5', 0.11, 0.0042),"
    "(2, 'openai', 'gpt-6-luna', 0.08, 0.0031), (3, 'anthropic', 'claude-opus-5', 0.05, 0.031)"
)
WAYS = (
    "(1, 1, 'ok', 0.742), (1, 2, 'ok', 0.045), (1, 1, 'degraded', 0.004), (2, 2, 'ok', 0.138), (2, 3, 'ok', 0.012),"
    "(3, 3, 'ok', 0.047), (1, 0, 'failed', 0.004), (0, 0, 'rejected', 0.005), (2, 0, 'expired', 0.003)"
)
LOAD = (
    "(900 + 700 * sin((toHour(bucket) - 8) / 24 * 2 * pi()))"
    " * if(toDayOfWeek(bucket) > 5, 0.45, 1) * (1 + number / 2500)"
)


async def empty_ledger(url: str, database: str = DATABASE) -> None:
    """Make the tables."""
    async with open_client(url) as client:
        await migrate(client, database, retention_days=4000, body_retention_days=4000)


async def fill_dashboard(url: str, now: datetime, database: str = DATABASE) -> None:
    """Make the tables, and the traffic up to `now`."""
    await empty_ledger(url, database)
    async with open_client(url) as client:
        for statement in (*_rollups(database, now), *_minutes(database, now), *_requests(database, now)):
            await client.command(statement)
        await _breaker(client, database, now)


def _hours(now: datetime) -> str:
    first = (now - timedelta(days=DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
    hours = int((now - first).total_seconds() // 3600) + 1
    start = f"toDateTime('{first:%Y-%m-%d %H:%M:%S}', 'UTC')"
    return f"(SELECT {start} + INTERVAL number HOUR AS bucket, {LOAD} AS load FROM numbers({hours}))"


def _rollups(database: str, now: datetime) -> list[str]:
    hours = _hours(now)
    spend = f"""
        INSERT INTO {database}.spend_by_hour (bucket, purpose, tier, provider, model, outcome, rows, calls,
            input_tokens,
            cached_tokens, output_tokens, cost_usd, fresh_cost_usd, cached_cost_usd, output_cost_usd,
            sharing_saved_usd, cache_saved_usd)
        SELECT bucket, 'infer', m.1, m.2, m.3, 'ok', toUInt64(load * m.4) AS n, n, n * 900, n * 200, n * 260,
            toDecimal128(n * m.5, 12), toDecimal128(n * m.5 * 0.2, 12), toDecimal128(n * m.5 * 0.02, 12),
            toDecimal128(n * m.5, 12) - toDecimal128(n * m.5 * 0.2, 12) - toDecimal128(n * m.5 * 0.02, 12),
            toDecimal128(n * m.5 * 0.04, 12), toDecimal128(n * m.5 * 0.06, 12)
        FROM {hours} ARRAY JOIN [{MODELS}] AS m"""
    results = f"""
        INSERT INTO {database}.results_by_hour (bucket, status, first_tier, tier, requests, escalated, judged,
            check_failed,
            judge_failed, attempts, input_tokens, cached_tokens, output_tokens)
        SELECT bucket, w.3, w.1, w.2, toUInt64(load * w.4) AS n, if(w.1 != w.2 AND w.2 > 0, n, 0),
            toUInt64(n * (0.06 + 0.02 * sin(toDayOfYear(bucket)))), toUInt64(n * 0.021), toUInt64(n * 0.009), n,
            if(w.2 > 0, n * 900, 0), if(w.2 > 0, n * 200, 0), if(w.2 > 0, n * 260, 0)
        FROM {hours} ARRAY JOIN [{WAYS}] AS w WHERE n > 0"""
    times = f"""
        INSERT INTO {database}.times_by_hour (bucket, kind, stage, tier, n, ms_sum, ms)
        SELECT bucket, k, '', 1, count(), sum(value), quantilesDDState(0.01, 0.5, 0.95, 0.99)(value)
        FROM (SELECT bucket, k, if(k = 'own', 18, 420 + 60 * sin(toDayOfYear(bucket)))
                * exp(1.1 * (cityHash64(bucket, sample) % 1000 / 500 - 1)) AS value
            FROM {hours} ARRAY JOIN arrayConcat(arrayWithConstant(40, 'request'), arrayWithConstant(40, 'own')) AS k,
            range(80) AS sample)
        GROUP BY bucket, k"""
    days = [
        f"INSERT INTO {database}.{name}_by_day"
        f" SELECT toStartOfDay(bucket), * EXCEPT bucket FROM {database}.{name}_by_hour"
        for name in ("spend", "results", "times")
    ]
    at = f"toDateTime('{now:%Y-%m-%d %H:%M:%S}', 'UTC')"
    built = f"INSERT INTO {database}.rollup_hours SELECT toStartOfHour({at}), 1, toDateTime64({at}, 3, 'UTC') - 12"
    return [spend, results, times, *days, built]


def _minutes(database: str, now: datetime) -> list[str]:
    minute = f"toStartOfMinute(toDateTime('{now:%Y-%m-%d %H:%M:%S}', 'UTC')) - INTERVAL number MINUTE"
    return [
        f"""INSERT INTO {database}.results_by_minute (bucket, status, first_tier, tier, requests)
        SELECT {minute} AS bucket, w.3, w.1, w.2, toUInt64(w.4 * (9000 + 900 * sin(number)) / 60 + 0.5) AS n
        FROM numbers(59) ARRAY JOIN [{WAYS}] AS w WHERE n > 0""",
        f"""INSERT INTO {database}.times_by_minute (bucket, kind, stage, n, ms_sum, ms)
        SELECT {minute} AS bucket, 'queue', stage, 1, 8., quantilesDDState(0.01, 0.5, 0.95, 0.99)(toFloat64(ms))
        FROM (SELECT number, stage, 4 + number % 5 + length(stage) AS ms FROM numbers(10)
            ARRAY JOIN ['classify', 'infer:1', 'infer:2', 'infer:3', 'validate', 'settle'] AS stage)
        GROUP BY bucket, stage""",
    ]


def _requests(database: str, now: datetime) -> list[str]:
    """120 requests of the last hour; every tenth one is escalated by a judge from tier 1 to 2."""
    at = f"toDateTime64('{now:%Y-%m-%d %H:%M:%S}', 6, 'UTC') - INTERVAL number * 25 SECOND"
    who = "concat('req-', leftPad(toString(number), 4, '0'))"
    escalated = "number % 10 = 7"
    attempt = "toUUID(concat('00000000-0000-4000-8000-', leftPad(toString(number * 10 + {n}), 12, '0')))"
    place = "'c', '{topic}', 0, number"
    small, large = "'openai/gpt-oss-20b'", "'claude-haiku-5-5'"
    requests = f"""
        INSERT INTO {database}.requests_log (cluster, topic, partition, offset, idx, at, request_id, revision,
            status, tier,
            provider, model, input_tokens, output_tokens, cost_usd, latency_ms, provider_ms, own_ms, source_at,
            settled_at,
            user_id, feature, query_type, service_class, `route.stage`, `route.tier`)
        SELECT {place.format(topic="llm.results")}, 0, {at}, {who}, 1, if(number % 40 = 39, 'degraded', 'ok'),
            if({escalated}, 2, 1), if({escalated}, 'anthropic', 'groq'), if({escalated}, {large}, {small}), 900, 260,
            if({escalated}, 0.0049, 0.00021), if({escalated}, 2210, 310), if({escalated}, 2140, 286),
            if({escalated}, 70, 24), {at} - INTERVAL if({escalated}, 2210, 310) MILLISECOND, {at},
            ['ann', 'bob', 'cleo', 'dan'][number % 4 + 1], ['support', 'search', 'reports'][number % 3 + 1],
            ['extraction', 'question', 'summary'][number % 3 + 1], 'interactive',
            if({escalated}, ['infer:1', 'validate', 'infer:2'], ['infer:1']), if({escalated}, [1, 1, 2], [1])
        FROM numbers(120)"""
    start = f"({at} - INTERVAL if({escalated}, 2210, 310) MILLISECOND)"
    steps = (
        # stage, start and end in ms, queue, provider, outcome, tier, attempt, provider, model, cost, escalated only
        "('classify', 6, 9, 6, 0, 'routed', 1, 0, '', '', 0.0, 0), "
        f"('infer:1', 16, 298, 7, 280, 'ok', 1, 1, 'groq', {small}, 0.00021, 0), "
        f"('validate', 310, 915, 9, 590, 'judge_fail', 1, 2, 'anthropic', {large}, 0.0006, 1), "
        "('escalate', 925, 927, 8, 0, 'escalated', 2, 0, '', '', 0.0, 1), "
        f"('infer:2', 940, 2190, 11, 1240, 'ok', 2, 3, 'anthropic', {large}, 0.0042, 1), "
        f"('settle', if({escalated}, 2200, 303), if({escalated}, 2208, 309), 5, 0, 'settled', 0, 0, '', '', 0.0, 0)"
    )
    hops = f"""
        INSERT INTO {database}.hops_log (cluster, topic, partition, offset, idx, at, request_id, revision, stage,
            started_at,
            ended_at, queue_ms, provider_ms, outcome, tier, attempt_id, provider, model, cost_usd, rule, classifier,
            scores)
        SELECT 'c', 'llm.hops', 0, number, n, {at}, {who}, 1, s.1, {start} + INTERVAL s.2 MILLISECOND,
            {start} + INTERVAL s.3 MILLISECOND, s.4, s.5, s.6, if(s.7 = 0, NULL, s.7),
            if(s.8 = 0, NULL, {attempt.format(n="s.8")}), s.9, s.10, if(s.8 = 0, NULL, toDecimal128(s.11, 12)), '',
            if(s.1 = 'classify', 'learned', ''), if(s.1 = 'classify', [0.81, 0.15, 0.04], [])
        FROM numbers(120) ARRAY JOIN [{steps}] AS s, range(toUInt64(6)) AS n WHERE s.12 = 0 OR {escalated}"""
    calls = f"""
        INSERT INTO {database}.calls_log (cluster, topic, partition, offset, idx, at, event, request_id, revision,
            call_id,
            attempt_id, stage, n, purpose, tier, provider, model, started_at, ended_at, provider_ms, input_tokens,
            output_tokens, cached_tokens, cost_usd)
        SELECT 'c', 'llm.calls', 0, number * 10 + s.8, 0, {at}, 'ended', {who}, 1, {attempt.format(n="s.8 + 5")},
            {attempt.format(n="s.8")}, s.1, 1, if(s.1 = 'validate', 'judge', 'infer'), s.7, s.9, s.10,
            {start} + INTERVAL s.2 + 3 MILLISECOND, {start} + INTERVAL s.2 + 3 + s.5 MILLISECOND, s.5, 900, 260, 200,
            toDecimal128(s.11, 12)
        FROM numbers(120) ARRAY JOIN [{steps}] AS s WHERE s.8 > 0 AND (s.12 = 0 OR {escalated})"""
    return [requests, hops, calls]


async def _breaker(client: AsyncClient, database: str, now: datetime) -> None:
    at = f"toDateTime64('{now:%Y-%m-%d %H:%M:%S}', 6, 'UTC')"
    await client.command(
        f"INSERT INTO {database}.breakers_log (cluster, topic, partition, offset, idx, at, worker, target, state,"
        f" forced, reason, since, said_at) SELECT 'c', 'llm.control', 0, number, 0, {at},"
        f" concat('w', toString(number)), 'together/openai/gpt-oss-20b', if(number = 2, 'closed', 'open'),"
        f" false, 'errors', {at} - 95, {at}"
        " FROM numbers(3)"
    )
