-- Results that fit what is asked for, the newest first; a page begins after the place of the last one of the page before.
SELECT
    request_id, revision, at, status, error_code, tier, provider, model, user_id, feature, query_type, tags, cost_usd,
    latency_ms, length(route.tier) AS attempts
FROM {database:Identifier}.requests
WHERE at >= {since:DateTime64(3, 'UTC')} AND at < {until:DateTime64(3, 'UTC')}
    AND ({after_id:String} = '' OR (at, request_id, revision)
        < ({after_at:DateTime64(3, 'UTC')}, {after_id:String}, {after_revision:UInt32}))
    AND startsWith(request_id, {id:String})
    AND ({user:String} = '' OR user_id = {user:String})
    AND ({feature:String} = '' OR feature = {feature:String})
    AND ({query_type:String} = '' OR query_type = {query_type:String})
    AND ({status:String} = '' OR status = {status:String})
    AND ({model:String} = '' OR model = {model:String} OR concat(provider, '/', model) = {model:String})
    AND ({tier:Int16} < 0 OR ifNull(tier, 0) = {tier:Int16})
    AND ({first_tier:Int16} < 0
        OR arrayFirst((tier, stage) -> startsWith(stage, 'infer'), route.tier, route.stage) = {first_tier:Int16})
ORDER BY at DESC, request_id DESC, revision DESC
LIMIT {limit:UInt16}
