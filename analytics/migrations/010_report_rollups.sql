-- What became of the cost of each paid call, which `report ledger` shows, so that it need not go through every call of a
-- month again; and of the questions, which are nearly as many as requests, what reports ask most: who asks, what is asked
-- again within an hour, and which instructions stand before it.
-- All hours are built once more for them: see the number in `rollup_queries/due_hours.sql`.

-- Paid calls, by when the result of their request was settled, or else by when they ended.
CREATE TABLE IF NOT EXISTS {database}.standings_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    standing LowCardinality(String) COMMENT 'routed, duplicate, unrouted, unsettled, shadow or unknown',
    purpose LowCardinality(String),
    provider LowCardinality(String),
    model LowCardinality(String),
    outcome LowCardinality(String) COMMENT 'ok, error or unknown',
    calls UInt64 CODEC(T64, ZSTD) COMMENT 'on the wire: a shared one counts where its first request does',
    cost_usd Decimal(38, 12) CODEC(ZSTD)
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, standing, purpose, provider, model, outcome)
TTL bucket + toIntervalDay({retention_days});

CREATE TABLE IF NOT EXISTS {database}.standings_by_day AS {database}.standings_by_hour;

-- The calls that never ended, and all calls of attempts that were made more than once: a row for each request of a call.
CREATE TABLE IF NOT EXISTS {database}.doubtful_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    request_id String CODEC(ZSTD),
    revision UInt32,
    call_id UUID,
    attempt_id UUID,
    stage LowCardinality(String),
    n UInt32 COMMENT 'which try of the stage',
    purpose LowCardinality(String),
    tier UInt8,
    provider LowCardinality(String),
    model LowCardinality(String),
    started_at DateTime64(6, 'UTC') CODEC(ZSTD),
    outcome LowCardinality(String) COMMENT 'ok, error or unknown',
    attempt_calls UInt64 COMMENT 'of the attempt',
    parts UInt64 COMMENT 'requests that share the call',
    cost_usd Nullable(Decimal(38, 12)) COMMENT 'of an unknown one, of another part of it or call of its attempt, if there is one'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, request_id, revision, call_id)
TTL bucket + toIntervalDay({retention_days});

-- What systems say before anybody else speaks, by the model that answered.
CREATE TABLE IF NOT EXISTS {database}.prefixes_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    model LowCardinality(String) COMMENT 'provider/model',
    feature LowCardinality(String),
    prefix UInt64 CODEC(ZSTD),
    requests UInt64 CODEC(T64, ZSTD),
    prefix_tokens UInt64 CODEC(T64, ZSTD) COMMENT 'sum over the requests',
    cached_tokens UInt64 CODEC(T64, ZSTD)
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, model, feature, prefix)
TTL bucket + toIntervalDay({retention_days});

-- What a user asks lies together, so that looking at few of them reads little.
CREATE TABLE IF NOT EXISTS {database}.questions_by_day
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    user_id String CODEC(ZSTD),
    feature LowCardinality(String),
    query_type LowCardinality(String),
    tier UInt8,
    model LowCardinality(String),
    prefix UInt64 CODEC(ZSTD),
    signature UInt64 CODEC(NONE),
    requests UInt64 CODEC(T64, ZSTD),
    bad UInt64 CODEC(T64, ZSTD),
    prefix_tokens UInt64 CODEC(T64, ZSTD),
    input_tokens UInt64 CODEC(T64, ZSTD),
    cached_tokens UInt64 CODEC(T64, ZSTD),
    output_tokens UInt64 CODEC(T64, ZSTD),
    cost_usd Decimal(38, 12) CODEC(ZSTD)
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, user_id, feature, query_type, tier, model, prefix, signature)
TTL bucket + toIntervalDay({retention_days})
SETTINGS index_granularity = 1024;

-- Who asked how much, by when the results were settled.
CREATE TABLE IF NOT EXISTS {database}.askers_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    user_id String CODEC(ZSTD) COMMENT 'empty where the request did not say',
    requests UInt64 CODEC(T64, ZSTD),
    cost_usd Decimal(38, 12) CODEC(ZSTD) COMMENT 'of all attempts of the route; what was paid is in users_by_hour'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, user_id)
TTL bucket + toIntervalDay({retention_days});

CREATE TABLE IF NOT EXISTS {database}.askers_by_day AS {database}.askers_by_hour;

-- Questions with the same signature behind the same instructions that were answered more than once within an hour.
CREATE TABLE IF NOT EXISTS {database}.repeats_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    feature LowCardinality(String),
    query_type LowCardinality(String),
    tier UInt8 COMMENT 'that answered',
    model LowCardinality(String) COMMENT 'provider/model',
    signature UInt64 CODEC(NONE),
    prefix UInt64 CODEC(ZSTD),
    requests UInt64 CODEC(T64, ZSTD),
    users UInt64 CODEC(T64, ZSTD) COMMENT 'who asked it in this hour',
    lengths UInt64 CODEC(T64, ZSTD) COMMENT 'different lengths of its prompts in tokens: where it is 1 they may be the same',
    input_tokens UInt64 CODEC(T64, ZSTD),
    cost_usd Decimal(38, 12) CODEC(ZSTD) COMMENT 'of all attempts of the route'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, feature, query_type, tier, model, signature, prefix)
TTL bucket + toIntervalDay({retention_days});

-- What was said of results, by when it was.
CREATE TABLE IF NOT EXISTS {database}.feedback_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    outcome LowCardinality(String) COMMENT 'thumbs_up, thumbs_down, wrong, rephrase or unmatched',
    said UInt64 CODEC(T64, ZSTD) COMMENT 'what was told twice counts once',
    retried UInt64 CODEC(T64, ZSTD) COMMENT 'results of which a further revision was asked for'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, outcome)
TTL bucket + toIntervalDay({retention_days});

CREATE TABLE IF NOT EXISTS {database}.feedback_by_day AS {database}.feedback_by_hour;
