-- What went wrong: paid calls by the kind of their error (`unknown`: never ended), as a share of the calls of their model,
-- and requests without an answer by their error code, as a share of all requests.
SELECT source, provider, model, error, n, share, cost_usd
FROM
(
    SELECT
        'call' AS source,
        provider,
        model,
        outcome AS error,
        sum(spend.calls) AS n,
        n / sum(n) OVER (PARTITION BY provider, model) AS share,
        sum(spend.cost_usd) AS cost_usd
    FROM {database:Identifier}.{spend:Identifier} AS spend
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    GROUP BY provider, model, outcome
    UNION ALL
    SELECT
        'request' AS source,
        '' AS provider,
        '' AS model,
        if(status IN ('ok', 'degraded'), 'ok', if(error_code = '', status, error_code)) AS error,
        sum(results.requests) AS n,
        n / sum(n) OVER () AS share,
        sum(results.cost_usd) AS cost_usd
    FROM {database:Identifier}.{results:Identifier} AS results
    WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    GROUP BY error
)
WHERE error != 'ok'
ORDER BY source DESC, n DESC, provider, model, error
LIMIT {top:UInt32}
