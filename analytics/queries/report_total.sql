-- What was paid in all.
SELECT sum(cost_usd) AS total_cost_usd
FROM {database:Identifier}.{spend:Identifier}
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
