SELECT
    toDateTime(intDiv(toUnixTimestamp(at), {seconds:UInt32}) * {seconds:UInt32}, 'UTC') AS bucket,
    concat(result.provider, if(result.provider = '', '', '/'), result.model) AS model,
    feature,
    prefix,
    count() AS requests,
    sum(result.prefix_tokens) AS prefix_tokens,
    sum(result.cached_tokens) AS cached_tokens
FROM {database:Identifier}.{results:Identifier} AS result
WHERE prefix != 0 AND tier > 0
GROUP BY bucket, model, feature, prefix
