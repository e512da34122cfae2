-- The paid calls of one request in the order of time.
SELECT
    revision, call_id, attempt_id, stage, n, purpose, tier, provider, model, started_at, ended_at, outcome,
    error_kind, provider_ms, input_tokens, output_tokens, cached_tokens, cost_usd,
    shares, first_token_ms, batch_size, batch_wait_ms, provider_batch
FROM {database:Identifier}.call_ledger
WHERE request_id = {request_id:String}
ORDER BY started_at, call_id
