-- The calls of the window that never ended, and all calls of attempts that were made more than once, a row for each
-- request that shares one. An unknown call is estimated at what others pay who share it, at what another call of its
-- attempt cost, or at the mean of the calls like it that succeeded, divided among those who share it.
WITH
    means AS
    (
        SELECT purpose, provider, model, sum(cost_usd) / uniqExact(call_id) AS mean_cost, count() AS answered
        FROM {database:Identifier}.call_ledger
        WHERE outcome = 'ok'
        GROUP BY purpose, provider, model
    ),
    attempts AS
    (
        SELECT request_id, revision, attempt_id, count() AS calls, maxIf(cost_usd, outcome != 'unknown') AS known_cost,
            countIf(outcome = 'ok') AS answered
        FROM {database:Identifier}.call_ledger
        GROUP BY request_id, revision, attempt_id
        HAVING calls > 1 OR countIf(outcome = 'unknown') > 0
    ),
    wire AS
    (
        SELECT call_id, count() AS parts, countIf(outcome = 'ok') AS answered,
            maxIf(cost_usd, outcome != 'unknown') AS part_cost
        FROM {database:Identifier}.call_ledger
        WHERE call_id IN (SELECT call_id FROM {database:Identifier}.call_ledger WHERE outcome = 'unknown')
        GROUP BY call_id
    )
SELECT
    call.request_id AS request_id,
    call.revision AS revision,
    call.call_id AS call_id,
    call.attempt_id AS attempt_id,
    call.stage AS stage,
    call.n AS n,
    call.purpose AS purpose,
    call.tier AS tier,
    call.provider AS provider,
    call.model AS model,
    call.started_at AS started_at,
    call.outcome AS outcome,
    attempts.calls AS attempt_calls,
    call.outcome = 'unknown' AND call.deadline > now64(6) AS may_run,
    multiIf(
        call.outcome != 'unknown', toNullable(call.cost_usd),
        wire.answered > 0, toNullable(wire.part_cost),
        attempts.answered > 0, toNullable(attempts.known_cost),
        means.answered > 0, toDecimal128OrNull(toString(round(means.mean_cost / greatest(wire.parts, 1), 12)), 12),
        NULL
    ) AS cost_usd,
    call.outcome = 'unknown' AS is_estimated
FROM {database:Identifier}.call_ledger AS call
INNER JOIN attempts ON attempts.request_id = call.request_id AND attempts.revision = call.revision
    AND attempts.attempt_id = call.attempt_id
LEFT JOIN wire ON wire.call_id = call.call_id
LEFT JOIN means ON means.purpose = call.purpose AND means.provider = call.provider AND means.model = call.model
WHERE call.at >= {since:DateTime64(6, 'UTC')} AND call.at < {until:DateTime64(6, 'UTC')}
    AND ({tag:String} = '' OR (call.request_id, call.revision) IN (
        SELECT request_id, revision FROM {database:Identifier}.requests_log WHERE has(tags, {tag:String})
    ))
ORDER BY started_at, call_id
SETTINGS
    -- Months of calls do not fit into the memory of a small server.
    max_bytes_before_external_group_by = 300000000,
    max_bytes_before_external_sort = 300000000,
    join_algorithm = 'grace_hash,hash'
