-- Questions that cost much because they are asked so often. `lengths` counts the lengths that their prompts have in tokens:
-- one alone says that they are the same to the letter.
WITH dearest AS
(
    SELECT arrayJoin(topKWeighted(50)(asked.signature, toUInt64(asked.cost_usd * 1000000000))) AS often
    FROM {database:Identifier}.questions_by_hour AS asked
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND asked.signature != 0 AND tier > 0
        -- What costs much does so in one of three hours too.
        AND intHash64(toUnixTimestamp(bucket)) % 3 = 0
)
SELECT
    toString(feature) AS feature,
    toString(query_type) AS query_type,
    tier,
    model,
    signature,
    max(bucket) AS last,
    sum(asked.requests) AS requests,
    uniqExact(bucket) AS hours,
    uniqExact(user_id) AS users,
    count() AS observations,
    uniqExact(asked.input_tokens / asked.requests) AS lengths,
    toFloat64(sum(asked.cost_usd)) AS usd
FROM {database:Identifier}.questions_by_hour AS asked
PREWHERE signature IN dearest
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND tier > 0
GROUP BY feature, query_type, tier, model, signature, prefix
HAVING lengths = 1 AND requests > hours AND usd >= {least:Float64}
ORDER BY usd DESC, signature
