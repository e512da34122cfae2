-- The paid calls that ended in the period, by purpose.
SELECT purpose, sum(spend.calls) AS calls, sum(spend.cost_usd) AS cost
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    AND outcome != 'unknown'
GROUP BY purpose
ORDER BY cost DESC, purpose
