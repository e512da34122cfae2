-- The results of one request, a row a revision.
SELECT
    revision, status, error_code, tier, provider, model, attempt_id, cost_usd, latency_ms, provider_ms, own_ms,
    source_at, settled_at
FROM {database:Identifier}.requests
WHERE request_id = {request_id:String}
ORDER BY revision
