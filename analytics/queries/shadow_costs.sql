-- What the shadows of the window cost: the paid calls of each, of its candidate and of its judges. A request has at most
-- one shadow, and what its steps have not told of yet stands under no name.
SELECT
    named.name AS name,
    uniqExactIf(call.call_id, call.n = 0) AS candidate_calls,
    uniqExactIf(call.call_id, call.n > 0) AS judge_calls,
    sumIf(call.cost_usd, call.n = 0) AS candidate_cost_usd,
    sumIf(call.cost_usd, call.n > 0) AS judge_cost_usd
FROM {database:Identifier}.call_ledger AS call
ANY LEFT JOIN
(
    SELECT request_id, revision, splitByString(': ', any(hop.detail))[1] AS name
    FROM {database:Identifier}.hops AS hop
    WHERE stage = 'shadow'
    GROUP BY request_id, revision
) AS named ON named.request_id = call.request_id AND named.revision = call.revision
WHERE call.purpose = 'shadow'
    AND call.at >= {since:DateTime64(6, 'UTC')} AND call.at < {until:DateTime64(6, 'UTC')}
    AND ({name:String} = '' OR named.name = {name:String})
    AND ({tag:String} = '' OR (call.request_id, call.revision) IN (
        SELECT request_id, revision FROM {database:Identifier}.requests_log WHERE has(tags, {tag:String})
    ))
GROUP BY name
ORDER BY name
