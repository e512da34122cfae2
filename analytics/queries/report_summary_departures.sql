-- How the answering calls of the period left, by tier: in which batches, and when the first text of streamed ones came.
SELECT
    part.tier AS tier,
    sum(part.calls) AS calls,
    sum(part.batch_size) / calls AS batch_size,
    sum(part.batch_wait_ms) / calls AS batch_wait_ms,
    sum(part.streamed) AS streamed,
    max(part.first_token_p50_ms) AS first_token_p50_ms
FROM
(
    SELECT
        tier,
        sum(spend.calls) AS calls,
        sum(spend.batch_size_sum) AS batch_size,
        sum(spend.batch_wait_ms_sum) AS batch_wait_ms,
        0 AS streamed,
        CAST(NULL, 'Nullable(Float64)') AS first_token_p50_ms
    FROM {database:Identifier}.{spend:Identifier} AS spend
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
        AND purpose = 'infer' AND outcome != 'unknown'
    GROUP BY tier
    UNION ALL
    SELECT tier, 0, 0, 0, sum(times.n), quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(times.ms)[1]
    FROM {database:Identifier}.{times:Identifier} AS times
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
        AND kind = 'first_token' AND stage = 'infer'
    GROUP BY tier
) AS part
GROUP BY part.tier
ORDER BY tier
