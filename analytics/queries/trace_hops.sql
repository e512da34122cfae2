-- The steps of one request in the order of time. A step stands once for each time that its record was delivered; the
-- first of an attempt has what the attempt cost, so that the steps add up to what was paid.
SELECT
    revision, stage, started_at, ended_at, queue_ms, provider_ms, outcome, tier, attempt_id, provider, model,
    if(
        attempt_id IS NOT NULL AND row_number() OVER (
            PARTITION BY revision, stage, attempt_id ORDER BY started_at, ended_at, partition, offset, idx
        ) > 1,
        NULL, cost_usd
    ) AS cost_usd,
    rule, classifier, scores, detail
FROM {database:Identifier}.hops
WHERE request_id = {request_id:String}
ORDER BY started_at, ended_at, partition, offset, idx
