-- The rows of a partition of `llm.results` as reports see them, with a checksum of what they say.
SELECT
    offset,
    idx,
    reinterpretAsUInt64(substring(SHA256(concatWithSeparator('\x1f',
        toString(toUnixTimestamp64Milli(at)),
        request_id, toString(revision), toString(status), toString(error_code), ifNull(toString(attempt_id), ''),
        ifNull(toString(tier), ''), toString(provider), toString(model), toString(finish_reason),
        toString(usage_source), toString(input_tokens), toString(output_tokens), toString(cached_tokens),
        toString(cache_written_tokens), toString(reasoning_tokens),
        toDecimalString(cost_usd, 12),
        toString(reinterpretAsUInt64(latency_ms)), toString(reinterpretAsUInt64(provider_ms)),
        arrayStringConcat(arrayMap(x -> toString(x), `route.attempt_id`), '\x1e'),
        arrayStringConcat(arrayMap(x -> toString(x), `route.stage`), '\x1e'),
        arrayStringConcat(arrayMap(x -> toString(x), `route.tier`), '\x1e'),
        arrayStringConcat(arrayMap(x -> toString(x), `route.provider`), '\x1e'),
        arrayStringConcat(arrayMap(x -> toString(x), `route.model`), '\x1e'),
        arrayStringConcat(arrayMap(x -> toString(x), `route.why`), '\x1e'),
        arrayStringConcat(arrayMap(x -> toString(x), `route.outcome`), '\x1e'),
        arrayStringConcat(arrayMap(x -> toDecimalString(x, 12), `route.cost_usd`), '\x1e'),
        toString(source_topic), toString(source_partition), toString(source_offset),
        toString(toUnixTimestamp64Milli(source_at)), toString(toUnixTimestamp64Micro(settled_at)),
        arrayStringConcat(arrayMap(x -> toString(x), tags), '\x1e'),
        user_id, toString(feature), toString(query_type), toString(service_class)
    )), 1, 8)) AS checksum
FROM {database:Identifier}.requests
WHERE cluster = {cluster:String} AND topic = {topic:String} AND partition = {partition:UInt32}
    AND offset >= {start:UInt64}
ORDER BY offset, idx
