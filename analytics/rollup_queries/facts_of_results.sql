-- The results that were settled from {since} on and before {until}; what they waited for is told by their calls.
SELECT
    at,
    toString(status) AS status,
    toString(error_code) AS error_code,
    revision > 0 AS is_retry,
    arrayFirstOrNull((to, stage) -> startsWith(stage, 'infer'), `route.tier`, `route.stage`) AS first_tier,
    tier,
    toString(provider) AS provider,
    toString(model) AS model,
    toString(feature) AS feature,
    toString(query_type) AS query_type,
    toString(service_class) AS service_class,
    user_id,
    arrayExists(why -> startsWith(why, 'escalated'), `route.why`) AS escalated,
    arrayExists(why -> startsWith(why, 'promoted'), `route.why`) AS promoted,
    arrayExists(why -> startsWith(why, 'fallback'), `route.why`) AS fell_back,
    arrayUniq(arrayFilter((tier, why) -> startsWith(why, 'escalated'), `route.tier`, `route.why`)) AS escalations,
    arrayUniq(arrayFilter((tier, why) -> startsWith(why, 'promoted'), `route.tier`, `route.why`)) AS promotions,
    countEqual(`route.stage`, 'validate') AS validations,
    arrayExists(outcome -> outcome IN ('judge_pass', 'judge_fail'), `route.outcome`) AS judged,
    has(`route.outcome`, 'judge_fail') AS judge_failed,
    match(reason, '(^|; )check: ') OR arrayExists(why -> match(why, '^escalated from tier [0-9]+: check: '), `route.why`)
        AS check_failed,
    length(`route.tier`) AS attempts,
    input_tokens,
    cached_tokens,
    output_tokens,
    cost_usd,
    latency_ms,
    provider_ms,
    own_ms,
    (request_id, revision) IN (
        SELECT request_id, revision FROM {database:Identifier}.{calls:Identifier} WHERE in_batch
    ) AS waited_for_batch,
    signature,
    prefix,
    prefix_tokens
FROM {database:Identifier}.requests
WHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')}
