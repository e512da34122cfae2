-- Calls that started in the window and never ended: paid perhaps, and by nobody's record.
SELECT uniqExact(call_id) AS calls
FROM {database:Identifier}.calls_log
WHERE event = 'started'
    AND at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
    AND ({tag:String} = '' OR (request_id, revision) IN (
        SELECT request_id, revision FROM {database:Identifier}.requests_log
        WHERE has(tags, {tag:String})
    ))
    AND (request_id, revision, call_id) NOT IN (
        SELECT request_id, revision, call_id FROM {database:Identifier}.calls_log
        WHERE event = 'ended' AND at >= {since:DateTime64(6, 'UTC')}
    )
