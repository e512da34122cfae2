-- Requests settled in the period, their tokens, and what their results say they cost.
SELECT
    sum(results.requests) AS requests,
    sum(results.input_tokens) AS input_tokens,
    sum(results.output_tokens) AS output_tokens,
    sum(results.cached_tokens) AS cached_tokens,
    sum(results.cost_usd) AS results_cost_usd
FROM {database:Identifier}.{results:Identifier} AS results
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
