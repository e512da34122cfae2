SELECT
    toDateTime(intDiv(toUnixTimestamp(at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    tag,
    tier,
    provider,
    model,
    count() AS rows,
    sum(call.input_tokens) AS input_tokens,
    sum(call.cached_tokens) AS cached_tokens,
    sum(call.output_tokens) AS output_tokens,
    sum(call.cost_usd) AS cost_usd
FROM {database:Identifier}.{calls:Identifier} AS call
ARRAY JOIN if(empty(tags), [''], arrayDistinct(tags)) AS tag
WHERE at >= {since:DateTime('UTC')} AND at < {until:DateTime('UTC')}
GROUP BY bucket, tag, tier, provider, model
