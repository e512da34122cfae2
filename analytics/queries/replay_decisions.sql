-- Where requests were sent, and by what.
SELECT
    request_id,
    toUnixTimestamp64Milli(at) AS at_ms,
    toString(outcome) AS outcome,
    ifNull(tier, 0) AS tier,
    toString(rule) AS rule,
    toString(classifier) AS classifier,
    scores,
    detail
FROM {database:Identifier}.hops
WHERE cluster = {cluster:String} AND stage = 'classify' AND revision = 0 AND outcome IN ('routed', 'expired')
    AND at >= {since:DateTime64(3, 'UTC')} AND at < {horizon:DateTime64(3, 'UTC')}
