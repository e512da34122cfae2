-- What sharing saved: without it, each request that had a part of a call would have paid for the whole.
SELECT
    sum(spend.shared_calls) AS shared_calls,
    sum(spend.rows) - sum(spend.calls) AS saved_calls,
    sum(spend.sharing_saved_usd) AS saved_cost_usd
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
    AND outcome != 'unknown'
