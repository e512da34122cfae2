-- The rows of a partition of `llm.results` as reports see them, with a checksum of what they say about money.
SELECT
    offset,
    idx,
    reinterpretAsUInt64(substring(SHA256(concatWithSeparator('\x1f',
        request_id, toString(revision), toString(status), ifNull(toString(attempt_id), ''),
        toString(provider), toString(model),
        toString(input_tokens), toString(output_tokens), toString(cached_tokens),
        toString(cache_written_tokens), toString(reasoning_tokens),
        toDecimalString(cost_usd, 12),
        arrayStringConcat(arrayMap(id -> toString(id), `route.attempt_id`), ','),
        arrayStringConcat(arrayMap(cost -> toDecimalString(cost, 12), `route.cost_usd`), ',')
    )), 1, 8)) AS checksum
FROM {database:Identifier}.requests
WHERE cluster = {cluster:String} AND topic = {topic:String} AND partition = {partition:UInt32}
    AND offset >= {start:UInt64}
ORDER BY offset, idx
