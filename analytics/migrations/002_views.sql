-- What queries read. FINAL merges repeated rows at read time, month by month because repeats share a month.

CREATE VIEW IF NOT EXISTS {database}.requests AS
SELECT * FROM {database}.requests_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE VIEW IF NOT EXISTS {database}.calls AS
SELECT * FROM {database}.calls_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE VIEW IF NOT EXISTS {database}.hops AS
SELECT * FROM {database}.hops_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE VIEW IF NOT EXISTS {database}.bodies AS
SELECT * FROM {database}.bodies_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- One row a paid call. A call that several requests share has a row, and a share of the cost, for each of them.
-- `unknown` is a call that was on the wire when its process died, or, before its deadline, one that still runs.
-- Every aggregate here takes one copy and adds nothing up, so repeated rows do no harm and FINAL is not needed.
CREATE VIEW IF NOT EXISTS {database}.call_ledger AS
SELECT
    request_id,
    revision,
    call_id,
    attempt_id,
    stage,
    n,
    purpose,
    tier,
    provider,
    model,
    started_at,
    if(has_end, end.2, NULL) AS ended_at,
    deadline,
    if(has_end, end.1, first_at) AS at,
    multiIf(NOT has_end, 'unknown', end.3 = '', 'ok', 'error') AS outcome,
    end.3 AS error_kind,
    end.4 AS provider_ms,
    end.5 AS usage_source,
    end.6 AS input_tokens,
    end.7 AS output_tokens,
    end.8 AS cached_tokens,
    end.9 AS reasoning_tokens,
    end.10 AS cost_usd
FROM
(
    SELECT
        request_id,
        revision,
        call_id,
        any(log.attempt_id) AS attempt_id,
        any(log.stage) AS stage,
        any(log.n) AS n,
        any(log.purpose) AS purpose,
        any(log.tier) AS tier,
        any(log.provider) AS provider,
        any(log.model) AS model,
        min(log.started_at) AS started_at,
        max(log.deadline) AS deadline,
        min(log.at) AS first_at,
        max(log.event = 'ended') AS has_end,
        argMinIf(
            (
                log.at, log.ended_at, log.error_kind, log.provider_ms, log.usage_source, log.input_tokens,
                log.output_tokens, log.cached_tokens, log.reasoning_tokens, log.cost_usd
            ),
            (log.at, log.offset),
            log.event = 'ended'
        ) AS end
    FROM {database}.calls_log AS log
    GROUP BY request_id, revision, call_id
);

-- One row an attempt: more than one call means that a crash, not the router, made it travel again.
CREATE VIEW IF NOT EXISTS {database}.attempt_ledger AS
SELECT
    request_id,
    revision,
    attempt_id,
    any(stage) AS stage,
    any(purpose) AS purpose,
    count() AS calls,
    countIf(outcome = 'ok') AS ok_calls,
    countIf(outcome = 'error') AS error_calls,
    countIf(outcome = 'unknown') AS unknown_calls,
    min(started_at) AS first_started_at,
    sum(cost_usd) AS total_cost_usd
FROM {database}.call_ledger
GROUP BY request_id, revision, attempt_id;
