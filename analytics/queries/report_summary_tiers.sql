-- The requests of the period by the tier that answered, NULL where none did; medians and 95th percentiles within 1 %, of
-- requests that did not wait for a batch of a provider.
SELECT
    nullIf(part.tier, 0) AS tier,
    sum(part.requests) AS requests,
    sum(part.cost) AS cost,
    groupArrayArray(part.latency) AS latency,
    groupArrayArray(part.provider) AS provider,
    groupArrayArray(part.own) AS own
FROM
(
    SELECT
        tier,
        sum(results.requests) AS requests,
        sum(results.cost_usd) AS cost,
        CAST([], 'Array(Float64)') AS latency,
        CAST([], 'Array(Float64)') AS provider,
        CAST([], 'Array(Float64)') AS own
    FROM {database:Identifier}.{results:Identifier} AS results
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    GROUP BY tier
    UNION ALL
    SELECT
        tier,
        0,
        toDecimal128(0, 12),
        arraySlice(quantilesDDMergeIf(0.01, 0.5, 0.95, 0.99)(times.ms, kind = 'request'), 1, 2),
        arraySlice(quantilesDDMergeIf(0.01, 0.5, 0.95, 0.99)(times.ms, kind = 'provider'), 1, 2),
        arraySlice(quantilesDDMergeIf(0.01, 0.5, 0.95, 0.99)(times.ms, kind = 'own'), 1, 2)
    FROM {database:Identifier}.{times:Identifier} AS times
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
        AND kind IN ('request', 'provider', 'own')
    GROUP BY tier
) AS part
GROUP BY part.tier
ORDER BY tier NULLS LAST
