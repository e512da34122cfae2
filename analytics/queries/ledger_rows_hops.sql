-- The rows of a partition of `llm.hops` as reports see them, with a checksum of what they say about money.
SELECT
    offset,
    idx,
    reinterpretAsUInt64(substring(SHA256(concatWithSeparator('\x1f',
        request_id, toString(revision), toString(stage), toString(outcome), ifNull(toString(attempt_id), ''),
        if(cost_usd IS NULL, '', toDecimalString(assumeNotNull(cost_usd), 12))
    )), 1, 8)) AS checksum
FROM {database:Identifier}.hops
WHERE cluster = {cluster:String} AND topic = {topic:String} AND partition = {partition:UInt32}
    AND offset >= {start:UInt64}
ORDER BY offset, idx
