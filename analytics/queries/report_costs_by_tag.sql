-- What was paid, by tag. A request counts under each of its tags, so that the sums may be more than what was paid.
SELECT
    toString(tag) AS key,
    sum(spend.rows) AS calls,
    sum(spend.input_tokens) AS input_tokens,
    sum(spend.cached_tokens) AS cached_tokens,
    sum(spend.output_tokens) AS output_tokens,
    sum(spend.cost_usd) AS cost_usd
FROM {database:Identifier}.{tags:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY key
ORDER BY cost_usd DESC, key
LIMIT {top:UInt32}
