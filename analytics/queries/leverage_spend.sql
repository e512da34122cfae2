-- What went to each model, by what for; calls that give no answer have no tier here.
SELECT
    purpose = 'infer' AS is_answer,
    if(is_answer, spend.tier, 0) AS tier,
    toString(provider) AS provider,
    toString(model) AS model,
    if(is_answer, toString(spend.query_type), '') AS query_type,
    sumIf(spend.rows, outcome = 'ok') AS answers,
    sum(spend.rows) AS calls,
    sum(spend.input_tokens) AS input,
    sum(spend.cached_tokens) AS cached,
    sum(spend.cache_written_tokens) AS written,
    sum(spend.output_tokens) AS output,
    sum(spend.cost_usd) AS cost
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY is_answer, tier, provider, model, query_type
ORDER BY provider, model, tier, query_type
