-- Circuit breakers, and what is known of a call since calls can leave in batches, be shared and be streamed.
--
-- `llm.control` is compacted: offsets that are not there were never rows or have been replaced by later states. A
-- breaker that is not closed is said again now and then, with the same `since`.

CREATE TABLE IF NOT EXISTS {database}.breakers_log
(
    cluster LowCardinality(String),
    topic LowCardinality(String),
    partition UInt32,
    offset UInt64 CODEC(Delta, ZSTD),
    idx UInt32 CODEC(ZSTD),
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    worker LowCardinality(String),
    target LowCardinality(String) COMMENT 'provider/model, or tier:N',
    state LowCardinality(String) COMMENT 'closed, open or half_open',
    forced Bool COMMENT 'whether an operator ordered the state',
    reason String CODEC(ZSTD),
    since DateTime64(6, 'UTC') CODEC(ZSTD),
    until Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD) COMMENT 'when probes are let through at the earliest',
    calls UInt64 CODEC(T64, ZSTD) COMMENT 'of the window when the state changed',
    failures UInt64 CODEC(T64, ZSTD),
    slow UInt64 CODEC(T64, ZSTD),
    said_at DateTime64(6, 'UTC') CODEC(ZSTD) COMMENT 'by the clock of the worker',
    PROJECTION last_offsets (SELECT cluster, topic, partition, max(offset) GROUP BY cluster, topic, partition)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (toStartOfHour(at), target, worker)
ORDER BY (toStartOfHour(at), target, worker, cluster, topic, partition, offset, idx)
TTL toDateTime(at) + toIntervalDay({retention_days})
SETTINGS deduplicate_merge_projection_mode = 'rebuild';

CREATE VIEW IF NOT EXISTS {database}.breakers AS
SELECT * FROM {database}.breakers_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

ALTER TABLE {database}.requests_log
    ADD COLUMN IF NOT EXISTS cache_written_tokens UInt64 DEFAULT 0 CODEC(T64, ZSTD)
        COMMENT 'of the input, written to the cache of the provider' AFTER cached_tokens;

ALTER TABLE {database}.calls_log
    ADD COLUMN IF NOT EXISTS cache_written_tokens UInt64 DEFAULT 0 CODEC(T64, ZSTD)
        COMMENT 'of the input, written to the cache of the provider' AFTER cached_tokens,
    ADD COLUMN IF NOT EXISTS cache_write_rate Nullable(Decimal(38, 6)) CODEC(ZSTD)
        COMMENT 'NULL: as other input' AFTER cached_rate,
    ADD COLUMN IF NOT EXISTS shares UInt32 DEFAULT 1 CODEC(ZSTD)
        COMMENT 'requests that share the call; tokens and cost of the row are the part of one' AFTER cost_usd,
    ADD COLUMN IF NOT EXISTS first_token_ms Nullable(Float64) CODEC(ZSTD)
        COMMENT 'of a streamed call' AFTER shares,
    ADD COLUMN IF NOT EXISTS batch_size UInt32 DEFAULT 1 CODEC(ZSTD)
        COMMENT 'calls that left together' AFTER first_token_ms,
    ADD COLUMN IF NOT EXISTS batch_wait_ms Float64 DEFAULT 0 CODEC(ZSTD) AFTER batch_size;

ALTER TABLE {database}.hops_log
    ADD COLUMN IF NOT EXISTS batch_size Nullable(UInt32) CODEC(ZSTD)
        COMMENT 'NULL where no call left' AFTER cost_usd,
    ADD COLUMN IF NOT EXISTS batch_wait_ms Nullable(Float64) CODEC(ZSTD) AFTER batch_size,
    ADD COLUMN IF NOT EXISTS shares Nullable(UInt32) CODEC(ZSTD) AFTER batch_wait_ms;

-- A view keeps the columns that its tables had when it was made.
CREATE OR REPLACE VIEW {database}.requests AS
SELECT * FROM {database}.requests_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.calls AS
SELECT * FROM {database}.calls_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.hops AS
SELECT * FROM {database}.hops_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- One row a paid call and request. A call that several requests share has a row, and a part of its tokens and of its
-- cost, for each of them under one `call_id`: count(DISTINCT call_id) is the number of calls on the wire.
-- `unknown` is a call that was on the wire when its process died, or, before its deadline, one that still runs.
-- Every aggregate here takes one copy and adds nothing up, so repeated rows do no harm and FINAL is not needed.
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
    end.15 AS batch_wait_ms
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
                log.shares, log.first_token_ms, log.batch_size, log.batch_wait_ms
            ),
            (log.at, log.offset),
            log.event = 'ended'
        ) AS end
    FROM {database}.calls_log AS log
    GROUP BY request_id, revision, call_id
);
