-- Requests settled in the window, their tokens, and what their results say they cost.
SELECT
    count() AS requests,
    sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens,
    sum(cached_tokens) AS cached_tokens,
    sum(cost_usd) AS results_cost_usd
FROM {database:Identifier}.requests
WHERE at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
    AND ({tag:String} = '' OR has(tags, {tag:String}))
