-- The rows of a partition of `llm.hops` as reports see them, with a checksum of what they say.
SELECT
    offset,
    idx,
    reinterpretAsUInt64(substring(SHA256(concatWithSeparator('\x1f',
        toString(toUnixTimestamp64Milli(at)),
        request_id, toString(revision), toString(stage),
        toString(toUnixTimestamp64Micro(started_at)), toString(toUnixTimestamp64Micro(ended_at)),
        toString(outcome), ifNull(toString(tier), ''), ifNull(toString(attempt_id), ''),
        toString(provider), toString(model),
        if(cost_usd IS NULL, '', toDecimalString(assumeNotNull(cost_usd), 12)),
        toString(rule), toString(classifier), detail
    )), 1, 8)) AS checksum
FROM {database:Identifier}.hops
WHERE cluster = {cluster:String} AND topic = {topic:String} AND partition = {partition:UInt32}
    AND offset >= {start:UInt64}
ORDER BY offset, idx
