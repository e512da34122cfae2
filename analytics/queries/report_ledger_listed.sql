-- The calls of the period that never ended, and all calls of attempts that were made more than once: see `ledger_listed`.
-- Those that may still run are not among them.
WITH means AS
(
    SELECT purpose, provider, model, sum(spend.cost_usd) / sum(spend.calls) AS mean_cost, sum(spend.calls) AS answered
    FROM {database:Identifier}.{spend:Identifier} AS spend
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND outcome = 'ok'
    GROUP BY purpose, provider, model
)
SELECT
    call.request_id AS request_id,
    call.revision AS revision,
    call.call_id AS call_id,
    call.attempt_id AS attempt_id,
    toString(call.stage) AS stage,
    call.n AS n,
    toString(call.purpose) AS purpose,
    call.tier AS tier,
    toString(call.provider) AS provider,
    toString(call.model) AS model,
    call.started_at AS started_at,
    toString(call.outcome) AS outcome,
    call.attempt_calls AS attempt_calls,
    false AS may_run,
    multiIf(
        call.cost_usd IS NOT NULL, call.cost_usd,
        means.answered > 0, toDecimal128OrNull(toString(round(means.mean_cost / greatest(call.parts, 1), 12)), 12),
        NULL
    ) AS cost_usd,
    call.outcome = 'unknown' AS is_estimated
FROM {database:Identifier}.doubtful_by_hour AS call
LEFT JOIN means ON means.purpose = call.purpose AND means.provider = call.provider AND means.model = call.model
WHERE call.bucket >= {since:DateTime('UTC')} AND call.bucket < {until:DateTime('UTC')}
ORDER BY started_at, call_id
