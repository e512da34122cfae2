-- Feedback that is delivered again is told of again, soon: see `summary_feedback`.
SELECT
    toDateTime(intDiv(toUnixTimestamp(first_at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    outcome,
    count() AS said,
    uniqExactIf((request_id, revision), has_retried) AS retried
FROM
(
    SELECT
        request_id,
        revision,
        min(log.at) AS first_at,
        toString(argMax(log.outcome, (log.ended_at, log.offset))) AS outcome,
        max(startsWith(log.detail, 'retried as revision ')) AS has_retried
    FROM {database:Identifier}.hops_log AS log
    WHERE stage = 'feedback'
        AND at >= {since:DateTime('UTC')} - {lifetime_s:UInt32} AND at < {until:DateTime('UTC')} + {lifetime_s:UInt32}
    GROUP BY
        request_id,
        revision,
        started_at,
        if(log.outcome = 'unmatched', splitByChar(':', log.detail)[1], toString(log.outcome))
    HAVING first_at >= {since:DateTime('UTC')} AND first_at < {until:DateTime('UTC')}
)
GROUP BY bucket, outcome
