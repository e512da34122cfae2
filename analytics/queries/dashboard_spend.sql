-- What was paid by step of so many seconds and model. What lies before `since` is summed up under the step 1970: to
-- compare with.
SELECT
    if(spend.bucket < {since:DateTime('UTC')}, toDateTime(0, 'UTC'),
        toStartOfInterval(spend.bucket, toIntervalSecond({step:UInt32}), 'UTC')) AS step,
    tier,
    provider,
    model,
    sum(spend.cost_usd) AS cost_usd,
    sum(spend.sharing_saved_usd) AS sharing_saved_usd,
    sum(spend.cache_saved_usd) AS cache_saved_usd
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE spend.bucket >= {before:DateTime('UTC')} AND spend.bucket < {until:DateTime('UTC')}
GROUP BY step, tier, provider, model
ORDER BY step, tier, provider, model
