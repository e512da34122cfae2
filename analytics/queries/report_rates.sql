-- How often requests were sent on, and how often their answers were checked and failed, by the tier that was asked first,
-- the model that answered, the query type or the feature. A retry after feedback counts as a request of its own.
WITH CAST({by:String}, 'Enum8(\'tier\', \'model\', \'query_type\', \'feature\')') AS by
SELECT
    multiIf(
        by = 'tier', if(first_tier = 0, '', toString(first_tier)),
        by = 'model', if(model = '', '', concat(provider, '/', model)),
        by = 'query_type', toString(query_type),
        toString(feature)
    ) AS key,
    sum(results.requests) AS requests,
    sumIf(results.requests, status IN ('ok', 'degraded')) / requests AS answered_share,
    sumIf(results.requests, status = 'degraded') / requests AS degraded_share,
    sum(results.escalated) / requests AS escalated_share,
    sum(results.promoted) / requests AS promoted_share,
    sum(results.fell_back) / requests AS fell_back_share,
    sum(results.judged) AS judged,
    judged / requests AS judged_share,
    sum(results.check_failed) / requests AS check_failed_share,
    if(judged = 0, NULL, sum(results.judge_failed) / judged) AS judge_failed_share,
    sum(results.retries) AS retries
FROM {database:Identifier}.{results:Identifier} AS results
WHERE bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')}
GROUP BY key
ORDER BY requests DESC, key
LIMIT {top:UInt32}
