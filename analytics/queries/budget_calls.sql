-- Calls of a journal that ended in [since, until), what each has cost and whose it is; only those whose request has its result.
-- Of a call whose end was written twice the first counts, as in `call_ledger`.
SELECT
    call_id,
    request_id,
    revision,
    call_usd,
    call_ended_at,
    user_id,
    feature,
    tags
FROM
(
    SELECT
        request_id,
        revision,
        call_id,
        argMin(cost_usd, (log.at, log.offset)) AS call_usd,
        argMin(assumeNotNull(log.ended_at), (log.at, log.offset)) AS call_ended_at
    FROM {database:Identifier}.calls_log AS log
    WHERE event = 'ended' AND cluster = {cluster:String} AND topic = {topic:String}
        AND log.at >= {since:DateTime64(6, 'UTC')} - INTERVAL 1 MINUTE
    GROUP BY request_id, revision, call_id
    HAVING call_ended_at >= {since:DateTime64(6, 'UTC')} AND call_ended_at < {until:DateTime64(6, 'UTC')}
        AND call_usd > 0
) AS call
SEMI LEFT JOIN
(
    SELECT
        request_id,
        revision,
        toString(user_id) AS user_id,
        toString(feature) AS feature,
        arrayMap(tag -> toString(tag), tags) AS tags
    FROM {database:Identifier}.requests
    -- A call in the shadow of a request ends after its result, and not much later.
    WHERE at >= {since:DateTime64(6, 'UTC')} - INTERVAL 2 DAY
) AS request USING (request_id, revision)
