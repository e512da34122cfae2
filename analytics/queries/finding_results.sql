-- Where requests began, where they were answered, and what was found out about their answers, by feature and query type.
SELECT
    first_tier,
    tier,
    toString(feature) AS feature,
    toString(query_type) AS query_type,
    max(bucket) AS last,
    sum(results.requests) AS requests,
    sum(results.escalated) AS escalated,
    sum(results.judged) AS judged,
    sum(results.input_tokens) AS input_tokens,
    sum(results.output_tokens) AS output_tokens
FROM {database:Identifier}.{results:Identifier} AS results
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND first_tier > 0 AND tier > 0
GROUP BY first_tier, tier, feature, query_type
