-- The steps of one request in the order of time.
SELECT
    revision, stage, started_at, ended_at, queue_ms, provider_ms, outcome, tier, attempt_id, provider, model,
    cost_usd, rule, classifier, scores, detail
FROM {database:Identifier}.hops
WHERE request_id = {request_id:String}
ORDER BY started_at, ended_at, partition, offset, idx
