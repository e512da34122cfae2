-- The calls of the results of the window, and those of the window that no result has claimed yet, by what became of
-- their cost. A call that several requests share has a row for each; it is counted once, where its first row stands.
-- `standing`: shadow (made for a comparison, and no part of any result), routed (a line of its result's route),
-- duplicate (a further call of a routed attempt), unrouted (its attempt is in no line), unsettled (no result yet) or
-- unknown (never ended, so nothing is booked).
WITH settled AS
(
    SELECT request_id, revision, `route.attempt_id` AS attempts, `route.cost_usd` AS costs, 1 AS has_result
    FROM {database:Identifier}.requests
    WHERE at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}
        AND ({tag:String} = '' OR has(tags, {tag:String}))
)
SELECT purpose, provider, model, outcome, standing, countIf(is_first) AS calls, sum(cost_usd) AS cost
FROM
(
    SELECT
        call.purpose AS purpose,
        call.provider AS provider,
        call.model AS model,
        call.outcome AS outcome,
        call.cost_usd AS cost_usd,
        indexOf(settled.attempts, call.attempt_id) AS line,
        row_number() OVER (
            PARTITION BY call.request_id, call.revision, call.attempt_id
            ORDER BY call.outcome = 'unknown', call.cost_usd != arrayElement(settled.costs, line), call.at, call.call_id
        ) AS place,
        multiIf(
            call.outcome = 'unknown', 'unknown',
            call.purpose = 'shadow' AND line = 0, 'shadow',
            settled.has_result = 0, 'unsettled',
            line = 0, 'unrouted',
            place > 1, 'duplicate',
            'routed'
        ) AS standing,
        row_number() OVER (
            PARTITION BY call.call_id, call.outcome ORDER BY call.request_id, call.revision
        ) = 1 AS is_first
    FROM {database:Identifier}.call_ledger AS call
    LEFT JOIN settled ON settled.request_id = call.request_id AND settled.revision = call.revision
    WHERE settled.has_result = 1
        OR ({tag:String} = ''
            AND call.at >= {since:DateTime64(6, 'UTC')} AND call.at < {until:DateTime64(6, 'UTC')}
            AND (call.request_id, call.revision) NOT IN (
                SELECT request_id, revision FROM {database:Identifier}.requests_log
            ))
)
GROUP BY purpose, provider, model, outcome, standing
ORDER BY cost DESC, purpose, provider, model, outcome, standing
SETTINGS
    -- Months of calls do not fit into the memory of a small server.
    max_bytes_before_external_group_by = 300000000,
    max_bytes_before_external_sort = 300000000,
    join_algorithm = 'grace_hash,hash'
