SELECT
    toDateTime(intDiv(toUnixTimestamp(at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    user_id,
    feature,
    query_type,
    ifNull(result.tier, 0) AS tier,
    concat(result.provider, if(result.provider = '', '', '/'), result.model) AS model,
    signature,
    prefix,
    count() AS requests,
    countIf(check_failed OR judge_failed OR status = 'degraded') AS bad,
    sum(result.prefix_tokens) AS prefix_tokens,
    sum(result.input_tokens) AS input_tokens,
    sum(result.cached_tokens) AS cached_tokens,
    sum(result.output_tokens) AS output_tokens,
    sum(result.cost_usd) AS cost_usd
FROM {database:Identifier}.{results:Identifier} AS result
GROUP BY bucket, user_id, feature, query_type, tier, model, signature, prefix
