-- Roll-ups: sums and sketches by minute, hour and day, that reports read instead of millions of rows.
--
-- They are no materialized views: those add up what is inserted, and a batch that the sink repeats would count twice.
-- The sink builds the hours of which something new is in the ledger from the ledger itself, and replaces the partition
-- of the day in one step. So building is repeatable, rows are there once, and nothing here is read with FINAL.
-- The SELECT of each family is in `rollups/`. A column of the sorting key is a dimension; every other one is a sum, or a
-- state of quantilesDD, which gives quantiles within 1 % of their value however many states are merged.

ALTER TABLE {database}.requests_log
    ADD COLUMN IF NOT EXISTS signature UInt64 DEFAULT 0 CODEC(NONE)
        COMMENT 'near-duplicate signature of the question: similar ones differ in few bits; 0: none',
    ADD COLUMN IF NOT EXISTS prefix UInt64 DEFAULT 0 CODEC(ZSTD)
        COMMENT 'hash of what the system says before anybody else speaks; 0: nothing',
    ADD COLUMN IF NOT EXISTS prefix_tokens UInt64 DEFAULT 0 CODEC(T64, ZSTD) COMMENT 'its length, by estimate';

-- A view keeps the columns that its tables had when it was made.
CREATE OR REPLACE VIEW {database}.requests AS
SELECT * FROM {database}.requests_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- Which hours are built, and from what: a hash of the offsets that each hour had. The latest row of an hour counts.
CREATE TABLE IF NOT EXISTS {database}.rollup_hours
(
    hour DateTime('UTC') CODEC(Delta, ZSTD),
    covered UInt64 COMMENT 'hash of the offsets of the hour',
    built_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(built_at)
ORDER BY hour
TTL hour + toIntervalDay({retention_days});

-- Paid calls, by when they ended; a call that several requests share counts by the part of each.
CREATE TABLE IF NOT EXISTS {database}.spend_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    purpose LowCardinality(String) COMMENT 'infer, classify, judge or shadow',
    tier UInt8,
    provider LowCardinality(String),
    model LowCardinality(String),
    feature LowCardinality(String) COMMENT 'empty where the request did not say, or has no result yet',
    query_type LowCardinality(String),
    service_class LowCardinality(String),
    escalated Bool COMMENT 'whether it is the call of an attempt that the task was escalated to',
    outcome LowCardinality(String) COMMENT 'ok, unknown, or the kind of the error',
    rows UInt64 CODEC(T64, ZSTD) COMMENT 'calls, each counted by every request that shares it',
    calls UInt64 CODEC(T64, ZSTD) COMMENT 'on the wire: a shared one counts where its first request does',
    shared_calls UInt64 CODEC(T64, ZSTD) COMMENT 'of them, answers to several requests',
    input_tokens UInt64 CODEC(T64, ZSTD) COMMENT 'cached and written ones included',
    cached_tokens UInt64 CODEC(T64, ZSTD),
    cache_written_tokens UInt64 CODEC(T64, ZSTD),
    output_tokens UInt64 CODEC(T64, ZSTD) COMMENT 'reasoning included',
    reasoning_tokens UInt64 CODEC(T64, ZSTD),
    cost_usd Decimal(38, 12) CODEC(ZSTD),
    fresh_cost_usd Decimal(38, 12) CODEC(ZSTD) COMMENT 'of input that was neither cached nor written to a cache',
    cached_cost_usd Decimal(38, 12) CODEC(ZSTD),
    cache_written_cost_usd Decimal(38, 12) CODEC(ZSTD),
    output_cost_usd Decimal(38, 12) CODEC(ZSTD) COMMENT 'the rest: the four add up to cost_usd',
    estimated_cost_usd Decimal(38, 12) CODEC(ZSTD) COMMENT 'of it, of usage that is an estimate',
    sharing_saved_usd Decimal(38, 12) CODEC(ZSTD) COMMENT 'what more it would have cost had nobody shared',
    cache_saved_usd Decimal(38, 12) CODEC(ZSTD) COMMENT 'cached tokens at the rate of fresh ones, less what they cost',
    batched_calls UInt64 CODEC(T64, ZSTD) COMMENT 'calls on the wire that left together with others',
    batch_size_sum UInt64 CODEC(T64, ZSTD) COMMENT 'over calls on the wire',
    batch_wait_ms_sum Float64 CODEC(ZSTD) COMMENT 'over calls on the wire',
    provider_ms_sum Float64 CODEC(ZSTD)
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, purpose, tier, provider, model, feature, query_type, service_class, escalated, outcome)
TTL bucket + toIntervalDay({retention_days});

CREATE TABLE IF NOT EXISTS {database}.spend_by_day AS {database}.spend_by_hour;

-- The same money by user.
CREATE TABLE IF NOT EXISTS {database}.users_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    user_id String CODEC(ZSTD) COMMENT 'empty where the request did not say, or has no result yet',
    tier UInt8,
    provider LowCardinality(String),
    model LowCardinality(String),
    rows UInt64 CODEC(T64, ZSTD),
    input_tokens UInt64 CODEC(T64, ZSTD),
    cached_tokens UInt64 CODEC(T64, ZSTD),
    output_tokens UInt64 CODEC(T64, ZSTD),
    cost_usd Decimal(38, 12) CODEC(ZSTD)
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, user_id, tier, provider, model)
TTL bucket + toIntervalDay({retention_days});

CREATE TABLE IF NOT EXISTS {database}.users_by_day AS {database}.users_by_hour;

-- The same money by tag: a request counts under each of its tags, or under the empty one, so that tags do not add up.
CREATE TABLE IF NOT EXISTS {database}.tags_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    tag LowCardinality(String),
    tier UInt8,
    provider LowCardinality(String),
    model LowCardinality(String),
    rows UInt64 CODEC(T64, ZSTD),
    input_tokens UInt64 CODEC(T64, ZSTD),
    cached_tokens UInt64 CODEC(T64, ZSTD),
    output_tokens UInt64 CODEC(T64, ZSTD),
    cost_usd Decimal(38, 12) CODEC(ZSTD)
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, tag, tier, provider, model)
TTL bucket + toIntervalDay({retention_days});

CREATE TABLE IF NOT EXISTS {database}.tags_by_day AS {database}.tags_by_hour;

-- Results, by when they were settled, and the way that led to each.
CREATE TABLE IF NOT EXISTS {database}.results_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    status LowCardinality(String),
    error_code LowCardinality(String),
    first_tier UInt8 COMMENT 'that an answer was first asked of; 0: none was',
    tier UInt8 COMMENT 'that answered; 0: none did',
    provider LowCardinality(String),
    model LowCardinality(String),
    feature LowCardinality(String),
    query_type LowCardinality(String),
    service_class LowCardinality(String),
    requests UInt64 CODEC(T64, ZSTD),
    retries UInt64 CODEC(T64, ZSTD) COMMENT 'of them, revisions that feedback asked for',
    escalated UInt64 CODEC(T64, ZSTD) COMMENT 'sent one tier up for a bad answer, once or more often',
    promoted UInt64 CODEC(T64, ZSTD) COMMENT 'sent one tier up because no provider answered',
    fell_back UInt64 CODEC(T64, ZSTD) COMMENT 'asked of a further model of the same tier',
    escalations UInt64 CODEC(T64, ZSTD) COMMENT 'times that they were sent one tier up for a bad answer',
    promotions UInt64 CODEC(T64, ZSTD) COMMENT 'times that they were sent one tier up because no provider answered',
    validations UInt64 CODEC(T64, ZSTD) COMMENT 'times that a judge was asked before publication',
    judged UInt64 CODEC(T64, ZSTD) COMMENT 'had an answer that a judge looked at before it was published',
    check_failed UInt64 CODEC(T64, ZSTD) COMMENT 'had an answer that failed a free check',
    judge_failed UInt64 CODEC(T64, ZSTD) COMMENT 'had an answer that a judge failed',
    attempts UInt64 CODEC(T64, ZSTD),
    input_tokens UInt64 CODEC(T64, ZSTD) COMMENT 'of the answer that was published',
    cached_tokens UInt64 CODEC(T64, ZSTD),
    output_tokens UInt64 CODEC(T64, ZSTD),
    cost_usd Decimal(38, 12) CODEC(ZSTD) COMMENT 'of all attempts of the route; what was paid is in spend_by_hour'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, status, error_code, first_tier, tier, provider, model, feature, query_type, service_class)
TTL bucket + toIntervalDay({retention_days});

CREATE TABLE IF NOT EXISTS {database}.results_by_minute AS {database}.results_by_hour;
ALTER TABLE {database}.results_by_minute MODIFY TTL bucket + toIntervalDay(7);
CREATE TABLE IF NOT EXISTS {database}.results_by_day AS {database}.results_by_hour;

-- How long things took. `kind` is one of
--   request: from the append of the request to its result · provider: of it, waiting for providers · own: the rest
--   call: a paid call on the wire, from leaving to its last token · first_token: the same to its first, of streamed ones
--   queue: from the append of the causing record to the start of a step · step: from its start to its end
CREATE TABLE IF NOT EXISTS {database}.times_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    kind LowCardinality(String),
    stage LowCardinality(String) COMMENT 'of a step; the purpose of a call; else empty',
    tier UInt8 COMMENT '0: none',
    provider LowCardinality(String),
    model LowCardinality(String),
    n UInt64 CODEC(T64, ZSTD),
    ms_sum Float64 CODEC(ZSTD),
    ms AggregateFunction(quantilesDD(0.01, 0.5, 0.95, 0.99), Float64)
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, kind, stage, tier, provider, model)
TTL bucket + toIntervalDay({retention_days});

CREATE TABLE IF NOT EXISTS {database}.times_by_minute AS {database}.times_by_hour;
ALTER TABLE {database}.times_by_minute MODIFY TTL bucket + toIntervalDay(7);
CREATE TABLE IF NOT EXISTS {database}.times_by_day AS {database}.times_by_hour;

-- Steps of requests through stages, by when they were published.
CREATE TABLE IF NOT EXISTS {database}.steps_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    stage LowCardinality(String),
    outcome LowCardinality(String),
    tier UInt8 COMMENT '0: none',
    provider LowCardinality(String),
    model LowCardinality(String),
    decided_by LowCardinality(String) COMMENT 'of a decision: its rule, else its classifier',
    steps UInt64 CODEC(T64, ZSTD)
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, stage, outcome, tier, provider, model, decided_by)
TTL bucket + toIntervalDay({retention_days});

CREATE TABLE IF NOT EXISTS {database}.steps_by_day AS {database}.steps_by_hour;

-- What is known of how good answers were (see `labels`), without who asked.
CREATE TABLE IF NOT EXISTS {database}.quality_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    tier UInt8,
    model LowCardinality(String) COMMENT 'provider/model',
    source LowCardinality(String) COMMENT 'judge, check, feedback or shadow',
    feature LowCardinality(String),
    query_type LowCardinality(String),
    n UInt64 CODEC(T64, ZSTD) COMMENT 'pieces of evidence',
    good Float64 CODEC(ZSTD) COMMENT 'sum of their values: 1 good, 0 bad',
    weight Float64 CODEC(ZSTD) COMMENT 'sum of their weights'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, tier, model, source, feature, query_type)
TTL bucket + toIntervalDay({retention_days});

CREATE TABLE IF NOT EXISTS {database}.quality_by_day AS {database}.quality_by_hour;

-- Who asks what again and again, and where: near-duplicates of a user's questions have the same signature or one that
-- differs in few bits. Nearly a row a request where nothing repeats, and still narrow.
CREATE TABLE IF NOT EXISTS {database}.questions_by_hour
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    user_id String CODEC(ZSTD),
    feature LowCardinality(String),
    query_type LowCardinality(String),
    tier UInt8 COMMENT 'that answered; 0: none did',
    model LowCardinality(String) COMMENT 'provider/model',
    signature UInt64 CODEC(NONE),
    prefix UInt64 CODEC(ZSTD),
    requests UInt64 CODEC(T64, ZSTD),
    bad UInt64 CODEC(T64, ZSTD) COMMENT 'had an answer of this tier or a lower one that failed a check or a judge',
    prefix_tokens UInt64 CODEC(T64, ZSTD) COMMENT 'sum over the requests',
    input_tokens UInt64 CODEC(T64, ZSTD),
    cached_tokens UInt64 CODEC(T64, ZSTD),
    output_tokens UInt64 CODEC(T64, ZSTD),
    cost_usd Decimal(38, 12) CODEC(ZSTD) COMMENT 'of all attempts of the route'
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, user_id, feature, query_type, tier, model, prefix, signature)
TTL bucket + toIntervalDay({retention_days});
