-- What calls have cost that ended in [since, until), by user, feature or tag, or under the empty key for all.
-- `has_result`: a call whose request has no result yet is nobody's so far.
-- Of a call whose end was written twice the first counts, as in `call_ledger`.
SELECT
    arrayJoin(
        multiIf(
            {by:String} = 'user', [request.user_id],
            {by:String} = 'feature', [request.feature],
            {by:String} = 'tag' AND notEmpty(request.tags), arrayDistinct(request.tags),
            ['']
        )
    ) AS key,
    has_result,
    sum(call_usd) AS usd
FROM
(
    SELECT
        request_id,
        revision,
        argMin(cost_usd, (log.at, log.offset)) AS call_usd,
        argMin(assumeNotNull(log.ended_at), (log.at, log.offset)) AS call_ended_at
    FROM {database:Identifier}.calls_log AS log
    WHERE event = 'ended' AND log.at >= {since:DateTime64(6, 'UTC')} - INTERVAL 1 MINUTE
    GROUP BY request_id, revision, call_id
    HAVING call_ended_at >= {since:DateTime64(6, 'UTC')} AND call_ended_at < {until:DateTime64(6, 'UTC')}
) AS call
ANY LEFT JOIN
(
    SELECT
        request_id,
        revision,
        true AS has_result,
        toString(user_id) AS user_id,
        toString(feature) AS feature,
        arrayMap(tag -> toString(tag), tags) AS tags
    FROM {database:Identifier}.requests
    -- A call in the shadow of a request ends after its result, and not much later.
    WHERE at >= {since:DateTime64(6, 'UTC')} - INTERVAL 2 DAY
) AS request USING (request_id, revision)
GROUP BY key, has_result
HAVING usd > 0
