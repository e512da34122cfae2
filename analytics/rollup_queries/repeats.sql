SELECT
    toDateTime(intDiv(toUnixTimestamp(at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    feature,
    query_type,
    ifNull(result.tier, 0) AS tier,
    concat(result.provider, if(result.provider = '', '', '/'), result.model) AS model,
    signature,
    prefix,
    count() AS requests,
    uniqExact(user_id) AS users,
    uniqExact(result.input_tokens) AS lengths,
    sum(result.input_tokens) AS input_tokens,
    sum(result.cost_usd) AS cost_usd
FROM {database:Identifier}.{results:Identifier} AS result
WHERE signature != 0 AND tier > 0
GROUP BY bucket, feature, query_type, tier, model, signature, prefix
HAVING requests > 1
