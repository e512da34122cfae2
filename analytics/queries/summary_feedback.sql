-- What was said of results, by kind. Feedback that is delivered again is told of again: it is named by the request, its
-- kind and the moment at which it came in, and what was told last counts, for at first its result may not have been known.
WITH told AS
(
    SELECT
        request_id,
        revision,
        started_at,
        if(log.outcome = 'unmatched', splitByChar(':', log.detail)[1], toString(log.outcome)) AS kind,
        argMax(log.outcome, (log.ended_at, log.offset)) AS outcome,
        max(startsWith(log.detail, 'retried as revision ')) AS has_retried
    FROM {database:Identifier}.hops_log AS log
    WHERE stage = 'feedback' AND at >= {since:DateTime64(6, 'UTC')}
        AND started_at >= {since:DateTime64(6, 'UTC')} AND started_at < {until:DateTime64(6, 'UTC')}
        AND ({tag:String} = '' OR request_id IN (
            SELECT request_id
            FROM {database:Identifier}.requests_log
            WHERE has(tags, {tag:String})
        ))
    GROUP BY request_id, revision, started_at, kind
)
SELECT outcome, count() AS said, (SELECT uniqExact(request_id, revision) FROM told WHERE has_retried) AS retried
FROM told
GROUP BY outcome
ORDER BY said DESC, outcome
