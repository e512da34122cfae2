SELECT
    toDateTime(intDiv(toUnixTimestamp(booked_at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    standing,
    purpose,
    provider,
    model,
    ending AS outcome,
    countIf(is_first) AS calls,
    sum(call.cost_usd) AS cost_usd
FROM {database:Identifier}.{calls:Identifier} AS call
WHERE booked_at >= {since:DateTime('UTC')} AND booked_at < {until:DateTime('UTC')}
GROUP BY bucket, standing, purpose, provider, model, outcome
