-- How long things took, by hop (the stage), tier, provider or model; quantiles are within 1 % of their value. By hop: the
-- wait for each stage and its work. Else: whole requests, of them the wait for providers and the rest, by what answered;
-- and paid calls to their last and to their first token. What waited for a batch of a provider stands apart.
WITH CAST({by:String}, 'Enum8(\'hop\', \'tier\', \'provider\', \'model\')') AS by
SELECT
    kind,
    multiIf(
        by = 'hop', toString(stage),
        by = 'tier', if(tier = 0, '', toString(tier)),
        by = 'provider', toString(provider),
        if(model = '', '', concat(provider, '/', model))
    ) AS key,
    sum(times.n) AS n,
    sum(times.ms_sum) / n AS mean_ms,
    quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(times.ms) AS quantiles_ms,
    quantiles_ms[1] AS p50_ms,
    quantiles_ms[2] AS p95_ms,
    quantiles_ms[3] AS p99_ms
FROM {database:Identifier}.{times:Identifier} AS times
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    AND (kind IN ('queue', 'step')) = (by = 'hop')
GROUP BY kind, key
ORDER BY
    indexOf(
        ['request', 'provider', 'own', 'call', 'first_token', 'request_in_batch', 'call_in_batch', 'queue', 'step'], kind
    ),
    n DESC,
    key
