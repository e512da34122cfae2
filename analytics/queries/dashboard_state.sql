-- How the deployment is now: breakers that are not closed, how long work waits for its stage, and how old the newest rows
-- are. A worker says every 30 seconds that a breaker is not closed; what it has
-- not said for 2 minutes is over.
SELECT 'breaker' AS kind, target AS name, worker AS detail, state AS text, toFloat64(forced) AS number, since AS at
FROM
(
    SELECT
        target,
        worker,
        argMax(said.state, (said.at, said.offset)) AS state,
        argMax(said.forced, (said.at, said.offset)) AS forced,
        argMax(said.since, (said.at, said.offset)) AS since
    FROM {database:Identifier}.breakers_log AS said
    WHERE said.at >= {now:DateTime('UTC')} - INTERVAL 2 MINUTE
    GROUP BY target, worker
)
WHERE state != 'closed'
UNION ALL
SELECT 'queue', stage, '', '', quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(ms)[2], NULL
FROM {database:Identifier}.times_by_minute
WHERE kind = 'queue' AND bucket >= {now:DateTime('UTC')} - INTERVAL 15 MINUTE
GROUP BY stage
UNION ALL
SELECT 'newest', 'ledger', '', '', toFloat64(count()), maxOrNull(toDateTime64(newest.at, 6, 'UTC'))
FROM {database:Identifier}.requests_log AS newest
WHERE newest.at >= {now:DateTime('UTC')} - INTERVAL 1 DAY
UNION ALL
SELECT 'newest', 'rollups', '', '', toFloat64(count()), maxOrNull(toDateTime64(built_at, 6, 'UTC'))
FROM {database:Identifier}.rollup_hours
