-- Codecs as measured on two million hops (docs/benchmarks.md): a tenth less on disk. What is there stays as it is until
-- its part is merged; nothing is rewritten for it.
--
-- Ids of attempts and calls are random, and still shrink by a fifth where a call is started and ended, or a request
-- has several hops: the codec of a column without one finds no such distances. Partitions are few small numbers.
-- Milliseconds repeat within a request, over distances that a higher level of ZSTD finds. Offsets and moments of
-- hops repeat from hop to hop of a record, which their differences hide.

ALTER TABLE {database}.hops_log
    MODIFY COLUMN attempt_id CODEC(ZSTD),
    MODIFY COLUMN partition CODEC(T64, ZSTD),
    MODIFY COLUMN offset CODEC(ZSTD),
    MODIFY COLUMN at CODEC(ZSTD),
    MODIFY COLUMN provider_ms CODEC(ZSTD(3));

ALTER TABLE {database}.calls_log
    MODIFY COLUMN attempt_id CODEC(ZSTD),
    MODIFY COLUMN call_id CODEC(ZSTD),
    MODIFY COLUMN partition CODEC(T64, ZSTD),
    MODIFY COLUMN provider_ms CODEC(ZSTD(3)),
    MODIFY COLUMN first_token_ms CODEC(ZSTD(3));

ALTER TABLE {database}.requests_log
    MODIFY COLUMN `route.attempt_id` CODEC(ZSTD),
    MODIFY COLUMN `route.cost_usd` CODEC(ZSTD),
    MODIFY COLUMN `route.provider_ms` CODEC(ZSTD),
    MODIFY COLUMN partition CODEC(T64, ZSTD),
    MODIFY COLUMN source_partition CODEC(T64, ZSTD),
    MODIFY COLUMN settled_at CODEC(T64, ZSTD);
