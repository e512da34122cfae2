SELECT
    toDateTime(intDiv(toUnixTimestamp(at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    user_id,
    tier,
    provider,
    model,
    count() AS rows,
    sum(call.input_tokens) AS input_tokens,
    sum(call.cached_tokens) AS cached_tokens,
    sum(call.output_tokens) AS output_tokens,
    sum(call.cost_usd) AS cost_usd
FROM {database:Identifier}.{calls:Identifier} AS call
WHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')}
GROUP BY bucket, user_id, tier, provider, model
