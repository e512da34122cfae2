-- What it saved that identical requests shared calls, each of which would have paid for the whole, and in which batches
-- calls left; by tier and model.
SELECT
    tier,
    concat(provider, '/', model) AS model,
    sum(spend.rows) AS answers,
    sum(spend.calls) AS calls,
    sum(spend.shared_calls) AS shared_calls,
    answers - calls AS saved_calls,
    sum(spend.cost_usd) AS cost_usd,
    sum(spend.sharing_saved_usd) AS saved_usd,
    sum(spend.batched_calls) AS batched_calls,
    sum(spend.batch_size_sum) / calls AS mean_batch_size,
    sum(spend.batch_wait_ms_sum) / calls AS mean_batch_wait_ms
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND outcome != 'unknown'
GROUP BY tier, spend.provider, spend.model
ORDER BY tier, saved_usd DESC, model
