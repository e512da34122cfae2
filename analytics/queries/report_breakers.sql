-- When circuit breakers were not closed, in which worker, and why, latest first. `until` is when the worker next said
-- something else of the breaker; NULL: it has not, or not in this time.
SELECT target, worker, state, since, until, last_said_at, is_forced, reason, calls, failures, slow
FROM
(
    SELECT
        target,
        worker,
        state,
        since,
        leadInFrame(toNullable(since)) OVER (
            PARTITION BY target, worker ORDER BY since, last_said_at
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) AS until,
        last_said_at,
        is_forced,
        reason,
        calls,
        failures,
        slow
    FROM
    (
        SELECT
            target,
            worker,
            state,
            since,
            max(said_at) AS last_said_at,
            max(forced) AS is_forced,
            argMin(breaker.reason, said_at) AS reason,
            argMin(breaker.calls, said_at) AS calls,
            argMin(breaker.failures, said_at) AS failures,
            argMin(breaker.slow, said_at) AS slow
        FROM {database:Identifier}.breakers AS breaker
        WHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')}
        GROUP BY target, worker, state, since
    )
)
WHERE state != 'closed'
ORDER BY since DESC, target, worker
LIMIT {top:UInt32}
