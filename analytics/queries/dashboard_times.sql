-- Median, 95th and 99th percentile of requests by step of so many seconds, in milliseconds; the step 1970 is the whole
-- period.
SELECT
    kind,
    toStartOfInterval(times.bucket, toIntervalSecond({step:UInt32}), 'UTC') AS step,
    sum(n) AS n,
    quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(ms) AS quantiles
FROM {database:Identifier}.{times:Identifier} AS times
WHERE times.bucket >= {since:DateTime('UTC')} AND times.bucket < {until:DateTime('UTC')} AND kind IN ('request', 'own')
GROUP BY GROUPING SETS ((kind, step), (kind))
ORDER BY kind, step
