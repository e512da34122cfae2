-- The rows of a partition of `llm.calls` as reports see them, with a checksum of what they say.
SELECT
    offset,
    idx,
    reinterpretAsUInt64(substring(SHA256(concatWithSeparator('\x1f',
        toString(toUnixTimestamp64Milli(at)),
        toString(event), request_id, toString(revision), toString(call_id), toString(attempt_id),
        toString(stage), toString(n), toString(purpose), toString(tier), toString(provider), toString(model),
        toString(toUnixTimestamp64Micro(started_at)),
        if(deadline IS NULL, '', toString(toUnixTimestamp64Micro(assumeNotNull(deadline)))),
        if(ended_at IS NULL, '', toString(toUnixTimestamp64Micro(assumeNotNull(ended_at)))),
        toString(finish_reason), toString(error_kind), ifNull(toString(error_status), ''),
        toString(usage_source), toString(input_tokens), toString(output_tokens), toString(cached_tokens),
        toString(cache_written_tokens), toString(reasoning_tokens),
        toString(rates_source),
        if(input_rate IS NULL, '', toDecimalString(assumeNotNull(input_rate), 6)),
        if(output_rate IS NULL, '', toDecimalString(assumeNotNull(output_rate), 6)),
        if(cached_rate IS NULL, '', toDecimalString(assumeNotNull(cached_rate), 6)),
        if(cache_write_rate IS NULL, '', toDecimalString(assumeNotNull(cache_write_rate), 6)),
        toString(shares), toDecimalString(cost_usd, 12), toString(provider_batch)
    )), 1, 8)) AS checksum
FROM {database:Identifier}.calls
WHERE cluster = {cluster:String} AND topic = {topic:String} AND partition = {partition:UInt32}
    AND offset >= {start:UInt64}
ORDER BY offset, idx
