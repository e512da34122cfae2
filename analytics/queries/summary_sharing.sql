-- What sharing saved: without it, each request of the window that had a part of a call would have paid for the whole.
WITH parts AS
(
    SELECT request_id, revision, call_id, argMin(log.cost_usd, (log.at, log.offset)) AS part
    FROM {database:Identifier}.calls_log AS log
    WHERE event = 'ended' AND shares > 1
        AND at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
        AND ({tag:String} = '' OR (request_id, revision) IN (
            SELECT request_id, revision
            FROM {database:Identifier}.requests_log
            WHERE has(tags, {tag:String})
        ))
    GROUP BY request_id, revision, call_id
),
wire AS
(
    -- Parts of the same call are journalled together, but a window may end between them and a tag may leave some out.
    SELECT call_id, sum(part) AS whole
    FROM
    (
        SELECT request_id, revision, call_id, argMin(log.cost_usd, (log.at, log.offset)) AS part
        FROM {database:Identifier}.calls_log AS log
        WHERE event = 'ended' AND shares > 1 AND call_id IN (SELECT call_id FROM parts)
        GROUP BY request_id, revision, call_id
    )
    GROUP BY call_id
)
SELECT
    uniqExact(parts.call_id) AS shared_calls,
    count() - uniqExact(parts.call_id) AS saved_calls,
    sum(wire.whole - parts.part) AS saved_cost_usd
FROM parts
INNER JOIN wire ON wire.call_id = parts.call_id
