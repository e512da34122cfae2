-- What calls for answers cost by hour or day, with the tokens that they cost it for: prices of models, and costs of features.
SELECT
    bucket,
    tier,
    concat(provider, '/', model) AS model,
    toString(feature) AS feature,
    in_batch,
    sumIf(spend.rows, outcome = 'ok' AND NOT escalated) AS answers,
    sum(spend.input_tokens - spend.cached_tokens - spend.cache_written_tokens) AS fresh_tokens,
    sum(spend.cached_tokens) AS cached_tokens,
    sum(spend.cache_written_tokens) AS written_tokens,
    sum(spend.output_tokens) AS output_tokens,
    toFloat64(sum(spend.fresh_cost_usd)) AS fresh_usd,
    toFloat64(sum(spend.cached_cost_usd)) AS cached_usd,
    toFloat64(sum(spend.cache_written_cost_usd)) AS written_usd,
    toFloat64(sum(spend.output_cost_usd)) AS output_usd
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND purpose = 'infer' AND outcome != 'unknown'
GROUP BY bucket, tier, model, feature, in_batch
ORDER BY bucket
