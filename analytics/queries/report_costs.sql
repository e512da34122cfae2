-- What was paid, by one dimension; by user and by tag see the queries of that name. A call that several requests share
-- counts by the part of each.
WITH CAST(
    {by:String},
    'Enum8(\'feature\', \'query_type\', \'service_class\', \'purpose\', \'tier\', \'provider\', \'model\')'
) AS by
SELECT
    multiIf(
        by = 'feature', toString(feature),
        by = 'query_type', toString(query_type),
        by = 'service_class', toString(service_class),
        by = 'purpose', toString(purpose),
        by = 'tier', toString(tier),
        by = 'provider', toString(provider),
        concat(provider, '/', model)
    ) AS key,
    sum(spend.rows) AS calls,
    sum(spend.input_tokens) AS input_tokens,
    sum(spend.cached_tokens) AS cached_tokens,
    sum(spend.output_tokens) AS output_tokens,
    sum(spend.cost_usd) AS cost_usd
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY key
ORDER BY cost_usd DESC, key
LIMIT {top:UInt32}
