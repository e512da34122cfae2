-- What calls cost that a batch of a provider answered, by provider.
SELECT provider, sum(spend.provider_batch_rows) AS calls, sum(spend.provider_batch_cost_usd) AS cost_usd
FROM {database:Identifier}.{spend:Identifier} AS spend
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY provider
HAVING calls > 0
ORDER BY cost_usd DESC, provider
