-- What judges and free checks said of answers, by tier, feature and query type.
SELECT
    tier,
    toString(feature) AS feature,
    toString(query_type) AS query_type,
    sumIf(quality.n, source = 'judge') AS judged,
    sumIf(quality.n - quality.good, source = 'judge') AS judged_bad,
    sumIf(quality.n, source = 'check') AS failed_checks
FROM {database:Identifier}.{quality:Identifier} AS quality
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY tier, feature, query_type
