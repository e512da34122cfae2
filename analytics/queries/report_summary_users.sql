-- The users whose requests of the period cost most.
SELECT user_id, sum(askers.requests) AS requests, sum(askers.cost_usd) AS cost
FROM {database:Identifier}.{askers:Identifier} AS askers
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    AND user_id != ''
GROUP BY user_id
ORDER BY cost DESC, user_id
LIMIT {top:UInt32}
