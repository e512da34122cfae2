-- The paid calls that ended in the window, by purpose. One copy of each call counts: the first that Kafka took.
SELECT purpose, uniqExact(call_id) AS calls, sum(cost) AS cost
FROM
(
    SELECT
        call_id,
        any(log.purpose) AS purpose,
        argMin(log.cost_usd, (log.at, log.offset)) AS cost
    FROM {database:Identifier}.calls_log AS log
    WHERE event = 'ended'
        AND at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
        AND ({tag:String} = '' OR (request_id, revision) IN (
            SELECT request_id, revision
            FROM {database:Identifier}.requests_log
            WHERE has(tags, {tag:String})
        ))
    GROUP BY request_id, revision, call_id
)
GROUP BY purpose
ORDER BY cost DESC, purpose
