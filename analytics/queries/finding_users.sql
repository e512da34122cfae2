-- The users whose calls on tiers above the first cost most.
SELECT user_id, tier, toFloat64(sum(users.cost_usd)) AS usd
FROM {database:Identifier}.{users:Identifier} AS users
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND tier > 1 AND user_id != ''
GROUP BY user_id, tier
HAVING usd >= {least:Float64}
ORDER BY usd DESC, user_id, tier
LIMIT 20
