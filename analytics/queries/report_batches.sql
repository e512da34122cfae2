-- What calls cost that a batch of a provider answered, by provider.
SELECT provider, sum(spend.calls) AS calls, sum(spend.cost_usd) AS cost_usd
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')} AND in_batch
GROUP BY provider
ORDER BY cost_usd DESC, provider
