-- The calls of the results of the period, and those of the period that no result has claimed, by what became of their cost:
-- see `ledger_calls`, which says the same of the ledger itself.
SELECT
    purpose,
    provider,
    model,
    outcome,
    standing,
    sum(standings.calls) AS calls,
    sum(standings.cost_usd) AS cost
FROM {database:Identifier}.{standings:Identifier} AS standings
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY purpose, provider, model, outcome, standing
ORDER BY cost DESC, purpose, provider, model, outcome, standing
