-- What a token cost on each tier and model, for each feature and query type: calls for answers, those that failed too.
SELECT
    tier,
    concat(provider, '/', model) AS model,
    toString(feature) AS feature,
    toString(query_type) AS query_type,
    sumIf(spend.rows, outcome = 'ok') AS answers,
    sum(spend.input_tokens) AS input_tokens,
    sum(spend.output_tokens) AS output_tokens,
    toFloat64(sum(spend.fresh_cost_usd + spend.cached_cost_usd + spend.cache_written_cost_usd)) AS input_usd,
    toFloat64(sum(spend.output_cost_usd)) AS output_usd
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND purpose = 'infer' AND outcome != 'unknown'
GROUP BY tier, model, feature, query_type
