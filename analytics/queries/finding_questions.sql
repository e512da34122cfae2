-- The questions that users ask again and again of a tier above the first, with exactly the same signature.
SELECT
    user_id,
    tier,
    toString(feature) AS feature,
    toString(query_type) AS query_type,
    signature,
    sum(asked.requests) AS requests,
    toFloat64(sum(asked.cost_usd)) AS usd
FROM {database:Identifier}.{questions:Identifier} AS asked
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    AND user_id IN {users:Array(String)} AND tier > 1 AND signature != 0
GROUP BY user_id, tier, feature, query_type, signature
HAVING requests >= 3
ORDER BY usd DESC, signature
LIMIT 3 BY user_id, tier, feature, query_type
LIMIT 60
