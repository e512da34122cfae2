-- Calls that a batch of a provider answered, at its own price and in its own time. A batch has thousands of calls, so
-- that its id is a word of a dictionary: 0.7 bytes a call, where three in four are of twenty batches an hour (without the
-- codec 1.1, as a plain text 1.4).

ALTER TABLE {database}.calls_log
    ADD COLUMN IF NOT EXISTS provider_batch LowCardinality(String) DEFAULT '' CODEC(ZSTD)
        COMMENT 'the id of the batch that answered it, at its provider; empty: it was made by itself' AFTER batch_wait_ms;

-- A dimension of what was spent: it tells prices apart, and times. All hours are built once more for it: see the number in
-- `rollup_queries/due_hours.sql`.
ALTER TABLE {database}.spend_by_hour
    ADD COLUMN IF NOT EXISTS in_batch Bool
        COMMENT 'whether a batch of the provider answered, at its price and in its time' AFTER outcome,
    MODIFY ORDER BY
        (bucket, purpose, tier, provider, model, feature, query_type, service_class, escalated, outcome, in_batch);

ALTER TABLE {database}.spend_by_day
    ADD COLUMN IF NOT EXISTS in_batch Bool
        COMMENT 'whether a batch of the provider answered, at its price and in its time' AFTER outcome,
    MODIFY ORDER BY
        (bucket, purpose, tier, provider, model, feature, query_type, service_class, escalated, outcome, in_batch);

-- A view keeps the columns that its tables had when it was made.
CREATE OR REPLACE VIEW {database}.calls AS
SELECT * FROM {database}.calls_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- As before, with the batch of the provider: see 003_breakers_and_sharing.sql.
CREATE OR REPLACE VIEW {database}.call_ledger AS
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
    end.9 AS cache_written_tokens,
    end.10 AS reasoning_tokens,
    end.11 AS cost_usd,
    if(has_end, end.12, 1) AS shares,
    end.13 AS first_token_ms,
    if(has_end, end.14, 1) AS batch_size,
    end.15 AS batch_wait_ms,
    end.16 AS provider_batch
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
                log.output_tokens, log.cached_tokens, log.cache_written_tokens, log.reasoning_tokens, log.cost_usd,
                log.shares, log.first_token_ms, log.batch_size, log.batch_wait_ms, log.provider_batch
            ),
            (log.at, log.offset),
            log.event = 'ended'
        ) AS end
    FROM {database}.calls_log AS log
    GROUP BY request_id, revision, call_id
);

CREATE OR REPLACE VIEW {database}.spending AS
SELECT *
FROM {database}.call_ledger AS call
ANY LEFT JOIN
(
    SELECT request_id, revision, status AS request_status, user_id, feature, query_type, service_class, tags
    FROM {database}.requests
) AS request USING (request_id, revision);
