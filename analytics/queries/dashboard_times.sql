-- Median, 95th and 99th percentile of requests by bucket, in milliseconds; the bucket 1970 is the whole period.
SELECT
    kind,
    bucket,
    sum(n) AS n,
    quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(ms) AS quantiles
FROM {database:Identifier}.{times:Identifier}
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND kind IN ('request', 'own')
GROUP BY GROUPING SETS ((kind, bucket), (kind))
ORDER BY kind, bucket
