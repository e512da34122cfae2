-- The results of requests that came in within the window, with where each stands; `most` of them, always the same ones.
-- Until `horizon` a request of the window may still be settled.
SELECT
    request_id,
    source_partition,
    source_offset,
    toUnixTimestamp64Milli(source_at) AS asked_ms,
    toUnixTimestamp64Milli(at) AS settled_ms,
    toString(status) AS status,
    latency_ms,
    own_ms,
    toString(feature) AS feature,
    toString(query_type) AS query_type,
    `route.attempt_id` AS attempts,
    `route.stage` AS stages,
    `route.tier` AS tiers,
    `route.provider` AS providers,
    `route.model` AS models,
    `route.why` AS whys,
    `route.outcome` AS outcomes
FROM {database:Identifier}.requests
WHERE cluster = {cluster:String} AND source_topic = {requests_topic:String} AND revision = 0
    AND at >= {since:DateTime64(3, 'UTC')} AND at < {horizon:DateTime64(3, 'UTC')}
    AND source_at >= {since:DateTime64(3, 'UTC')} AND source_at < {until:DateTime64(3, 'UTC')}
ORDER BY cityHash64(request_id), source_at
LIMIT {most:UInt64}
