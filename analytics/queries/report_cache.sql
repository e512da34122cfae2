-- Input that providers had in their caches, and what that saved: cached tokens at the rate of fresh ones, less what they
-- cost. Tokens that were written to a cache may cost more than fresh ones, which is not taken off.
SELECT
    concat(provider, '/', model) AS model,
    sum(spend.calls) AS calls,
    sum(spend.input_tokens) AS input_tokens,
    sum(spend.cached_tokens) AS cached_tokens,
    if(input_tokens = 0, 0, cached_tokens / input_tokens) AS cached_share,
    sum(spend.cache_written_tokens) AS cache_written_tokens,
    sum(spend.fresh_cost_usd) AS fresh_cost_usd,
    sum(spend.cached_cost_usd) AS cached_cost_usd,
    sum(spend.cache_written_cost_usd) AS cache_written_cost_usd,
    sum(spend.cache_saved_usd) AS saved_usd
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND outcome != 'unknown'
GROUP BY spend.provider, spend.model
ORDER BY saved_usd DESC, model
