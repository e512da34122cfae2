SELECT
    toDateTime(intDiv(toUnixTimestamp(at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    user_id,
    count() AS requests,
    sum(result.cost_usd) AS cost_usd
FROM {database:Identifier}.{results:Identifier} AS result
GROUP BY bucket, user_id
