-- Prompts that were answered again within an hour, and what that cost. Prompts of the same length in tokens, whenever they
-- were asked, are the same to the letter.
SELECT
    toString(feature) AS feature,
    toString(query_type) AS query_type,
    tier,
    model,
    signature,
    max(bucket) AS last,
    sum(repeats.requests) AS requests,
    count() AS hours,
    sum(repeats.users) AS observations,
    max(repeats.users) AS users,
    toFloat64(sum(repeats.cost_usd)) AS usd,
    sum(toFloat64(repeats.cost_usd) * (1 - 1 / repeats.requests)) AS again_usd
FROM {database:Identifier}.repeats_by_hour AS repeats
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY feature, query_type, tier, model, signature, prefix
HAVING max(repeats.lengths) = 1 AND uniqExact(repeats.input_tokens / repeats.requests) = 1 AND again_usd >= {least:Float64}
ORDER BY again_usd DESC, signature
LIMIT 50
