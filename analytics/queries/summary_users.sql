-- The users whose requests of the window cost most.
SELECT user_id, count() AS requests, sum(cost_usd) AS cost
FROM {database:Identifier}.requests
WHERE at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
    AND ({tag:String} = '' OR has(tags, {tag:String}))
    AND user_id != ''
GROUP BY user_id
ORDER BY cost DESC, user_id
LIMIT {top:UInt32}
