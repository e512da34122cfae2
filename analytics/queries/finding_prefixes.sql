-- Instructions that stand before many requests: how much of them came from the provider's cache, and how much could have,
-- were each kept for five minutes after its last use and requests of an hour came at random.
SELECT
    model,
    any(toString(of_day.feature)) AS feature,
    prefix,
    max(day) AS last,
    sum(of_day.requests) AS requests,
    sum(of_day.prefix_tokens) AS prefix_tokens,
    sum(of_day.cached_tokens) AS cached_tokens,
    sum(of_day.cacheable_tokens) AS cacheable_tokens,
    count() AS days,
    countIf(of_day.cached_tokens < of_day.cacheable_tokens / 2) AS days_below,
    groupArray(toFloat64(of_day.cacheable_tokens)) AS tokens_by_day
FROM
(
    SELECT
        toStartOfDay(bucket) AS day,
        model,
        any(of_hour.feature) AS feature,
        prefix,
        sum(of_hour.requests) AS requests,
        sum(of_hour.prefix_tokens) AS prefix_tokens,
        sum(of_hour.cached_tokens) AS cached_tokens,
        sum(of_hour.prefix_tokens * (1 - exp(-of_hour.requests / 12))) AS cacheable_tokens
    FROM
    (
        SELECT
            bucket,
            model,
            any(prefixes.feature) AS feature,
            prefix,
            sum(prefixes.requests) AS requests,
            sum(prefixes.prefix_tokens) AS prefix_tokens,
            sum(prefixes.cached_tokens) AS cached_tokens
        FROM {database:Identifier}.prefixes_by_hour AS prefixes
        WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
            AND prefixes.prefix_tokens >= prefixes.requests * {least_tokens:UInt32}
        GROUP BY bucket, model, prefix
    ) AS of_hour
    GROUP BY day, model, prefix
) AS of_day
GROUP BY model, prefix
