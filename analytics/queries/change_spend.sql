-- What was paid in a period, by all that effects on the cost are told apart by. Only calls for an answer have a tier here:
-- that of a judge or a vote is the one that it was about.
SELECT
    toString(feature) AS feature,
    toString(query_type) AS query_type,
    toString(purpose) AS purpose,
    escalated,
    if(purpose = 'infer', spend.tier, 0) AS tier,
    toString(provider) AS provider,
    toString(model) AS model,
    sumIf(spend.rows, outcome = 'ok') AS answered,
    sum(spend.rows) AS calls,
    sum(toInt64(spend.input_tokens) - spend.cached_tokens - spend.cache_written_tokens) AS fresh,
    sum(spend.cached_tokens) AS cached,
    sum(spend.cache_written_tokens) AS written,
    sum(spend.output_tokens) AS output,
    sum(spend.fresh_cost_usd) AS fresh_cost,
    sum(spend.cached_cost_usd) AS cached_cost,
    sum(spend.cache_written_cost_usd) AS written_cost,
    sum(spend.output_cost_usd) AS output_cost
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY feature, query_type, purpose, escalated, tier, provider, model
ORDER BY feature, query_type, purpose, escalated, tier, provider, model
