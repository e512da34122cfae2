SELECT
    toDateTime(intDiv(toUnixTimestamp(at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    stage,
    outcome,
    tier,
    provider,
    model,
    decided_by,
    count() AS steps
FROM {database:Identifier}.{steps:Identifier}
GROUP BY bucket, stage, outcome, tier, provider, model, decided_by
