-- How long calls for answers took, by tier and model: median and 95th percentile, within 1 %, from the sketches.
SELECT
    tier,
    concat(provider, '/', model) AS model,
    sum(times.n) AS calls,
    quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(times.ms) AS quantiles
FROM {database:Identifier}.{times:Identifier} AS times
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND kind = 'call' AND stage = 'infer'
GROUP BY tier, model
