-- What users said of answers, as a mean for each request and tier: 1 good, 0 bad.
SELECT request_id, toUInt8(tier) AS tier, avg(value) AS value, toUnixTimestamp64Milli(min(at)) AS at_ms
FROM {database:Identifier}.labels
WHERE cluster = {cluster:String} AND revision = 0 AND source = 'feedback'
    AND at >= {since:DateTime64(3, 'UTC')} AND at < {horizon:DateTime64(3, 'UTC')}
GROUP BY request_id, tier
