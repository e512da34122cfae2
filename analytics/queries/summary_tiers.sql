-- The requests of the window by the tier that answered; NULL where none did.
SELECT
    tier,
    count() AS requests,
    sum(cost_usd) AS cost,
    quantilesExactInclusive(0.5, 0.95)(latency_ms) AS latency,
    quantilesExactInclusive(0.5, 0.95)(provider_ms) AS provider,
    quantilesExactInclusive(0.5, 0.95)(own_ms) AS own
FROM {database:Identifier}.requests
WHERE at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
    AND ({tag:String} = '' OR has(tags, {tag:String}))
GROUP BY tier
ORDER BY tier NULLS LAST
