-- Calls that started in the period and never ended, and whose time is up: paid perhaps, and by nobody's record.
SELECT sum(spend.calls) AS calls
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    AND outcome = 'unknown'
