-- What checks and judges said of each model's answers. What users say is left out: those who speak are not a sample.
SELECT
    tier,
    toString(model) AS model,
    toString(query_type) AS query_type,
    sumIf(quality.n, source = 'check') AS check_failures,
    sumIf(quality.n, source = 'judge') AS judged,
    sumIf(quality.good, source = 'judge') AS passed
FROM {database:Identifier}.{quality:Identifier} AS quality
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY tier, model, query_type
ORDER BY tier, model, query_type
