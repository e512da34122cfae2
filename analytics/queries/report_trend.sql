-- Requests, calls, money and latency over time, by tier; tier 0: no answer. Requests count where they were settled, and
-- calls where they ended.
SELECT
    bucket,
    tier,
    sum(part.requests) AS requests,
    sum(part.calls) AS calls,
    sum(part.failed_calls) AS failed_calls,
    sum(part.cost_usd) AS cost_usd,
    max(part.quantiles_ms[1]) AS p50_ms,
    max(part.quantiles_ms[2]) AS p95_ms
FROM
(
    SELECT
        bucket,
        tier,
        sum(results.requests) AS requests,
        0 AS calls,
        0 AS failed_calls,
        toDecimal128(0, 12) AS cost_usd,
        CAST([], 'Array(Nullable(Float64))') AS quantiles_ms
    FROM {database:Identifier}.{results:Identifier} AS results
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    GROUP BY bucket, tier
    UNION ALL
    SELECT bucket, tier, 0, sum(spend.calls), sumIf(spend.calls, outcome != 'ok'), sum(spend.cost_usd), []
    FROM {database:Identifier}.{spend:Identifier} AS spend
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    GROUP BY bucket, tier
    UNION ALL
    SELECT bucket, tier, 0, 0, 0, toDecimal128(0, 12), quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(times.ms)
    FROM {database:Identifier}.{times:Identifier} AS times
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND kind = 'request'
    GROUP BY bucket, tier
) AS part
GROUP BY bucket, tier
ORDER BY bucket, tier
