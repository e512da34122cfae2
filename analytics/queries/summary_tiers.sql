-- The requests of the window by the tier that answered, NULL where none did. Those that waited for a batch of a provider took
-- as long as the batch: their times are left out, and where there are no others there are none.
WITH (request_id, revision) IN (
    SELECT request_id, revision FROM {database:Identifier}.calls_log WHERE provider_batch != ''
) AS waited
SELECT
    tier,
    count() AS requests,
    sum(cost_usd) AS cost,
    countIf(NOT waited) AS timed,
    if(timed = 0, [], quantilesExactInclusiveIf(0.5, 0.95)(latency_ms, NOT waited)) AS latency,
    if(timed = 0, [], quantilesExactInclusiveIf(0.5, 0.95)(provider_ms, NOT waited)) AS provider,
    if(timed = 0, [], quantilesExactInclusiveIf(0.5, 0.95)(own_ms, NOT waited)) AS own
FROM {database:Identifier}.requests
WHERE at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
    AND ({tag:String} = '' OR has(tags, {tag:String}))
GROUP BY tier
ORDER BY tier NULLS LAST
