-- What was paid, by user. A call that several requests share counts by the part of each.
SELECT
    user_id AS key,
    sum(spend.rows) AS calls,
    sum(spend.input_tokens) AS input_tokens,
    sum(spend.cached_tokens) AS cached_tokens,
    sum(spend.output_tokens) AS output_tokens,
    sum(spend.cost_usd) AS cost_usd
FROM {database:Identifier}.{users:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY key
ORDER BY cost_usd DESC, key
LIMIT {top:UInt32}
