-- What was paid by bucket and model. What lies before `since` is summed up under the bucket 1970: to compare with.
SELECT
    if(bucket < {since:DateTime('UTC')}, toDateTime(0, 'UTC'), bucket) AS bucket,
    tier,
    provider,
    model,
    sum(spend.cost_usd) AS cost_usd,
    sum(spend.sharing_saved_usd) AS sharing_saved_usd,
    sum(spend.cache_saved_usd) AS cache_saved_usd
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE spend.bucket >= {before:DateTime('UTC')} AND spend.bucket < {until:DateTime('UTC')}
GROUP BY bucket, tier, provider, model
ORDER BY bucket, tier, provider, model
