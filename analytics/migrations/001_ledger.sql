-- The ledger. Each table holds one row for each record (or part of a record) of a Kafka topic.
--
-- A row is identified by (cluster, topic, partition, offset, idx). The sink may insert a row twice: it repeats a
-- batch whose fate it does not know, and two sinks may overlap while a partition changes hands. The identity is
-- therefore part of every sorting key and the engine is ReplacingMergeTree, which drops repeats when parts merge.
-- Merging happens some time later, so nothing should read the *_log tables without FINAL: the views of the next
-- migration do that, and they carry the plain names.
--
-- `at` is the time at which the broker appended the record. It is the same for every copy of a row, so repeats
-- always meet in the same monthly partition and FINAL need not look across partitions; and it grows with the
-- offset, so that the sink can insert month by month without ever leaving a hole behind the highest offset.
--
-- The sorting key starts with the hour because reports ask for a time window; a trace of one request goes
-- through the bloom filter. The projection answers "what is the highest offset?" without reading rows.

CREATE TABLE IF NOT EXISTS {database}.requests_log
(
    cluster LowCardinality(String),
    topic LowCardinality(String),
    partition UInt32,
    offset UInt64 CODEC(Delta, ZSTD),
    idx UInt32 CODEC(ZSTD),
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    request_id String CODEC(ZSTD),
    revision UInt32 CODEC(ZSTD),
    status LowCardinality(String),
    error_code LowCardinality(String) COMMENT 'empty where there is no error',
    attempt_id Nullable(UUID) COMMENT 'the attempt that gave the answer',
    tier Nullable(UInt8),
    provider LowCardinality(String),
    model LowCardinality(String),
    finish_reason LowCardinality(String),
    usage_source LowCardinality(String) COMMENT 'provider, estimated, or empty where no usage is known',
    input_tokens UInt64 CODEC(T64, ZSTD) COMMENT 'cached ones included',
    output_tokens UInt64 CODEC(T64, ZSTD) COMMENT 'reasoning included',
    cached_tokens UInt64 CODEC(T64, ZSTD),
    reasoning_tokens UInt64 CODEC(T64, ZSTD),
    cost_usd Decimal(38, 12) CODEC(ZSTD) COMMENT 'all attempts',
    latency_ms Float64 CODEC(ZSTD) COMMENT 'from the append of the request to the settlement',
    provider_ms Float64 CODEC(ZSTD) COMMENT 'waiting for providers, over all attempts',
    own_ms Float64 CODEC(ZSTD) COMMENT 'latency_ms less provider_ms',
    `route.attempt_id` Array(UUID),
    `route.stage` Array(LowCardinality(String)),
    `route.tier` Array(UInt8),
    `route.provider` Array(LowCardinality(String)),
    `route.model` Array(LowCardinality(String)),
    `route.why` Array(LowCardinality(String)),
    `route.outcome` Array(LowCardinality(String)),
    `route.cost_usd` Array(Decimal(38, 12)),
    `route.provider_ms` Array(Float64),
    source_topic LowCardinality(String),
    source_partition UInt32,
    source_offset UInt64 CODEC(ZSTD),
    source_at DateTime64(3, 'UTC') CODEC(ZSTD) COMMENT 'when the broker appended the request',
    settled_at DateTime64(6, 'UTC') CODEC(ZSTD),
    tags Array(LowCardinality(String)),
    user_id String CODEC(ZSTD),
    feature LowCardinality(String),
    query_type LowCardinality(String),
    service_class LowCardinality(String),
    INDEX by_request request_id TYPE bloom_filter(0.001) GRANULARITY 1,
    PROJECTION last_offsets (SELECT cluster, topic, partition, max(offset) GROUP BY cluster, topic, partition)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (toStartOfHour(at), request_id)
ORDER BY (toStartOfHour(at), request_id, cluster, topic, partition, offset, idx)
TTL toDateTime(at) + toIntervalDay({retention_days})
SETTINGS deduplicate_merge_projection_mode = 'rebuild';

CREATE TABLE IF NOT EXISTS {database}.calls_log
(
    cluster LowCardinality(String),
    topic LowCardinality(String),
    partition UInt32,
    offset UInt64 CODEC(Delta, ZSTD),
    idx UInt32 CODEC(ZSTD),
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    event Enum8('started' = 1, 'ended' = 2),
    request_id String CODEC(ZSTD),
    revision UInt32 CODEC(ZSTD),
    call_id UUID,
    attempt_id UUID,
    stage LowCardinality(String),
    n UInt32 CODEC(ZSTD) COMMENT 'which try of the stage',
    purpose LowCardinality(String),
    tier UInt8,
    provider LowCardinality(String),
    model LowCardinality(String),
    started_at DateTime64(6, 'UTC') CODEC(ZSTD),
    deadline Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD) COMMENT 'of a started call',
    ended_at Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD),
    provider_ms Nullable(Float64) CODEC(ZSTD),
    finish_reason LowCardinality(String),
    error_kind LowCardinality(String) COMMENT 'empty where the call succeeded',
    error_status Nullable(Int32),
    retry_after_ms Nullable(Int64),
    usage_source LowCardinality(String),
    input_tokens UInt64 CODEC(T64, ZSTD),
    output_tokens UInt64 CODEC(T64, ZSTD),
    cached_tokens UInt64 CODEC(T64, ZSTD),
    reasoning_tokens UInt64 CODEC(T64, ZSTD),
    input_rate Nullable(Decimal(38, 6)) CODEC(ZSTD) COMMENT 'US dollars a million tokens',
    output_rate Nullable(Decimal(38, 6)) CODEC(ZSTD),
    cached_rate Nullable(Decimal(38, 6)) CODEC(ZSTD),
    rates_source LowCardinality(String),
    cost_usd Decimal(38, 12) CODEC(ZSTD) COMMENT 'zero on a started call',
    INDEX by_request request_id TYPE bloom_filter(0.001) GRANULARITY 1,
    PROJECTION last_offsets (SELECT cluster, topic, partition, max(offset) GROUP BY cluster, topic, partition)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (toStartOfHour(at), request_id)
ORDER BY (toStartOfHour(at), request_id, cluster, topic, partition, offset, idx)
TTL toDateTime(at) + toIntervalDay({retention_days})
SETTINGS deduplicate_merge_projection_mode = 'rebuild';

CREATE TABLE IF NOT EXISTS {database}.hops_log
(
    cluster LowCardinality(String),
    topic LowCardinality(String),
    partition UInt32,
    offset UInt64 CODEC(Delta, ZSTD),
    idx UInt32 CODEC(ZSTD) COMMENT 'place in the record',
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    request_id String CODEC(ZSTD),
    revision UInt32 CODEC(ZSTD),
    stage LowCardinality(String),
    started_at DateTime64(6, 'UTC') CODEC(ZSTD),
    ended_at DateTime64(6, 'UTC') CODEC(ZSTD),
    queue_ms Float64 CODEC(ZSTD) COMMENT 'from the append of the causing record to the start',
    provider_ms Float64 CODEC(ZSTD),
    outcome LowCardinality(String),
    tier Nullable(UInt8),
    attempt_id Nullable(UUID),
    provider LowCardinality(String),
    model LowCardinality(String),
    cost_usd Nullable(Decimal(38, 12)) CODEC(ZSTD),
    rule LowCardinality(String),
    classifier LowCardinality(String),
    scores Array(Float64) CODEC(ZSTD),
    detail String CODEC(ZSTD),
    INDEX by_request request_id TYPE bloom_filter(0.001) GRANULARITY 1,
    PROJECTION last_offsets (SELECT cluster, topic, partition, max(offset) GROUP BY cluster, topic, partition)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (toStartOfHour(at), request_id)
ORDER BY (toStartOfHour(at), request_id, cluster, topic, partition, offset, idx)
TTL toDateTime(at) + toIntervalDay({retention_days})
SETTINGS deduplicate_merge_projection_mode = 'rebuild';

-- Texts live apart: they are large, rarely read, and kept for a shorter time. `log_bodies` decides what comes here.
CREATE TABLE IF NOT EXISTS {database}.bodies_log
(
    cluster LowCardinality(String),
    topic LowCardinality(String),
    partition UInt32,
    offset UInt64 CODEC(Delta, ZSTD),
    idx UInt32 CODEC(ZSTD),
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    request_id String CODEC(ZSTD),
    revision UInt32 CODEC(ZSTD),
    part Enum8('content' = 1, 'error' = 2) COMMENT 'the answer, or the message of the error',
    sha256 FixedString(64) COMMENT 'hexadecimal, of the UTF-8 text',
    size UInt64 CODEC(T64, ZSTD) COMMENT 'bytes of the UTF-8 text',
    body String CODEC(ZSTD(3)) COMMENT 'empty where only hashes are kept',
    INDEX by_request request_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (toStartOfHour(at), request_id)
ORDER BY (toStartOfHour(at), request_id, cluster, topic, partition, offset, idx, part)
TTL toDateTime(at) + toIntervalDay({body_retention_days});
