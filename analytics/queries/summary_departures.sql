-- How the answering calls of the window left, by tier: in which batches, and when the first text of streamed ones came.
SELECT
    tier,
    count() AS calls,
    avg(batch_size) AS batch_size,
    avg(batch_wait_ms) AS batch_wait_ms,
    countIf(first_token_ms IS NOT NULL) AS streamed,
    if(streamed = 0, NULL, quantileExactInclusive(0.5)(first_token_ms)) AS first_token_p50_ms
FROM
(
    SELECT
        call_id,
        any(log.tier) AS tier,
        any(log.batch_size) AS batch_size,
        any(log.batch_wait_ms) AS batch_wait_ms,
        any(log.first_token_ms) AS first_token_ms
    FROM {database:Identifier}.calls_log AS log
    WHERE event = 'ended' AND purpose = 'infer'
        AND at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
        AND ({tag:String} = '' OR (request_id, revision) IN (
            SELECT request_id, revision
            FROM {database:Identifier}.requests_log
            WHERE has(tags, {tag:String})
        ))
    GROUP BY call_id
)
GROUP BY tier
ORDER BY tier
