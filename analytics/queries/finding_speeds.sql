-- How long models of the same tier took for requests of the same feature and query type in the same hour or day: `took_ms`
-- is the time of all calls of the one, `other_ms` what they would have taken at the pace of the other. Those that a batch of
-- a provider answered have no pace.
WITH pace AS
(
    SELECT
        bucket,
        tier,
        concat(provider, '/', model) AS model,
        feature,
        query_type,
        sum(spend.rows) AS calls,
        sum(spend.provider_ms_sum) AS ms,
        sum(spend.input_tokens) AS input_tokens,
        sum(spend.output_tokens) AS output_tokens
    FROM {database:Identifier}.{spend:Identifier} AS spend
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND purpose = 'infer' AND outcome = 'ok'
        AND NOT in_batch
    GROUP BY bucket, tier, model, feature, query_type
)
SELECT
    tier,
    one.model AS model,
    other.model AS other_model,
    bucket,
    sum(one.calls) AS calls,
    sum(one.ms) AS took_ms,
    sum(one.calls * other.ms / other.calls) AS other_ms
FROM pace AS one
INNER JOIN pace AS other USING (bucket, tier, feature, query_type)
WHERE one.model != other.model
GROUP BY tier, model, other_model, bucket
HAVING calls >= 5
ORDER BY bucket
