SELECT
    toDateTime(intDiv(toUnixTimestamp(at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    kind,
    stage,
    tier,
    provider,
    model,
    count() AS n,
    sum(took) AS ms_sum,
    quantilesDDState(0.01, 0.5, 0.95, 0.99)(took) AS ms
FROM
(
    -- What waited for a batch of a provider took as long as the batch, which says nothing of how fast a tier or model is.
    SELECT at, if(waited_for_batch, 'request_in_batch', 'request') AS kind, '' AS stage, ifNull(tier, 0) AS tier, provider, model,
        latency_ms AS took
    FROM {database:Identifier}.{results:Identifier}
    UNION ALL
    SELECT at, 'provider', '', ifNull(tier, 0), provider, model, provider_ms
    FROM {database:Identifier}.{results:Identifier}
    WHERE NOT waited_for_batch
    UNION ALL
    SELECT at, 'own', '', ifNull(tier, 0), provider, model, own_ms
    FROM {database:Identifier}.{results:Identifier}
    WHERE NOT waited_for_batch
    UNION ALL
    SELECT at, if(in_batch, 'call_in_batch', 'call'), purpose, tier, provider, model, provider_ms
    FROM {database:Identifier}.{calls:Identifier}
    WHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')}
        AND outcome != 'unknown' AND is_first
    UNION ALL
    SELECT at, 'first_token', purpose, tier, provider, model, assumeNotNull(first_token_ms)
    FROM {database:Identifier}.{calls:Identifier}
    WHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')}
        AND first_token_ms IS NOT NULL AND is_first
    UNION ALL
    SELECT at, 'queue', stage, tier, '', '', queue_ms
    FROM {database:Identifier}.{steps:Identifier}
    UNION ALL
    SELECT at, 'step', stage, tier, '', '', took_ms
    FROM {database:Identifier}.{steps:Identifier}
)
GROUP BY bucket, kind, stage, tier, provider, model
